"""The recorded runs of kyuubi-ctl, in their order and against one proxy, over real Spark."""

import stock
from lib.checks import until
from lib.proxy import EVERY_DIALECT
from stock import Ctl, call, recent, to_its_end, whole_log

UNICODE = "\tune ligne accentuée 日本 \U0001f600"


def ctl(house):
    """One for all cases of this file: what the later runs ask about, the earlier ones have made."""
    if not hasattr(house, "ctl"):
        proxy = house.proxy("ctl", dialects=EVERY_DIALECT)
        house.ctl = Ctl(proxy, {"/srv/jobs/app.jar": house.jar(), "/srv/jobs/hello.py": house.job("hello.py"),
                                "createTime=1793491200000": f"createTime={recent()}"})
    return house.ctl


def played(house, checks, *names):
    """Each run is played and ends as the recorded one did."""
    for name in names:
        run = ctl(house)
        checks.equal(f"{name}: exits with", run.play(name, checks), run.runs[name].exit)


def batch(house, name):
    """The id that the batch of a recorded run has here."""
    run = ctl(house)
    return run.texts.get(run.runs[name].exchanges[0][2].json()["id"].encode(), b"").decode()


def create(house, checks):
    """create batch: a class, a Python program without a user, one refused, an id given twice"""
    played(house, checks, "create", "create-anonymous", "create-refused", "create-id", "create-id-again")
    checks.equal("the client's own id is the batch's", batch(house, "create-id"), "9a0d5e5c-5a52-4b7e-9e9a-2f6f3f1c9a99")
    # A Livy tells no times: what nobody sees running has no start there.
    made = [batch(house, name) for name in ("create", "create-anonymous", "create-id")]
    until("each is seen running", lambda: all([stock.state(ctl(house).proxy, one) != "PENDING" for one in made]))


def get_and_list(house, checks):
    """get batch, list batch"""
    for name in ("create", "create-anonymous", "create-id"):
        checks.equal(f"the batch of {name} ends", to_its_end(ctl(house).proxy, batch(house, name)), "FINISHED")
    played(house, checks, "get", "get-unknown", "get-not-a-uuid", "list", "list-filters", "list-empty-page", "list-bad-state")


def log(house, checks):
    """log batch: a page of five lines, and the default"""
    played(house, checks, "log", "log-default")
    lines = whole_log(ctl(house).proxy, batch(house, "create"))
    said = [line for line in lines if line in ("hello from the driver, 2 args", "arg 0 = [10]", "arg 1 = [true]", "bye")]
    checks.equal("the log has what the job printed, in order", said,
                 ["hello from the driver, 2 args", "arg 0 = [10]", "arg 1 = [true]", "bye"])


def followed(house, checks):
    """log batch --forward: every line of a job that is still printing"""
    played(house, checks, "create-sleep", "create-many")
    proxy = ctl(house).proxy
    until("it runs", lambda: stock.state(proxy, batch(house, "create-many")) != "PENDING")
    lines, states, code = ctl(house).follow("log-forward", checks)
    checks.equal("it ends", (states[-1], code), ("FINISHED", ctl(house).runs["log-forward"].exit))
    printed = [line for line in lines if line.startswith("line ")]
    checks.equal("every line once, in order", printed, [f"line {number}" for number in range(1, 251)])
    for line in ("a line on stderr", UNICODE, "", "last line"):
        checks.that(f"and {line!r}", line in lines, lines[-8:])
    checks.equal("followed or read at once, the log is the same", lines, whole_log(proxy, batch(house, "create-many")))


def delete(house, checks):
    """delete batch: running, again, unknown, finished; its log afterwards"""
    proxy, sleeping = ctl(house).proxy, batch(house, "create-sleep")
    until("it runs", lambda: any(line.startswith("tick ") for line in whole_log(proxy, sleeping)))
    checks.equal("it is seen running", stock.state(proxy, sleeping), "RUNNING")
    played(house, checks, "delete")
    until("it is cancelled", lambda: stock.state(proxy, sleeping) == "CANCELED", deadline=20)
    played(house, checks, "delete-again", "delete-unknown", "delete-finished", "log-after-delete")
    listed = [known["id"] for known in call(proxy, "GET", "/batches?from=0&size=100")[1]["batches"]]
    checks.that("a deleted batch is still listed", sleeping in listed, listed)


def submit(house, checks):
    """submit batch: waits for the end, and shows the log meanwhile"""
    for name, end, line in [("submit", "FINISHED", "hello from the driver, 2 args"),
                            ("submit-fails", "ERROR", "about to fail"),
                            ("submit-pyspark", "FINISHED", "hello from python []")]:
        lines, states, code = ctl(house).follow(name, checks)
        checks.equal(f"{name}: ends, exits with", (states[-1], code), (end, ctl(house).runs[name].exit))
        checks.that(f"{name}: the log has what the job printed", line in lines, lines[-10:])
    failed = whole_log(ctl(house).proxy, batch(house, "submit-fails"))
    checks.that("and the reason of the failure", any("this job fails on purpose" in line for line in failed), failed[-5:])


def submit_without_waiting(house, checks):
    """submit batch --waitCompletion false, and one that is refused"""
    _, states, code = ctl(house).follow("submit-no-wait", checks, wait=False)
    checks.that("it leaves a batch that is past PENDING", states[-1] in ("RUNNING", "FINISHED"), states)
    checks.equal("exits with", code, ctl(house).runs["submit-no-wait"].exit)
    played(house, checks, "submit-refused")
    checks.equal("the batch goes on to its end", to_its_end(ctl(house).proxy, batch(house, "submit-no-wait")), "FINISHED")


def all_played(house, checks):
    """no recorded run was left out"""
    known = ["create", "create-anonymous", "create-refused", "create-id", "create-id-again", "get", "get-unknown",
             "get-not-a-uuid",
             "list", "list-filters", "list-empty-page", "list-bad-state", "log", "log-default", "create-sleep", "create-many",
             "log-forward", "delete", "delete-again", "delete-unknown", "delete-finished", "log-after-delete", "submit",
             "submit-fails", "submit-no-wait", "submit-pyspark", "submit-refused"]
    checks.equal("runs", sorted(ctl(house).runs), sorted(known))


CASES = [create, get_and_list, log, followed, delete, submit, submit_without_waiting, all_played]
