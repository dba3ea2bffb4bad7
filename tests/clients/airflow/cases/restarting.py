"""kill -9 on the proxy while jobs run: they run on, keep their ids, and those who follow them see the true end."""

import asyncio
import random
import threading

import requests
import stock
import tenacity
from airflow.providers.apache.livy.hooks.livy import BatchState, LivyHook
from airflow.providers.apache.livy.operators.livy import LivyOperator
from airflow.providers.apache.livy.triggers.livy import LivyTrigger
from airflow.providers.common.compat.sdk import AirflowException
from cases.following import dumped, to_its_end
from lib.checks import until
from lib.jobs import gone, started

PATIENT = {"retry": tenacity.retry_if_exception_type(requests.exceptions.ConnectionError),
           "wait": tenacity.wait_fixed(0.2), "stop": tenacity.stop_after_delay(60)}


def waiting(house, name, exit_code=0):
    """A batch that waits for its folder's `go`, known to have started; with the folder."""
    folder = house.folder(name)
    hook = LivyHook("livy_killed")
    batch = hook.post_batch(file=house.job("waiting.py"), args=[str(folder), exit_code], name=f"restart {name}")
    started(folder)
    return batch, folder


def its_own_proxy(house):
    """One that only these cases kill."""
    for proxy in house.proxies:
        if proxy.name == "killed":
            return proxy
    proxy = house.proxy("killed")
    stock.connect(proxy, "livy_killed")
    return proxy


def killed(house, checks):
    """the proxy is killed and started again while jobs run"""
    proxy = its_own_proxy(house)
    hook = LivyHook("livy_killed")

    runs_on, on_folder = waiting(house, "runs-on")
    ends_well, well_folder = waiting(house, "ends-well")
    ends_badly, badly_folder = waiting(house, "ends-badly", 3)
    ids = [runs_on, ends_well, ends_badly]

    folder = house.folder("patient")
    task = LivyOperator(task_id="patient", file=house.job("waiting.py"), args=[str(folder)], polling_interval=0.2,
                        livy_conn_id="livy_killed", retry_args=PATIENT)
    attempt = stock.Attempt(task, stock.context())
    pids = started(folder)[0]

    proxy.kill()
    checks.raises("while it is down the hook has no answer", requests.exceptions.ConnectionError,
                  lambda: hook.get_batch_state(runs_on))
    for waits in (well_folder, badly_folder):
        ends = started(waits)[0]
        (waits / "go").touch()
        until("a job ends while the proxy is down", lambda ends=ends: gone(ends))
    checks.that("the operator's job runs on", not gone(pids))
    checks.that("the operator waits on", attempt.is_alive())
    proxy.start()

    checks.equal("the one that ended well meanwhile", to_its_end(hook, ends_well)[-1], BatchState.SUCCESS)
    checks.equal("the one that ended badly", to_its_end(hook, ends_badly)[-1], BatchState.DEAD)
    checks.equal("the one that runs on", hook.get_batch_state(runs_on), BatchState.RUNNING)
    checks.that("the log of what ended meanwhile is whole", {"waiting", "went on"} <= set(dumped(hook, ends_well)))
    checks.raises("a name is still taken", AirflowException,
                  lambda: hook.post_batch(file=house.job("lines.py"), args=[1], name="restart runs-on"), "Duplicate")
    checks.equal("the list is as it was", [known["id"] for known in proxy.batches()], [*ids, task._batch_id])

    (on_folder / "go").touch()
    (folder / "go").touch()
    checks.equal("and ends in success", to_its_end(hook, runs_on)[-1], BatchState.SUCCESS)
    checks.that("the operator ends", attempt.over())
    checks.equal("without an error, with its id", (attempt.error, attempt.result), (None, task._batch_id))
    checks.equal("every job was started once",
                 [len(started(each)) for each in (on_folder, well_folder, badly_folder, folder)], [1] * 4)
    later = hook.post_batch(file=house.job("lines.py"), args=[1])
    checks.that("the next id is a new one", later > max(*ids, task._batch_id), (later, ids))
    to_its_end(hook, later)


def cancelled_after(house, checks):
    """a job that outlived the proxy can be cancelled through the next one"""
    proxy = its_own_proxy(house)
    hook = LivyHook("livy_killed")
    batch, folder = waiting(house, "cancelled")
    pids = started(folder)[0]
    proxy.kill()
    proxy.start()
    checks.equal("it runs", hook.get_batch_state(batch), BatchState.RUNNING)
    checks.equal("the answer", hook.delete_batch(batch), {"msg": "deleted"})
    until("the job's processes are gone", lambda: gone(pids), deadline=20)
    checks.that("the job has not gone on", not (folder / "ended").exists())
    proxy.kill()
    proxy.start()
    checks.raises("after one more restart it is still forgotten", AirflowException, lambda: hook.get_batch(batch),
                  "not found")


