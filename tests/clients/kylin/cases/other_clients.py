"""kylin_client's requests by hand, curl with and without an Accept, and the examples."""

import http.client
import json

from lib.examples import ran
from lib.proxy import PROJECT, basic
from stock import V2, V4_PUBLIC, call, kylin, submit, to_its_end


def bare(proxy, method, path, headers=(), body=None):
    """Nothing but what is given, as old HTTP libraries send it."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    connection.putrequest(method, f"/kylin/api{path}", skip_accept_encoding=True)
    for name, value in dict(headers).items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer, json.loads(content) if content.startswith(("{", "[")) else content


def login(house, checks):
    """logging in: kylin_client's POST with an empty body, kylinpy's GET"""
    headers = {"Authorization": basic("ADMIN", "KYLIN"), "Accept": "*/*", "Content-Length": "0"}
    answer, _ = bare(house.main, "POST", "/user/authentication", headers)
    checks.equal("it is let in", answer.status, 200)
    for version in ("v4", "v2"):
        checks.equal(f"kylinpy {version}: who", kylin(house.main, version).service.get_authentication()["username"], "ADMIN")
    checks.equal("kylinpy v1: who", kylin(house.main, "v1").service.get_authentication()["username"], "ADMIN")


def accepting(house, checks):
    """what curl and HTTP libraries send decides by its parameters which face answers"""
    batch = submit(house.main, house.job("hello.py"))
    to_its_end(house.main, batch)
    for headers in ({"Accept": "*/*"}, {"Accept": "application/json"}, {}):
        _, new = bare(house.main, "GET", f"/jobs?time_filter=4&project={PROJECT}", headers)
        checks.that(f"{headers}: time_filter is v4's", batch in [job["id"] for job in new["data"]["value"]], new)
        _, middle = bare(house.main, "GET", f"/jobs?timeFilter=4&projectName={PROJECT}", headers)
        checks.that(f"{headers}: timeFilter alone is v2's", batch in [job["uuid"] for job in middle["data"]["jobs"]], middle)
        _, old = bare(house.main, "GET", f"/jobs?limit=15&offset=0&projectName={PROJECT}", headers)
        checks.that(f"{headers}: limit and offset are the older API's",
                    isinstance(old, list) and batch in [job["uuid"] for job in old], old)
        _, one = bare(house.main, "GET", f"/jobs/{batch}", headers)
        checks.that(f"{headers}: so is a job by its id", one.get("uuid") == batch, one)
    answer, _ = bare(house.main, "GET", "/jobs?time_filter=4", {"Accept": "application/json"})
    checks.equal("JSON is called JSON", answer.getheader("Content-Type").split(";")[0], "application/json")
    _, _, shown = call(house.main, "GET", f"/jobs/{batch}", accept=V2)
    checks.equal("v2: by its id", shown["data"]["uuid"], batch)
    _, headers, _ = call(house.main, "GET", "/jobs?time_filter=4", accept=f"{V4_PUBLIC}, text/plain, */*")
    checks.that("the JDBC driver's Accept is v4-public's", headers["Content-Type"].startswith(V4_PUBLIC),
                headers["Content-Type"])


def curl_script(house, checks):
    """examples/curl/kylin.sh"""
    good, bad = (submit(house.main, house.job(job), 3, name=f"by {job}") for job in ("lines.py", "failing.py"))
    listed = ran(house, "curl/kylin.sh", KYLIN_PROJECT=PROJECT)
    checks.that("it lists the jobs", listed.returncode == 0 and good in listed.stdout and bad in listed.stdout, listed)
    followed = ran(house, "curl/kylin.sh", good, KYLIN_PROJECT=PROJECT)
    checks.that("it follows one to its end", followed.returncode == 0 and "status FINISHED" in followed.stdout, followed)
    checks.that("it shows the log", "line 000003 of 3" in followed.stdout, followed.stdout[-500:])
    checks.that("a failing job fails it", ran(house, "curl/kylin.sh", bad, KYLIN_PROJECT=PROJECT).returncode != 0)
    nobody = ran(house, "curl/kylin.sh", "9a1d5c42-7b3e-08f1-64ce-2f90ab35d7ff", KYLIN_PROJECT=PROJECT)
    checks.that("an unknown job is told and fails", nobody.returncode != 0 and "9a1d5c42" in nobody.stderr, nobody)
    folder = house.folder("curl")
    running = submit(house.main, house.job("waiting.py"), folder)
    gone = ran(house, "curl/kylin.sh", running, "discard", KYLIN_PROJECT=PROJECT)
    checks.that("it discards one", gone.returncode == 0 and to_its_end(house.main, running)[-1] == "DISCARDED", gone)


def kylinpy_script(house, checks):
    """examples/python/kylinpy_jobs.py"""
    good = submit(house.main, house.job("hello.py"), name="for the example")
    followed = ran(house, "python/kylinpy_jobs.py", good, KYLIN_PROJECT=PROJECT)
    checks.that("it follows one to its end", followed.returncode == 0 and "FINISHED" in followed.stdout, followed)
    listed = ran(house, "python/kylinpy_jobs.py", KYLIN_PROJECT=PROJECT)
    checks.that("it lists the jobs", listed.returncode == 0 and good in listed.stdout and "for the example" in listed.stdout,
                listed)
    nobody = ran(house, "python/kylinpy_jobs.py", "9a1d5c42-7b3e-08f1-64ce-2f90ab35d7ff", KYLIN_PROJECT=PROJECT)
    checks.that("an unknown job is told and fails", nobody.returncode != 0 and "9a1d5c42" in nobody.stderr, nobody)
    folder = house.folder("kylinpy")
    running = submit(house.main, house.job("waiting.py"), folder)
    gone = ran(house, "python/kylinpy_jobs.py", running, "cancel", KYLIN_PROJECT=PROJECT)
    checks.that("it cancels one", gone.returncode == 0 and to_its_end(house.main, running)[-1] == "DISCARDED", gone)


CASES = [login, accepting, curl_script, kylinpy_script]
