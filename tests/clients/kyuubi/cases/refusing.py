"""What the proxy refuses, in Kyuubi's words: unknown ids, bad requests, methods and types."""

import uuid

from lib.checks import until
from lib.jobs import gone, started
from stock import call, state

NOBODY = str(uuid.UUID(int=0x0f6c1b1e00004000800000000000abcd))


def unknown(house, checks):
    """an unknown id, and ids that are none"""
    for batch in (NOBODY, "nightly", "1", NOBODY.upper(), "%2e%2e"):
        shown = ".." if batch == "%2e%2e" else batch
        for method, path in [("GET", ""), ("GET", "/localLog?from=0&size=10"), ("DELETE", "")]:
            got = call(house.main, method, f"/batches/{batch}{path}")
            checks.equal(f"{method} {batch}{path}", got, (404, {"message": f"Invalid batchId: {shown}"}))


def bad_requests(house, checks):
    """bad requests: the status that the product gives, and what is wrong"""
    good = {"batchType": "PYSPARK", "resource": house.job("hello.py"), "name": "never"}
    for what, body, status, words in [
        ("no type", {**good, "batchType": None}, 500,
         "requirement failed: null is not in the supported list: Set(SPARK, PYSPARK)}"),
        ("another type", {**good, "batchType": "FLINK"}, 500, "FLINK is not in the supported list"),
        ("no resource", {**good, "resource": None}, 500, "resource is a required parameter"),
        ("no class", {**good, "batchType": "SPARK"}, 500, "classname is a required parameter for SPARK"),
        ("an id that is none", {**good, "conf": {"kyuubi.batch.id": "one"}}, 500, "kyuubi.batch.id=one must be an UUID"),
        ("args that are no list", {**good, "args": "x"}, 400, ""),
        ("an object for a text", {**good, "conf": {"spark.x": {}}}, 400, ""),
        ("no JSON", b"{", 400, ""),
        ("more than JSON", b"{} x", 400, ""),
        ("a list", b"[]", 400, ""),
        ("a file outside allow_dirs", {**good, "resource": "/etc/passwd"}, 500, "/etc/passwd"),
    ]:
        got, answer = call(house.main, "POST", "/batches", body)
        said = answer.get("message", "") if isinstance(answer, dict) else str(answer)
        checks.that(f"{what}: {status}", got == status and words in said and said, (got, answer))
    names = [batch["name"] for batch in call(house.main, "GET", "/batches?size=1000&batchState=FINISHED")[1]["batches"]]
    checks.that("none of them ran", "never" not in names, names)


def wrong_ways(house, checks):
    """paths, methods and types that are none"""
    for method, path, headers, status in [
        ("PUT", "/batches", {}, 405), ("POST", f"/batches/{NOBODY}", {}, 405), ("GET", "/nothing", {}, 404),
        ("POST", "/batches", {"Content-Type": "text/plain"}, 415), ("GET", "/batches", {"Accept": "text/html"}, 406),
    ]:
        body = {} if method in ("PUT", "POST") else None
        got, answer = call(house.main, method, path, body, headers=headers)
        checks.that(f"{method} {path} {headers or ''}: {status}", got == status and "HTTP" in answer.get("message", ""),
                    (got, answer))
    checks.equal("ping", call(house.main, "GET", "/ping"), (200, "pong"))
    checks.that("version", call(house.main, "GET", "/version")[1]["version"].startswith("1."))


def users(house, checks):
    """who submits, and for whom"""
    # Nobody has to prove who he is here: a name is taken as it is given, and anybody may act for anybody.
    body = {"batchType": "PYSPARK", "resource": house.job("hello.py"), "conf": {"spark.ui.enabled": "false"}}
    for what, login, conf, user in [
        ("nobody", None, {}, "anonymous"), ("a name", ("ann", "any"), {}, "ann"),
        ("for another", ("ann", "any"), {"hive.server2.proxy.user": "eve"}, "eve"),
        ("the newer key wins", ("ann", "any"), {"hive.server2.proxy.user": "eve", "kyuubi.session.proxy.user": "mia"}, "mia"),
    ]:
        status, batch = call(house.main, "POST", "/batches", {**body, "conf": {**body["conf"], **conf}}, login)
        checks.equal(what, (status, batch.get("user")), (200, user))
        # These are not waited for: what is looked at is in the answer.
        if "id" in batch:
            call(house.main, "DELETE", f"/batches/{batch['id']}", login=login)


def cancelling(house, checks):
    """a running job's processes end with its DELETE"""
    folder = house.folder("delete")
    body = {"batchType": "pyspark", "resource": house.job("waiting.py"), "args": [str(folder)]}
    _, batch = call(house.main, "POST", "/batches", body)
    pids = started(folder)[0]
    got = call(house.main, "DELETE", f"/batches/{batch['id']}?hive.server2.proxy.user=ann")
    checks.that("the answer", got[0] == 200 and got[1]["success"] is True and got[1]["msg"], got)
    until("the job's processes are gone", lambda: gone(pids), deadline=20)
    until("it is cancelled", lambda: state(house.main, batch["id"]) == "CANCELED", deadline=20)
    checks.that("the job has not gone on", not (folder / "ended").exists())


CASES = [unknown, bad_requests, wrong_ways, users, cancelling]
