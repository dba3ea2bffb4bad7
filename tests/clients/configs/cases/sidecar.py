"""sidecar-livy.toml: put in front of a Livy that is at work, and taken out again."""

from filled import VARIABLES, Filled, leaked, platform
from lib.checks import until
from lib.jobs import gone, started
from lib.proxy import basic

LOGIN = {"Authorization": basic("etl", VARIABLES["LIVY_PASSWORD"])}


def in_and_out(house, checks):
    """numbers, jobs and sessions are as they were before, meanwhile and afterwards"""
    livy = platform(house, "sidecar-livy", "livy", VARIABLES["LIVY_PASSWORD"])
    checks.equal("the Livy asks who comes", livy.call("GET", "/batches")[0], 401)
    folder = house.folder("before")
    body = {"file": house.job("waiting.py"), "args": [str(folder)], "name": "before"}
    before = livy.call("POST", "/batches", body, LOGIN)[2]["id"]
    pids = started(folder)[0]

    proxy = Filled(house, "sidecar-livy.toml", lambda proxy: {
        "127.0.0.1:8998": f"127.0.0.1:{proxy.port}", "127.0.0.1:8997": f"127.0.0.1:{livy.port}"})
    proxy.start()
    status, _, shown = proxy.call("GET", f"/batches/{before}")
    checks.equal("what runs is found under its number, by its first client's first call",
                 (status, shown.get("id"), shown.get("name"), shown.get("state")), (200, before, "before", "running"))
    made = proxy.call("POST", "/batches", {"file": house.job("hello.py"), "args": ["one"], "name": "meanwhile"})
    checks.equal("a submit is the platform's own, and 201", (made[0], made[1]["Location"]), (201, f"/batches/{made[2]['id']}"))
    checks.equal("under the number that it has there",
                 livy.call("GET", "/batches/meanwhile", None, LOGIN)[2]["id"], made[2]["id"])
    until("it ends", lambda: proxy.state(made[2]["id"]) == "success")
    log = proxy.call("GET", f"/batches/{made[2]['id']}/log?from=0&size=1000")[2]["log"]
    checks.that("its log is there", "hello from python ['one']" in log, log[-5:])
    listed = until("both are listed", lambda: (rows := {row["name"]: row["id"] for row in proxy.batches()})
                   and len(rows) == 2 and rows)
    checks.equal("by their numbers", listed, {"before": before, "meanwhile": made[2]["id"]})

    asked = {"kind": "pyspark"}
    there, here = livy.call("POST", "/sessions", asked, LOGIN), proxy.call("POST", "/sessions", asked)
    checks.equal("a session is asked for at the Livy", (here[0], here[2]), (there[0], there[2]))

    # A proxy that is told to end leaves the Livy as it is.
    proxy.stop()
    checks.equal("taken out, the number is the Livy's as ever", livy.call("GET", f"/batches/{before}/state", None, LOGIN)[2],
                 {"id": before, "state": "running"})
    proxy.start()
    checks.equal("put in again, it is deleted", proxy.call("DELETE", f"/batches/{before}")[2], {"msg": "deleted"})
    until("the job's processes are gone", lambda: gone(pids), deadline=20)
    checks.equal("and is not there any more", [proxy.call("GET", f"/batches/{before}")[0],
                                               livy.call("GET", f"/batches/{before}", None, LOGIN)[0]], [404, 404])
    checks.equal("no file has the password", leaked(proxy), [])


CASES = [in_and_out]
