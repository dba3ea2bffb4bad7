"""A batch that came by one dialect is listed, shown, logged and cancelled through all others, in their own words."""

import concurrent.futures

from airflow.providers.common.compat.sdk import AirflowException
from lib.checks import until
from lib.jobs import gone, started
from views import SUBMITTERS, views


def submitted(house, batches):
    """Each (name, view, job, args) at the same time, as clients that know nothing of each other."""
    seen, sources = views(house.main), views(house.main.source)
    with concurrent.futures.ThreadPoolExecutor(len(batches)) as pool:
        made = [pool.submit(sources[submitter(house, by)].submit, name, house.job(job), *args) for name, by, job, args in batches]
        # No id was given to a client that had nobody to submit to.
        return seen, {batch[0]: future.result() if submitter(house, batch[1]) == batch[1] else None
                      for batch, future in zip(batches, made)}


def submitter(house, by):
    """Kylin takes no batches, and a job of it has a project: there all come by the dialect that names one."""
    return "DLI" if house.main.source is not house.main else by


def everywhere(checks, seen, name, by, own, state, line=None, apart=()):
    """Every client finds the batch in its list and shows the state in its own word, and the log with that line."""
    for client, view in seen.items():
        if client in apart:
            continue
        batch = until(f"{client} lists it", lambda view=view: view.names().get(name), deadline=30)
        until(f"{client} shows {view.words[state]}", lambda view=view, batch=batch: view.state(batch) == view.words[state],
              deadline=60)
        checks.equal(f"{name}: {client} shows it as", view.state(batch), view.words[state])
        if client == by and own is not None:
            checks.equal(f"{name}: {client} lists it under the id that it was given", batch, own)
        if line:
            if state == "running":
                # What the job has said is on its way through Spark's pipes.
                until(f"{client} reads '{line}'", lambda view=view, batch=batch: line in view.log(batch), deadline=30)
            checks.that(f"{name}: {client} reads its log", line in view.log(batch), view.log(batch)[-5:])


def to_the_end(house, checks):
    """running and then ended well, whoever submitted it"""
    folders = {by: house.folder("together") for by in SUBMITTERS}
    seen, ids = submitted(house, [(f"run by {by}", by, "waiting.py", [str(folders[by])]) for by in SUBMITTERS])
    for by in SUBMITTERS:
        started(folders[by])
        everywhere(checks, seen, f"run by {by}", by, ids[f"run by {by}"], "running", "waiting")
    uuids = {by: {client: view.names()[f"run by {by}"] for client, view in seen.items() if client != "Livy"}
             for by in SUBMITTERS}
    checks.that("all but Livy know a batch by one id", all(len(set(known.values())) == 1 for known in uuids.values()), uuids)
    for folder in folders.values():
        (folder / "go").touch()
    for by in SUBMITTERS:
        everywhere(checks, seen, f"run by {by}", by, ids[f"run by {by}"], "succeeded", "went on")


def failed(house, checks):
    """a job that fails"""
    seen, ids = submitted(house, [("failed by DLI", "DLI", "failing.py", [])])
    everywhere(checks, seen, "failed by DLI", "DLI", ids["failed by DLI"], "failed", "ValueError: the job's own reason")


def cancelled(house, checks):
    """ended by another than who submitted it"""
    plan = [("Kyuubi", "DLI"), ("Livy", "Kylin"), ("DLI", "Kyuubi"), ("Kyuubi", "Livy")]
    folders = {pair: house.folder("cancelled") for pair in plan}
    names = {pair: "by {}, ended by {}".format(*pair) for pair in plan}
    seen, ids = submitted(house, [(names[pair], pair[0], "waiting.py", [str(folders[pair])]) for pair in plan])
    for pair in plan:
        by, ender = pair
        pids = started(folders[pair])[0]
        own = until("it is listed", lambda: seen[ender].names().get(names[pair]))
        until("it is seen running", lambda: seen[ender].state(own) == seen[ender].words["running"])
        checks.that(f"{names[pair]}: the answer", seen[ender].cancel(own))
        until("the job's processes are gone", lambda: gone(pids), deadline=20)
        checks.that("the job has not gone on", not (folders[pair] / "ended").exists())
        # What a Livy client deletes is gone for Livy's clients, and for them only.
        everywhere(checks, seen, names[pair], by, ids[names[pair]], "cancelled", "waiting" if ender != "Kyuubi" else None,
                   apart=("Livy",) if ender == "Livy" else ())
        if ender == "Livy":
            checks.that("Livy has forgotten it", names[pair] not in seen["Livy"].names())
            checks.raises("by its id as well", AirflowException, lambda: seen["Livy"].state(own), "not found")


CASES = [to_the_end, failed, cancelled]
