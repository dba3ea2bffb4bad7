"""Cancelling by the SDK."""

from cases.refusing import refusal
from lib.checks import until
from lib.jobs import gone, started
from stock import cancel, client, listed, log, show, state, submit, to_its_end


def running(house, checks):
    """a running batch is dead after it, and still there"""
    sdk = client(house.main)
    folder = house.folder("cancel")
    made = submit(sdk, file=house.job("waiting.py"), args=[str(folder)], name="to be cancelled")
    pids = started(folder)[0]
    checks.equal("it runs", until("it is seen running", lambda: state(sdk, made.id) == "running" and "running"), "running")
    answer = cancel(sdk, made.id)
    checks.equal("the answer", (answer.status_code, answer.msg), (200, "deleted"))
    until("the job's processes are gone", lambda: gone(pids), deadline=20)
    checks.that("the job has not gone on", not (folder / "ended").exists())
    checks.equal("it is dead", to_its_end(sdk, made.id), ["dead"])
    checks.equal("and still shown", (show(sdk, made.id).name, show(sdk, made.id).state), ("to be cancelled", "dead"))
    checks.equal("and listed", [known.state for known in listed(sdk, job_id=made.id).sessions], ["dead"])
    checks.that("its log too", "waiting" in log(sdk, made.id).log)
    refusal(checks, "a second cancel", lambda: cancel(sdk, made.id), 400, "DLI.0007")


def ended(house, checks):
    """a batch that has ended cannot be cancelled"""
    sdk = client(house.main)
    for job, end in (("hello.py", "success"), ("failing.py", "dead")):
        made = submit(sdk, file=house.job(job))
        checks.equal(f"{job} ends in", to_its_end(sdk, made.id)[-1], end)
        refusal(checks, "its cancel", lambda: cancel(sdk, made.id), 400, "DLI.0007")
        checks.equal("it is as it was", state(sdk, made.id), end)


CASES = [running, ended]
