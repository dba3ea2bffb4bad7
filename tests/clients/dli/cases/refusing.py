"""What the proxy refuses, and how the SDK reads the refusal."""

import stock
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException, SdkException
from stock import cancel, client, listed, log, show, state, submit

NOBODY = "5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9eff"


def refusal(checks, what, call, status, code, *words):
    """`call` raises what the SDK makes of a refusal, with all four of its parts."""
    try:
        got = call()
    except ClientRequestException as error:
        whole = (error.status_code, error.error_code) == (status, code) and all(word in error.error_msg for word in words)
        checks.that(f"{what}: {status} {code}", whole and error.error_msg and error.request_id, error)
        return error
    except SdkException as error:
        checks.that(f"{what}: {status} {code}", False, repr(error))
    else:
        checks.that(f"{what}: {status} {code}", False, f"it is taken: {got}")


def unknown_id(house, checks):
    """an unknown id: 404 where a client asks whether it is there, 400 elsewhere; and what is no id"""
    sdk = client(house.main)
    refusal(checks, "show", lambda: show(sdk, NOBODY), 404, "DLI.0023", NOBODY)
    refusal(checks, "state", lambda: state(sdk, NOBODY), 400, "DLI.0002", NOBODY)
    refusal(checks, "log", lambda: log(sdk, NOBODY), 400, "DLI.0002", NOBODY)
    refusal(checks, "cancel", lambda: cancel(sdk, NOBODY), 400, "DLI.0002", NOBODY)
    for word in ("nightly", "1", "a/b"):
        refusal(checks, f"show {word}", lambda word=word: show(sdk, word), 400, "DLI.0001")


def bad_requests(house, checks):
    """bad requests name the field"""
    sdk = client(house.main)
    before = listed(sdk, size=1).total
    for what, body, words in [
        ("no file", {"file": None}, ["file"]), ("an empty file", {"file": ""}, ["file"]),
        ("args that are no list", {"args": "x"}, ["args"]), ("a conf that is no object", {"conf": ["x"]}, ["conf"]),
        ("cores that are no number", {"driver_cores": "many"}, ["driverCores"]),
        ("memory without a unit", {"driver_memory": "2"}, ["driverMemory"]),
        ("retries over the most", {"max_retry_times": 101}, ["max_retry_times"]),
        ("a name that is too long", {"name": "n" * 129}, ["name"]), ("a queue that is no name", {"queue": "_x"}, ["queue"]),
        ("a type that there is none of", {"sc_type": "Z"}, ["sc_type"]),
    ]:
        body = {"file": house.job("lines.py"), **body}
        refusal(checks, what, lambda body=body: submit(sdk, **body), 400, "DLI.0001", *words)
    refused = refusal(checks, "a file outside allow_dirs", lambda: submit(sdk, file="/etc/passwd"), 400, "DLI.0001",
                      "/etc/passwd")
    checks.that("an error's words are one line", refused and "\n" not in refused.error_msg)
    for query in ({"state": "killed"}, {"order": "NAME_ASC"}, {"begin": -1}, {"size": "many"}, {"start": "yesterday"},
                  {"size": 1001}):
        refusal(checks, f"list {query}", lambda query=query: listed(sdk, **query), 400, "DLI.0001")
    checks.equal("none of them left a batch", listed(sdk, size=1).total, before)


def wrong_ways(house, checks):
    """what is no JSON, no path, no method"""
    batches = f"/v2.0/{stock.PROJECT}/batches"
    for method, path, body, status, code in [
        ("POST", batches, b"{", 400, "DLI.0001"), ("POST", batches, b"[]", 400, "DLI.0001"),
        ("GET", f"/v2.0/{stock.PROJECT}/nothing", None, 404, "APIGW.0101"),
        ("GET", "/v2.0/%7Bproject_id%7D/batches", None, 400, "DLI.0001"),
    ]:
        got, headers, answer = house.main.call(method, path, body)
        checks.equal(f"{method} {path} {body or ''}", (got, answer.get("error_code")), (status, code))
        checks.that("with words and an id", answer["error_msg"] and headers["X-Request-Id"], answer)
    got, headers, answer = house.main.call("PUT", f"/v2.0/{stock.PROJECT}/batches", {})
    checks.that("a method that there is none of", got in (404, 405) and answer["error_code"] == "APIGW.0101", (got, answer))


def spellings(house, checks):
    """the older spelling of the fields is the same request"""
    path = f"/v2.0/{stock.PROJECT}/batches"
    made = house.main.call("POST", path, {"file": house.job("hello.py"), "class_name": "",
                                          "python_files": [house.job("lines.py")], "queue": "etl",
                                          "driver_memory": "640M", "num_executors": 1, "something_new": {"of": "no meaning"}})
    checks.equal("it is taken", made[0], 200)
    shown = show(client(house.main), made[2]["id"])
    checks.that("and reads as the newer", '"pyFiles"' in shown.req_body and shown.sc_type == "CUSTOMIZED", shown.req_body)
    cancel_quietly(house, made[2]["id"])


def cancel_quietly(house, batch):
    house.main.call("DELETE", f"/v2.0/{stock.PROJECT}/batches/{batch}")


CASES = [unknown_id, bad_requests, wrong_ways, spellings]
