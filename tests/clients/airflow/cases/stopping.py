"""Cancelling: by the hook, by the operator's on_kill; and an Airflow worker that dies while its job runs on."""

import os
import pathlib
import signal
import subprocess
import sys

import stock
from airflow.providers.apache.livy.hooks.livy import BatchState, LivyHook
from airflow.providers.apache.livy.operators.livy import LivyOperator
from airflow.providers.common.compat.sdk import AirflowException
from lib.checks import until
from lib.jobs import gone, started


def by_hook(house, checks):
    """the hook deletes a running batch"""
    folder = house.folder("delete")
    hook = LivyHook()
    batch = hook.post_batch(file=house.job("waiting.py"), args=[str(folder)])
    pids = started(folder)[0]
    checks.equal("it runs", hook.get_batch_state(batch), BatchState.RUNNING)
    checks.equal("the answer", hook.delete_batch(batch), {"msg": "deleted"})
    until("the job's processes are gone", lambda: gone(pids), deadline=20)
    checks.that("the job has not gone on", not (folder / "ended").exists())
    checks.raises("it is forgotten", AirflowException, lambda: hook.get_batch(batch), "not found")
    checks.raises("a second delete finds nothing", AirflowException, lambda: hook.delete_batch(batch), "not found")
    checks.that("it is in no list", batch not in [known["id"] for known in house.main.batches()])


def ended_batch(house, checks):
    """the hook deletes a batch that has ended"""
    hook = LivyHook()
    batch = hook.post_batch(file=house.job("lines.py"), args=[1])
    until("it ends", lambda: hook.get_batch_state(batch) in hook.TERMINAL_STATES)
    checks.equal("the answer", hook.delete_batch(batch), {"msg": "deleted"})
    checks.raises("it is forgotten", AirflowException, lambda: hook.get_batch_state(batch), "not found")


def by_on_kill(house, checks):
    """the operator's on_kill ends the job"""
    folder = house.folder("on-kill")
    task = LivyOperator(task_id="killed", file=house.job("waiting.py"), args=[str(folder)], polling_interval=0.3)
    attempt = stock.Attempt(task, stock.context())
    pids = started(folder)[0]
    task.on_kill()
    until("the job's processes are gone", lambda: gone(pids), deadline=20)
    checks.that("the task that polled on ends", attempt.over(20))
    checks.that("with AirflowException", isinstance(attempt.error, AirflowException), repr(attempt.error))
    checks.that("the job has not gone on", not (folder / "ended").exists())


WORKER = """
import pathlib, sys
sys.path[:0] = sys.argv[1:3]
import stock
from airflow.providers.apache.livy.operators.livy import LivyOperator

class Store:
    def get(self, key):
        return None
    def set(self, key, value):
        pathlib.Path(sys.argv[4], key).write_text(str(value))

LivyOperator(task_id="lost", file=sys.argv[3], args=[sys.argv[4]], polling_interval=0.3).execute(stock.context(Store()))
"""


def lost_worker(house, checks):
    """a killed Airflow worker's next attempt joins the job that runs"""
    folder = house.folder("worker")
    job = house.job("waiting.py")
    here = pathlib.Path(__file__).resolve().parent.parent
    worker = subprocess.Popen([sys.executable, "-c", WORKER, here, here.parent, job, folder], stdin=subprocess.DEVNULL,
                              env={**os.environ, **house.environment()})
    started(folder)
    kept = until("the worker has kept the id", lambda: (folder / "livy_batch_id").exists()
                 and (folder / "livy_batch_id").read_text())
    worker.send_signal(signal.SIGKILL)
    worker.wait()

    class Store(dict):
        set = dict.__setitem__

    before = len(house.main.batches())
    task = LivyOperator(task_id="lost", file=job, args=[str(folder)], polling_interval=0.3)
    attempt = stock.Attempt(task, stock.context(Store(livy_batch_id=int(kept))))
    until("the second attempt has joined", lambda: task._batch_id is not None)
    (folder / "go").touch()
    checks.that("the second attempt ends", attempt.over())
    checks.equal("without an error", attempt.error, None)
    checks.equal("on the first attempt's batch", task._batch_id, int(kept))
    checks.equal("no second batch was made", len(house.main.batches()), before)
    checks.equal("the job was started once", len(started(folder)), 1)


CASES = [by_hook, ended_batch, by_on_kill, lost_worker]
