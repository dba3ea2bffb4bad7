"""What the proxy refuses, and how the stock client reads the refusal."""

import asyncio

import stock
from airflow.providers.apache.livy.hooks.livy import LivyAsyncHook, LivyHook
from airflow.providers.apache.livy.operators.livy import LivyOperator
from airflow.providers.common.compat.sdk import AirflowException
from cases.following import to_its_end

UNKNOWN = 2_000_000_000


def unknown_id(house, checks):
    """an unknown id"""
    hook = LivyHook()
    said = f"Session '{UNKNOWN}' not found."
    for what, call in {
        "get": lambda: hook.get_batch(UNKNOWN), "state": lambda: hook.get_batch_state(UNKNOWN),
        "log": lambda: hook.get_batch_logs(UNKNOWN, 0, 100), "delete": lambda: hook.delete_batch(UNKNOWN),
    }.items():
        checks.raises(f"{what}: AirflowException with Livy's words", AirflowException, call, said)
    asked = asyncio.run(LivyAsyncHook().get_batch_state(UNKNOWN))
    checks.equal("state, asynchronously: an error at once", (asked["status"], asked["response"].get("Status Code")),
                 ("error", {404}))


def bad_requests(house, checks):
    """bad requests"""
    before = len(house.main.batches())
    hook = LivyHook()
    good = house.job("lines.py")
    for what, body, words in [
        ("a file that is no absolute path", {"file": "lines.py"}, ["not absolute"]),
        ("a file outside allow_dirs", {"file": "/etc/passwd"}, ["/etc/passwd"]),
        ("a way out of allow_dirs", {"file": f"{house.inputs}/../../../../etc/passwd"}, []),
        ("a pyFile outside allow_dirs", {"file": good, "py_files": ["/etc/passwd"]}, ["/etc/passwd"]),
        ("a name of digits only", {"file": good, "name": "123"}, ["Invalid session name: 123"]),
    ]:
        checks.raises(f"{what}: 400", AirflowException, lambda body=body: hook.post_batch(**body),
                      "Could not submit batch. Status code: 400", *words)
    checks.raises("a number of cores that is none: 500, as Livy does", AirflowException,
                  lambda: hook.post_batch(file=good, driver_cores="many"), "Status code: 500", "cannot be cast")
    checks.raises("the operator fails with a refusal", AirflowException,
                  lambda: LivyOperator(task_id="bad", file="lines.py", polling_interval=1).execute(stock.context()),
                  "Status code: 400")
    checks.equal("none of them left a batch", len(house.main.batches()), before)


def name_conflict(house, checks):
    """a name that is taken"""
    folder = house.folder("name")
    hook = LivyHook()
    first = hook.post_batch(file=house.job("waiting.py"), args=[str(folder)], name="only one")
    checks.raises("while it runs: 400, a duplicate", AirflowException,
                  lambda: hook.post_batch(file=house.job("lines.py"), args=[1], name="only one"),
                  "Status code: 400", "Duplicate session name: Some(only one)")
    by_name = house.main.call("GET", "/batches/only%20one")
    checks.equal("the batch can be asked for by its name", (by_name[0], by_name[2].get("id")), (200, first))
    (folder / "go").touch()
    to_its_end(hook, first)
    checks.raises("after its end: as long as it is listed", AirflowException,
                  lambda: hook.post_batch(file=house.job("lines.py"), args=[1], name="only one"), "Duplicate session name")
    hook.delete_batch(first)
    second = hook.post_batch(file=house.job("lines.py"), args=[1], name="only one")
    checks.that("once it is deleted the name is free", second > first, (first, second))
    to_its_end(hook, second)


def login(house, checks):
    """a connection's login that nobody verifies"""
    stock.connect(house.main, "livy_ana", login="ana:secret@")
    hook = LivyHook("livy_ana")
    batch = hook.post_batch(file=house.job("lines.py"), args=[1])
    checks.equal("is no owner", hook.get_batch(batch)["owner"], None)
    told = [line for line in house.main.read().splitlines() if "submit" in line and "ana" in line]
    checks.that("but the audit line says it, as unverified", told and "verified=false" in told[-1], told)
    to_its_end(hook, batch)


CASES = [unknown_id, bad_requests, name_conflict, login]
