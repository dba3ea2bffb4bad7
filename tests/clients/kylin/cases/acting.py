"""Acting on jobs: what kylinpy may by its versions, KyStudio's calls, and what a batch platform cannot do."""

from kylinpy.exceptions import KylinJobError, UnsupportApiError
from lib.checks import until
from lib.jobs import gone, started
from stock import PROJECT, V4, call, kylin, status, submit, to_its_end

FINE = {"code": "000", "data": "", "msg": ""}


def waiting(house):
    folder = house.folder("acting")
    batch = submit(house.main, house.job("waiting.py"), folder)
    return batch, folder, started(folder)[0]


def by_kylinpy(house, checks):
    """kylinpy v1 cancels a running job, and drops it"""
    batch, folder, pids = waiting(house)
    job = kylin(house.main, "v1").get_job(batch)
    until("it is seen running", lambda: job.status == "RUNNING")
    for what, act in (("pause", job.pause), ("resume", job.resume)):
        checks.raises(f"{what} is refused, in words", KylinJobError, act, "RUNNING", what)
    checks.raises("a running job cannot be dropped", KylinJobError, job.drop)
    checks.equal("it runs on", job.status, "RUNNING")
    answer = job.cancel()
    checks.equal("cancel gives the job", answer["uuid"], batch)
    until("the job's processes are gone", lambda: gone(pids), deadline=20)
    checks.that("the job has not gone on", not (folder / "ended").exists())
    until("it is discarded", lambda: job.status == "DISCARDED", deadline=20)
    checks.equal("v4 says so too", status(house.main, batch), "DISCARDED")
    job.cancel()
    checks.equal("cancelled again it is as it was", job.status, "DISCARDED")
    job.drop()
    checks.equal("dropped it is unknown", job.status, None)
    checks.that("and in no list", batch not in [known.job_id for known in kylin(house.main, "v1").list_job()])


def refused_by_kylinpy(house, checks):
    """what kylinpy refuses by itself in v4"""
    job = kylin(house.main).get_job("any")
    for act in (job.pause, job.resume, job.cancel, job.drop):
        checks.raises(f"v4: {act.__name__}", UnsupportApiError, act)


def by_kystudio(house, checks):
    """KyStudio discards: one by its id, all that it has selected"""
    batch, _, pids = waiting(house)
    got = call(house.main, "PUT", "/jobs/status", {"action": "DISCARD", "project": PROJECT, "job_ids": [batch]}, V4)
    checks.equal("the answer", (got[0], got[2]), (200, FINE))
    until("the job's processes are gone", lambda: gone(pids), deadline=20)
    until("it is discarded", lambda: status(house.main, batch) == "DISCARDED", deadline=20)

    some = [waiting(house) for _ in range(2)]
    # Select-all has no ids, and the statuses of what is on the page.
    selected = {"action": "DISCARD", "project": PROJECT, "job_ids": [], "statuses": ["RUNNING", "PENDING"]}
    got = call(house.main, "PUT", "/jobs/status", selected, V4)
    checks.equal("all of a project: the answer", (got[0], got[2]), (200, FINE))
    for each, _, pids in some:
        until("each one's processes are gone", lambda pids=pids: gone(pids), deadline=20)
        until("each is discarded", lambda each=each: status(house.main, each) == "DISCARDED", deadline=20)
    got = call(house.main, "PUT", "/jobs/status", {**selected, "project": "nobody", "statuses": ["ERROR"]}, V4)
    checks.equal("a project that has none: nothing to do is fine", (got[0], got[2]), (200, FINE))


def cannot(house, checks):
    """what a batch platform cannot do, it says in Kylin's words"""
    batch, folder, _ = waiting(house)
    until("it is seen running", lambda: status(house.main, batch) == "RUNNING")
    for action in ("PAUSE", "RESUME", "RESTART"):
        code, _, answer = call(house.main, "PUT", "/jobs/status", {"action": action, "project": PROJECT, "job_ids": [batch]})
        checks.equal(f"{action}: refused", (code, answer["code"], answer["error_code"], answer["exception"] == answer["msg"]),
                     (500, "999", "KE-010032217", True))
        checks.that("with what is legal", "DISCARD" in answer["msg"] and "RUNNING" in answer["msg"], answer["msg"])
    (folder / "go").touch()
    checks.equal("it runs on to its end", to_its_end(house.main, batch)[-1], "FINISHED")
    for action in ("DISCARD", "PAUSE", "RESUME", "RESTART"):
        code, _, answer = call(house.main, "PUT", "/jobs/status", {"action": action, "project": PROJECT, "job_ids": [batch]})
        checks.equal(f"{action} of a finished one: refused", (code, answer["error_code"]), (500, "KE-010032217"))
    checks.equal("it is as it was", status(house.main, batch), "FINISHED")


def dropping(house, checks):
    """dropping records: only of ended jobs, and for Kylin's clients only"""
    batch, folder, _ = waiting(house)
    code, _, answer = call(house.main, "DELETE", f"/jobs?project={PROJECT}&job_ids={batch}")
    checks.equal("of a running one: refused", (code, answer["code"], answer["error_code"]), (500, "999", None))
    (folder / "go").touch()
    checks.equal("it ends in", to_its_end(house.main, batch)[-1], "FINISHED")
    got = call(house.main, "DELETE", f"/jobs?project={PROJECT}&job_ids={batch}")
    checks.equal("of an ended one: the answer", (got[0], got[2]), (200, FINE))
    checks.raises("kylinpy finds it no more", KylinJobError, kylin(house.main).get_job(batch).get_desc, "Not Find this job")
    still = house.main.call("GET", f"/v2.0/{PROJECT}/batches/{batch}/state")
    checks.equal("whoever submitted it still does", (still[0], still[2].get("state")), (200, "success"))
    got = call(house.main, "DELETE", f"/jobs?project={PROJECT}&job_ids={batch}")
    checks.equal("an id that is not there is no matter", (got[0], got[2]), (200, FINE))


CASES = [by_kylinpy, refused_by_kylinpy, by_kystudio, cannot, dropping]
