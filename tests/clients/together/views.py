"""One and the same batch, as the client of each dialect submits, finds, reads and ends it, and its states in their words."""

import stock
from airflow.providers.apache.livy.hooks.livy import LivyHook
from dli import stock as dli
from kylin import stock as kylin
from kyuubi import stock as kyuubi

STATES = ("running", "succeeded", "failed", "cancelled")


class Livy:
    words = dict(zip(STATES, ("running", "success", "dead", "killed")))

    def __init__(self, proxy):
        stock.connect(proxy, f"livy_{proxy.name}")
        self.hook = LivyHook(f"livy_{proxy.name}")

    def submit(self, name, job, *args):
        return self.hook.post_batch(file=job, name=name, args=list(args), conf=dli.FAST)

    def names(self):
        """The hook has no list of its own, and lends its way of asking."""
        listed = self.hook.run_method(endpoint="/batches?from=0&size=1000", method="GET").json()["sessions"]
        return {batch["name"]: batch["id"] for batch in listed}

    def state(self, batch):
        return self.hook.get_batch_state(batch).value

    def log(self, batch):
        return self.hook.get_batch_logs(batch, 0, 1000)["log"]

    def cancel(self, batch):
        return self.hook.delete_batch(batch) == {"msg": "deleted"}


class Dli:
    words = dict(zip(STATES, ("running", "success", "dead", "dead")))

    def __init__(self, proxy):
        self.sdk = dli.client(proxy)

    def submit(self, name, job, *args):
        return dli.submit(self.sdk, file=job, name=name, args=list(args)).id

    def names(self):
        return {batch.name: batch.id for batch in dli.listed(self.sdk, size=1000).sessions}

    def state(self, batch):
        return dli.state(self.sdk, batch)

    def log(self, batch):
        return dli.log(self.sdk, batch, start=0, size=1000).log

    def cancel(self, batch):
        return dli.cancel(self.sdk, batch).msg == "deleted"


class Kyuubi:
    words = dict(zip(STATES, ("RUNNING", "FINISHED", "ERROR", "CANCELED")))

    def __init__(self, proxy):
        self.proxy = proxy

    def submit(self, name, job, *args):
        # What runs as it is has no class, and the type must be one of two.
        kind = {"batchType": "PYSPARK"} if job.endswith(".py") else {"batchType": "SPARK", "className": ""}
        body = {**kind, "resource": job, "name": name, "args": list(args), "conf": dli.FAST}
        return kyuubi.call(self.proxy, "POST", "/batches", body)[1]["id"]

    def names(self):
        listed = kyuubi.call(self.proxy, "GET", "/batches?size=1000&from=0&desc=false")[1]["batches"]
        return {batch["name"]: batch["id"] for batch in listed}

    def state(self, batch):
        return kyuubi.state(self.proxy, batch)

    def log(self, batch):
        return kyuubi.whole_log(self.proxy, batch)

    def cancel(self, batch):
        return kyuubi.call(self.proxy, "DELETE", f"/batches/{batch}")[1]["success"]


class Kylin:
    """Lists and follows by kylinpy v4, ends by v1, which is how kylinpy can; its log is no call of kylinpy's."""

    words = dict(zip(STATES, ("RUNNING", "FINISHED", "ERROR", "DISCARDED")))

    def __init__(self, proxy):
        self.proxy = proxy
        self.new, self.old = kylin.kylin(proxy, "v4"), kylin.kylin(proxy, "v1")

    def names(self):
        listed = self.new.service.jobs(project=kylin.PROJECT, time_filter=4, page_size=1000)
        return {job["target_subject"]: job["id"] for job in listed}

    def state(self, batch):
        return self.new.get_job(batch).status

    def log(self, batch):
        return kylin.call(self.proxy, "GET", f"/jobs/{batch}/steps/{batch}_00/log?project={kylin.PROJECT}")[2].splitlines()

    def cancel(self, batch):
        return self.old.get_job(batch).cancel()["uuid"] == batch


VIEWS = {"Livy": Livy, "DLI": Dli, "Kyuubi": Kyuubi, "Kylin": Kylin}
SUBMITTERS = ("Livy", "DLI", "Kyuubi")


def views(proxy):
    return {name: view(proxy) for name, view in VIEWS.items()}
