"""A proxy that asks for proof: who comes in, who may end whose batch, who may run as whom."""

from lib.checks import until
from lib.examples import ran
from lib.proxy import basic
from lib.proof import USERS, leaked, proving
from stock import call

ANN, BOB, ADMIN = ((user, USERS[user]) for user in ("ann", "bob", "ADMIN"))


def submit(house, login, *args, **conf):
    kind = "PYSPARK" if house.quick().endswith(".py") else "SPARK"
    body = {"batchType": kind, "resource": house.quick(), "className": "", "name": "proving", "args": list(args),
            "conf": {key.replace("_", "."): value for key, value in conf.items()}}
    return call(proving(house), "POST", "/batches", body, login)


def waiting(house, login):
    """A batch that runs until it is told."""
    folder = house.folder("proving")
    _, batch = submit(house, login, "0", str(folder))
    until("it runs", lambda: call(proving(house), "GET", f"/batches/{batch['id']}", login=login)[1]["state"] == "RUNNING")
    return batch["id"], folder


def comes_in(house, checks):
    """a name and its password, by any spelling of the scheme"""
    status, batch = submit(house, ANN, "0")
    checks.equal("it is the owner's", (status, batch["user"]), (200, "ann"))
    until("it ends", lambda: call(proving(house), "GET", f"/batches/{batch['id']}", login=ANN)[1]["state"] == "FINISHED")
    for scheme in ("BASIC", "Basic", "basic"):
        got = proving(house).call("GET", "/api/v1/ping", headers={"Authorization": basic(*ANN).replace("Basic", scheme)})
        checks.equal(scheme, (got[0], got[2]), (200, "pong"))


def stays_out(house, checks):
    """who proves nothing, or shows what is wrong"""
    for what, header, status in [
        ("nothing", None, 401), ("a blank password", ("ann", ""), 401), ("a blank user", ("", "x"), 401),
        ("a wrong password", ("ann", USERS["bob"]), 403), ("a user that there is not", ("eve", "any"), 403),
    ]:
        # An empty header stands for none: the proxy of these tests has a login of its own.
        given = {"Authorization": basic(*header) if header else ""}
        for method, path, body in [("GET", "/batches", None), ("POST", "/batches", {"batchType": "PYSPARK", "resource": "/x"}),
                                   ("GET", "/version", None)]:
            got, headers, answer = proving(house).call(method, f"/api/v1{path}", body, {**given, "Accept": "application/json"})
            checks.equal(f"{what}: {method} {path}", got, status)
            if what.startswith("a blank"):
                checks.equal("with a challenge, and nothing else", (headers["WWW-Authenticate"], answer), ("BASIC", ""))
            else:
                checks.that("in the servlet's shape", answer.get("status") == str(status)
                            and answer.get("url") == f"/api/v1{path}", answer)


def ownership(house, checks):
    """everybody reads, the owner and an administrator end"""
    batch, folder = waiting(house, ANN)
    checks.equal("another reads it", call(proving(house), "GET", f"/batches/{batch}", login=BOB)[1]["user"], "ann")
    rows = until("it has said something", lambda: call(
        proving(house), "GET", f"/batches/{batch}/localLog?from=0&size=5", login=BOB)[1].get("logRowSet"))
    checks.equal("and its log", rows, [f"quick 0 {folder}"])
    status, answer = call(proving(house), "DELETE", f"/batches/{batch}", login=BOB)
    checks.that("and may not end it", status == 403 and "bob" in answer["message"] and "ann" in answer["message"],
                (status, answer))
    checks.equal("it runs on", call(proving(house), "GET", f"/batches/{batch}", login=BOB)[1]["state"], "RUNNING")
    status, answer = call(proving(house), "DELETE", f"/batches/{batch}", login=ANN)
    checks.equal("its owner may", (status, answer["success"]), (200, True))
    batch, folder = waiting(house, ANN)
    status, answer = call(proving(house), "DELETE", f"/batches/{batch}", login=ADMIN)
    checks.equal("an administrator may", (status, answer["success"]), (200, True))
    until("it is cancelled", lambda: call(proving(house), "GET", f"/batches/{batch}", login=ANN)[1]["state"] == "CANCELED")


def running_as(house, checks):
    """running as another: where it is allowed"""
    status, batch = submit(house, ANN, "0", hive_server2_proxy_user="eve")
    checks.equal("whom one may run as", (status, batch.get("user")), (200, "eve"))
    for login, wanted in ((ANN, "bob"), (BOB, "eve")):
        status, answer = submit(house, login, "0", hive_server2_proxy_user=wanted)
        said = {"message": f"Failed to validate proxy privilege of {login[0]} for {wanted}"}
        checks.equal(f"{login[0]} as {wanted}", (status, answer), (403, said))
    checks.equal("an administrator as anybody", submit(house, ADMIN, "0", hive_server2_proxy_user="mia")[1].get("user"), "mia")


def example_script(house, checks):
    """examples/curl/kyuubi.sh with a login, and without"""
    good = ran(house, "curl/kyuubi.sh", house.job("hello.py"), "one", proxy=proving(house), BATCHLINGUA_LOGIN=":".join(ANN))
    checks.that("with it the job runs", good.returncode == 0 and "hello from python ['one']" in good.stdout, good)
    bad = ran(house, "curl/kyuubi.sh", house.job("hello.py"), proxy=proving(house))
    checks.that("without it is told why not", bad.returncode != 0 and "401" in bad.stderr, bad)


def nothing_leaks(house, checks):
    """no secret is in the proxy's log, its ledger or its jobs"""
    checks.equal("files with a secret", leaked(house), [])


CASES = [comes_in, stays_out, ownership, running_as, example_script, nothing_leaks]
