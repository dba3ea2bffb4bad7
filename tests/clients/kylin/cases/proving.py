"""A proxy that asks for proof: kylinpy's Basic on every call, kylin_client's one login and its cookie."""

import json
import re

from cases.other_clients import bare
from kylinpy import Kylin
from kylinpy.client import exceptions
from lib.checks import until
from lib.examples import ran
from lib.proxy import basic
from lib.proof import ANNS_TOKEN, OTHER_PROJECT, USERS, leaked, proving
from stock import PROJECT, V4_PUBLIC, call

ANN, BOB, ADMIN = ((user, USERS[user]) for user in ("ann", "bob", "ADMIN"))


def known(house, version="v4", login=ANN):
    """Not by its address: a password with a colon is no part of a URL."""
    return Kylin("127.0.0.1", *login, proving(house).port, PROJECT, version=version)


def waiting(house):
    """A batch of ann's that runs until it is told, and its folder."""
    folder = house.folder("proving")
    body = {"file": house.quick(), "args": ["0", str(folder)], "queue": "etl"}
    # An empty header stands for none: the proxy of these tests has a login of its own.
    login = {"X-Auth-Token": ANNS_TOKEN, "Authorization": ""}
    return proving(house).call("POST", f"/v2.0/{PROJECT}/batches", body, login)[2]["id"], folder


def by_password(house, checks):
    """kylinpy with a password, by all three of its versions"""
    batch, folder = waiting(house)
    for version in ("v1", "v2", "v4"):
        ids = [job.job_id for job in known(house, version).list_job()]
        checks.that(f"{version}: it is listed", batch in ids, ids)
        checks.equal(f"{version}: who", known(house, version).service.get_authentication()["username"], "ann")
    job = known(house, "v1").get_job(batch)
    until("it runs", lambda: job.status == "RUNNING")
    checks.equal("whose it is", known(house).get_job(batch).get_desc()["submitter"], "ann")
    job.cancel()
    until("it is discarded", lambda: job.status == "DISCARDED")


def refused(house, checks):
    """who proves nothing, or shows what is wrong"""
    for what, login, code in [("nothing", None, "KE-010003207"), ("a wrong password", ("ann", "wrong"), "KE-010003208"),
                              ("a user that there is not", ("eve", "any"), "KE-010003208")]:
        headers = {"Accept": V4_PUBLIC, **({"Authorization": basic(*login)} if login else {})}
        for path in ("/jobs?time_filter=4", f"/jobs/x/detail?project={PROJECT}"):
            answer, body = bare(proving(house), "GET", path, headers)
            checks.equal(f"{what}: {path}", (answer.status, body["code"], body["error_code"]), (401, "999", code))
            checks.equal("without a challenge", answer.getheader("WWW-Authenticate"), None)
        for version, words in (("v1", ""), ("v4", code)) if login else ():
            client = known(house, version, login)
            checks.raises(f"{what}: kylinpy {version} says so", exceptions.UnauthorizedError, client.list_job, words)
    answer, body = bare(proving(house), "POST", "/user/authentication", {"Accept": V4_PUBLIC, "Content-Length": "0"})
    checks.equal("logging in as nobody", (answer.status, body["error_code"]), (401, "KE-010003209"))


def by_cookie(house, checks):
    """kylin_client logs in once and then shows its cookie"""
    answer, user = bare(proving(house), "POST", "/user/authentication",
                        {"Authorization": basic(*ANN), "Accept": "*/*", "Content-Length": "0"})
    checks.equal("it is let in", answer.status, 200)
    cookie = answer.getheader("Set-Cookie") or ""
    checks.that("with a cookie that scripts cannot read", re.match(r"[0-9a-f]{64}=[^;]+;", cookie)
                and "httponly" in cookie.lower(), cookie.split("=")[0])
    name, value = cookie.split(";")[0].split("=", 1)
    batch, folder = waiting(house)
    for headers in ({"Cookie": f"{name}={value}", "Accept": "*/*"}, {"Cookie": f"other=1; {name}={value}; more=2"}):
        answer, listed = bare(proving(house), "GET", f"/jobs?time_filter=4&project={PROJECT}", headers)
        ids = [job["id"] for job in listed["data"]["value"]] if answer.status == 200 else listed
        checks.that("the cookie alone is enough", batch in ids, ids)
    body = json.dumps({"action": "DISCARD", "project": PROJECT, "job_ids": [batch]}).encode()
    headers = {"Cookie": f"{name}={value}", "Content-Type": "application/json", "Content-Length": len(body)}
    checks.equal("to act, too", bare(proving(house), "PUT", "/jobs/status", headers, body)[0].status, 200)
    for what, wrong in [("another value", f"{name}={value[:-1]}{'A' if value[-1] != 'A' else 'B'}"),
                        ("an empty one", f"{name}="), ("another name", f"JSESSIONID={value}")]:
        answer, body = bare(proving(house), "GET", "/jobs?time_filter=4", {"Cookie": wrong, "Accept": V4_PUBLIC})
        checks.equal(what, answer.status, 401)


def allowed(house, checks):
    """what somebody may not see is refused in Kylin's words"""
    status, _, answer = call(proving(house), "GET", f"/jobs?time_filter=4&project={OTHER_PROJECT}", login=ANN)
    checks.equal("a project that is not theirs", (status, answer["error_code"]), (400, "KE-010024001"))
    status, _, answer = call(proving(house), "GET", "/jobs?time_filter=4&project=nowhere", login=BOB)
    checks.equal("a project that there is not", (status, answer["error_code"]), (500, "KE-010001201"))
    status, _, answer = call(proving(house), "GET", f"/jobs?time_filter=4&project={OTHER_PROJECT}", login=BOB)
    checks.equal("who may, may", (status, answer["code"]), (200, "000"))


def examples(house, checks):
    """the examples with a login, and without"""
    batch, folder = waiting(house)
    (folder / "go").touch()
    for name in ("curl/kylin.sh", "python/kylinpy_jobs.py"):
        good = ran(house, name, batch, proxy=proving(house), KYLIN_PROJECT=PROJECT, BATCHLINGUA_LOGIN=":".join(ANN))
        checks.that(f"{name}: it follows the job", good.returncode == 0 and "status FINISHED" in good.stdout, good)
        bad = ran(house, name, batch, proxy=proving(house), KYLIN_PROJECT=PROJECT)
        checks.that("without it is told why not", bad.returncode != 0 and "KE-010003208" in bad.stdout + bad.stderr, bad)


def nothing_leaks(house, checks):
    """no secret is in the proxy's log, its ledger or its jobs"""
    checks.equal("files with a secret", leaked(house), [])


CASES = [by_password, refused, by_cookie, allowed, examples, nothing_leaks]