def deferred(house, checks):
    """a trigger between two polls does not notice"""
    proxy = its_own_proxy(house)
    batch, folder = waiting(house, "trigger")
    polled = threading.Event()

    class Seen(LivyTrigger):
        """The stock trigger, except that it says when it has polled: a refused connection fails it, by its design."""

        async def poll_for_termination(self, batch_id):
            hook = self._get_async_hook()
            ask = hook.get_batch_state

            async def ask_and_say(session_id):
                state = await ask(session_id)
                polled.set()
                # It polls again once the proxy is back, however long that takes here.
                while not back.is_set():
                    await asyncio.sleep(0.05)
                return state

            hook.get_batch_state = ask_and_say
            return await super().poll_for_termination(batch_id)

    back = threading.Event()
    event = {}

    async def first():
        async for fired in Seen(batch_id=batch, spark_params={}, livy_conn_id="livy_killed", polling_interval=1).run():
            event.update(fired.payload)
            return

    triggerer = threading.Thread(target=lambda: asyncio.run(first()), daemon=True)
    triggerer.start()
    checks.that("it has polled", polled.wait(30))
    proxy.kill()
    proxy.start()
    back.set()
    (folder / "go").touch()
    triggerer.join(60)
    checks.equal("its event", (event.get("status"), event.get("batch_id")), ("success", batch))


def queued(house, checks):
    """a batch that waits for its turn outlives the proxy"""
    proxy = house.proxy("queue", concurrency=1)
    stock.connect(proxy, "livy_queue")
    hook = LivyHook("livy_queue")

    def submit(name):
        folder = house.folder(name)
        return hook.post_batch(file=house.job("waiting.py"), args=[str(folder)]), folder

    first, first_folder = submit("first")
    started(first_folder)
    dropped, dropped_folder = submit("dropped")
    second, second_folder = submit("second")
    third, third_folder = submit("third")
    checks.equal("those behind the first are starting", [hook.get_batch_state(each) for each in (dropped, second, third)],
                 [BatchState.STARTING] * 3)
    checks.equal("one of them is deleted", hook.delete_batch(dropped), {"msg": "deleted"})
    proxy.kill()
    proxy.start()
    checks.equal("after a kill: the first runs", hook.get_batch_state(first), BatchState.RUNNING)
    checks.equal("the others wait on", [hook.get_batch_state(each) for each in (second, third)], [BatchState.STARTING] * 2)
    # Told to end, as by a service manager, and not killed: the jobs must not go with it either.
    proxy.stop()
    checks.equal("it ends well when it is told to", proxy.child.returncode, 0)
    proxy.start()
    for batch, folder in ((first, first_folder), (second, second_folder), (third, third_folder)):
        (folder / "go").touch()
        checks.equal("each ends in success", to_its_end(hook, batch)[-1], BatchState.SUCCESS)
    checks.equal("started once, in turn", [len(started(each)) for each in (first_folder, second_folder, third_folder)],
                 [1] * 3)
    checks.that("and the deleted one never", not (dropped_folder / "started").exists())


def storm(house, checks):
    """kills in the middle of submits: every name becomes one batch, and every batch runs once"""
    # By plain Python: what is tried is the proxy, and a JVM for each would take minutes.
    proxy = house.proxy("storm", backend=["spark = false"])
    stock.connect(proxy, "livy_storm")
    hook = LivyHook("livy_storm")
    chance = random.Random(20)
    acknowledged, lost, folders = {}, [], {}

    def submitted(name, killer):
        """The id under which the batch is found, as a client gets it that does not give up: by trying and by looking."""
        try:
            return hook.post_batch(file=house.job("waiting.py"), args=[str(folders[name])], name=name)
        except requests.exceptions.ConnectionError:
            lost.append(name)
        except AirflowException as refused:
            # The name is held by the first try, of which it is not known yet whether it has come to a job.
            if "Duplicate session name" not in str(refused):
                raise
        killer.join()
        if not proxy.running():
            proxy.start()
        status, _, found = proxy.call("GET", f"/batches/{name}")
        return found["id"] if status == 200 else None

    def ready(name):
        folders[name] = house.folder(name)
        (folders[name] / "go").touch()

    # An absence is believed only of a platform that still shows something else.
    ready("calm")
    acknowledged["calm"] = hook.post_batch(file=house.job("waiting.py"), args=[str(folders["calm"])], name="calm")
    for number in range(20):
        name = f"storm-{number}"
        ready(name)
        # From before the first byte to after the answer: a kill finds the submit somewhere on its way.
        killer = threading.Timer(chance.uniform(0, 0.03), proxy.kill)
        killer.start()
        acknowledged[name] = until(f"{name} is acknowledged", lambda: submitted(name, killer))
        killer.join()
        if not proxy.running():
            proxy.start()

    checks.that("kills met submits on their way", len(lost) > 1, lost)
    checks.equal("every name has an id of its own", len(set(acknowledged.values())), 21)
    ends = [to_its_end(hook, batch)[-1] for batch in acknowledged.values()]
    checks.equal("every batch ends in success", ends, [BatchState.SUCCESS] * 21)
    checks.equal("every job was started once", [len(started(folder)) for folder in folders.values()], [1] * 21)
    shown = {name: proxy.call("GET", f"/batches/{batch}")[2]["id"] for name, batch in acknowledged.items()}
    # Over a platform too, where the proxy may meet the job before it knows what became of its submit.
    checks.equal("and is shown under it", shown, acknowledged)
    listed = sorted(known["id"] for known in proxy.batches())
    checks.equal("the list has these and no other", listed, sorted(acknowledged.values()))
    checks.equal("under their names", {known["name"]: known["id"] for known in proxy.batches()}, acknowledged)


CASES = [killed, cancelled_after, deferred, queued, storm]
