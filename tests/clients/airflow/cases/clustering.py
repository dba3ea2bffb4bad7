"""The same path, with the job on a Spark standalone cluster instead of inside its own driver."""

import json

import stock
from airflow.providers.apache.livy.hooks.livy import BatchState, LivyHook
from airflow.providers.apache.livy.operators.livy import LivyOperator
from cases.following import FAST
from lib.checks import until

SMALL = {"executor_memory": "512m", "driver_memory": "512m", "conf": FAST}


def its_own_proxy(house):
    for proxy in house.proxies:
        if proxy.name == "clustered":
            return proxy
    proxy = house.proxy("clustered", spark_master=house.spark_cluster().url)
    stock.connect(proxy, "livy_cluster")
    return proxy


def counted(folder):
    return json.loads(until("executors have answered", lambda: (folder / "counted").exists()
                            and (folder / "counted").read_text(), deadline=120))


def at_the_master(house, checks):
    """a job runs on the cluster, and its master knows it"""
    its_own_proxy(house)
    cluster = house.spark_cluster()
    folder = house.folder("cluster")
    task = LivyOperator(task_id="cluster", file=house.job("cluster.py"), args=[str(folder)], name="on the cluster",
                        livy_conn_id="livy_cluster", polling_interval=0.3, **SMALL)
    attempt = stock.Attempt(task, stock.context())
    found = counted(folder)
    checks.equal("the driver is connected to", found["master"], cluster.url)
    checks.equal("executors did the work", (found["on_executors"], found["count"]), (True, 1000))
    known = cluster.application(found["app"])
    checks.that("the master shows the application as running", known and known["state"] == "RUNNING", known)
    checks.equal("under the batch's name", known and known["name"], "on the cluster")
    (folder / "go").touch()
    checks.that("the operator ends", attempt.over(120))
    checks.equal("without an error", attempt.error, None)
    ended = until("the master shows it as ended", lambda: cluster.application(found["app"], "completedapps"))
    checks.equal("as finished", ended["state"], "FINISHED")


def cancelled(house, checks):
    """a cancelled job leaves the cluster"""
    its_own_proxy(house)
    cluster = house.spark_cluster()
    folder = house.folder("cluster")
    hook = LivyHook("livy_cluster")
    batch = hook.post_batch(file=house.job("cluster.py"), args=[str(folder)], **SMALL)
    found = counted(folder)
    checks.equal("it runs", hook.get_batch_state(batch), BatchState.RUNNING)
    hook.delete_batch(batch)
    until("the master has no active application", lambda: not cluster.state()["activeapps"], deadline=30)
    checks.that("it was there", cluster.application(found["app"], "completedapps"))


CASES = [at_the_master, cancelled]
