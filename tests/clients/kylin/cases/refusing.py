"""What the proxy refuses, and how kylinpy reads the refusal."""

from kylinpy.client import exceptions
from kylinpy.exceptions import KylinJobError
from stock import PROJECT, V2, call, kylin

NOBODY = "9a1d5c42-7b3e-08f1-64ce-2f90ab35d7ff"


def unknown_id(house, checks):
    """an unknown id"""
    checks.raises("v4: kylinpy finds none", KylinJobError, kylin(house.main).get_job(NOBODY).get_desc, "Not Find this job")
    old = kylin(house.main, "v1").get_job(NOBODY)
    checks.equal("v1: an empty answer, which is no status", old.status, None)
    for act in (old.cancel, old.pause, old.resume, old.drop):
        checks.raises(f"v1: {act.__name__} says so", KylinJobError, act, NOBODY)
    for what, call_ in [("detail", ("GET", f"/jobs/{NOBODY}/detail?project={PROJECT}")),
                        ("discard", ("PUT", "/jobs/status", {"action": "DISCARD", "project": PROJECT, "job_ids": [NOBODY]}))]:
        code, _, answer = call(house.main, *call_)
        checks.that(f"{what}: 500 KE-010032219", (code, answer["code"], answer["error_code"]) == (500, "999", "KE-010032219")
                    and NOBODY in answer["msg"], answer)
    code, _, answer = call(house.main, "GET", f"/jobs/{NOBODY}", accept=V2)
    checks.equal("v2: 500 KE-010032219", (code, answer["error_code"]), (500, "KE-010032219"))


def bad_requests(house, checks):
    """bad requests: Kylin's status and code for each"""
    jobs, act = "/jobs?time_filter=4", "/jobs/status"
    running = {"project": PROJECT, "job_ids": [], "statuses": ["RUNNING"]}
    for method, path, body, status, code, word in [
        ("GET", "/jobs", None, 400, "KE-010043201", "time_filter"),
        ("GET", "/jobs?time_filter=x", None, 400, "KE-010000003", ""), ("GET", "/jobs?time_filter=9", None, 500, None, ""),
        ("GET", f"{jobs}&statuses=running", None, 500, "KE-010032212", ""),
        ("GET", f"{jobs}&sort_by=nope", None, 500, "KE-010000003", "nope"),
        ("GET", f"{jobs}&page_size=-1", None, 400, "KE-010000003", ""),
        ("GET", f"{jobs}&page_offset=x", None, 400, "KE-010000003", ""),
        ("GET", f"{jobs}&reverse=maybe", None, 400, "KE-010000003", ""),
        ("GET", f"/jobs/{NOBODY}/detail", None, 400, "KE-010043201", "project"),
        ("PUT", act, None, 500, None, ""), ("PUT", act, b"{", 500, None, ""),
        ("PUT", act, {"action": "DISCARD", "job_ids": "one"}, 500, None, ""),
        ("PUT", act, {"project": PROJECT, "job_ids": ["a"]}, 500, "KE-010043201", "action"),
        ("PUT", act, {"action": "PAUSE"}, 500, "KE-010032213", ""),
        ("PUT", act, {"action": "STOP", **running}, 500, "KE-010043207", ""),
        ("PUT", act, {"action": "RESUME", **running}, 500, "KE-010032217", ""),
        ("DELETE", "/jobs", None, 500, "KE-010032213", ""),
    ]:
        got, _, answer = call(house.main, method, path, body)
        what = f"{method} {path} {'' if body is None else body}"
        right = isinstance(answer, dict) and (got, answer.get("code"), answer.get("error_code")) == (status, "999", code)
        checks.that(f"{what}: {status} {code}", right and word in answer["msg"] and isinstance(answer["exception"], str)
                    and answer["url"].startswith(
            f"{house.main.url}/kylin/api/jobs"), (got, answer))


def as_kylinpy_reads(house, checks):
    """an error's text arrives in kylinpy"""
    service = kylin(house.main).service
    for what, query, kind, words in [
        ("a time_filter that is none", {"time_filter": "x"}, exceptions.BadRequestsError, "time_filter"),
        ("a status that is none", {"time_filter": 4, "statuses": "DONE"}, exceptions.InternalServerError, "DONE"),
    ]:
        checks.raises(what, kind, lambda query=query: service.jobs(**query), words)


def no_such_path(house, checks):
    """no submits, no statistics, and nothing of the driver's callbacks"""
    code, _, _ = call(house.main, "POST", "/jobs", {})
    checks.equal("POST /jobs", code, 405)
    for method, path in [
        ("PUT", "/jobs/spark"), ("PUT", "/jobs/stage/status"), ("PUT", "/jobs/error"), ("PUT", "/jobs/wait_and_run_time"),
        ("GET", "/jobs/statistics?project=p&start_time=0&end_time=1"), ("PUT", "/cubes/sales/build"), ("GET", "/projects"),
    ]:
        code, _, _ = call(house.main, method, path, {"startTime": "0", "endTime": "1"} if method == "PUT" else None)
        checks.that(f"{method} {path}: 404", code == 404, code)
    try:
        kylin(house.main).projects()
        checks.that("kylinpy's projects() finds nothing", False)
    except exceptions.NotFoundError as error:
        checks.equal("kylinpy's projects() finds nothing", error.status_code, 404)


CASES = [unknown_id, bad_requests, as_kylinpy_reads, no_such_path]
