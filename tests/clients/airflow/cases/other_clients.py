"""pylivy; curl, by the example script and by hand; and what no client of these can be made to send."""

import os
import subprocess

import requests
from cases.following import FAST, KEYS
from cases.refusing import UNKNOWN
from lib.checks import until
from lib.jobs import gone, started
from livy import LivyBatch
from livy.client import LivyClient
from livy.models import SessionState


def pylivy(house, checks):
    """pylivy: create, wait, log, list, kill"""
    client = LivyClient(house.main.url)
    checks.that("it reads the version", client.server_version() and not client.legacy_server())
    batch = LivyBatch.create(house.main.url, file=house.example("demo/wordcount.py"),
                             args=[house.example("demo/text.txt")], name="by pylivy", spark_conf=FAST)
    checks.equal("it ends in", batch.wait(), SessionState.SUCCESS)
    checks.that("the log has the output", "  1  the            1642" in batch.log(0, 1000))
    checks.equal("one line of it", len(batch.log(3, 1)), 1)
    shown = client.get_batch(batch.batch_id)
    checks.equal("the batch", (shown.batch_id, shown.state), (batch.batch_id, SessionState.SUCCESS))
    checks.that("it is listed", batch.batch_id in [known.batch_id for known in client.list_batches()])
    checks.equal("an unknown id is None", client.get_batch(UNKNOWN), None)
    checks.equal("its log too", client.get_batch_log(UNKNOWN), None)
    checks.raises("a bad request raises", requests.HTTPError, lambda: client.create_batch("lines.py"), "400")

    failing = LivyBatch.create(house.main.url, file=house.job("failing.py"))
    checks.equal("a failing job ends in", failing.wait(), SessionState.DEAD)

    folder = house.folder("pylivy")
    running = LivyBatch.create(house.main.url, file=house.job("waiting.py"), args=[str(folder)])
    pids = started(folder)[0]
    checks.equal("a running job is", running.state, SessionState.RUNNING)
    running.kill()
    until("the job's processes are gone", lambda: gone(pids), deadline=20)
    checks.equal("a killed one is not there", client.get_batch(running.batch_id), None)
    client.close()


def example_script(house, checks):
    """examples/curl/livy.sh"""
    def ran(*words):
        return subprocess.run([house.example("curl/livy.sh"), *words], env={**os.environ, "BATCHLINGUA_URL": house.main.url},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)

    good = ran()
    checks.that("it exits with 0", good.returncode == 0, good)
    checks.that("it shows the states", "state success" in good.stdout, good.stdout[:300])
    checks.that("it shows the output", '"  1  the            1642"' in good.stdout, good.stdout[-600:])
    checks.that("it deletes at the end", '{"msg":"deleted"}' in good.stdout.replace(" ", ""), good.stdout[-100:])
    bad = ran("/etc/passwd")
    checks.that("a refusal is shown and fails", bad.returncode != 0 and "/etc/passwd" in bad.stderr, bad)
    checks.that("a failing job fails it", ran(house.job("failing.py")).returncode != 0)


def by_hand(house, checks):
    """plain calls"""
    call = house.main.call
    status, headers, batch = call("POST", "/batches", {"file": house.job("lines.py"), "args": [300], "driverCores": "1"})
    checks.equal("a submit is 201", status, 201)
    checks.equal("with its Location", headers["Location"], f"/batches/{batch['id']}")
    checks.equal("with a type of JSON", headers.get_content_type(), "application/json")
    checks.equal("and Livy's keys, in Livy's order", list(batch), KEYS)
    path = f"/batches/{batch['id']}"
    until("it ends", lambda: house.main.state(batch["id"]) not in ("starting", "running"))

    checks.equal("the state call", call("GET", f"{path}/state")[2], {"id": batch["id"], "state": "success"})
    total = call("GET", f"{path}/log?size=1")[2]["total"]
    whole = call("GET", f"{path}/log?from=0&size=100000")[2]["log"]
    checks.equal("total is the number of lines", total, len(whole))
    for query, first, count in [("", total - 100, 100), ("?size=7", total - 7, 7), ("?from=5&size=7", 5, 7),
                                ("?from=-3&size=7", total - 7, 7), (f"?from={total}&size=7", total, 0),
                                ("?size=0", total, 0), ("?size=-1", 0, total), ("?from=9&size=-1", 9, total - 9)]:
        page = call("GET", f"{path}/log{query}")[2]
        checks.equal(f"log{query}", (page["from"], page["total"], page["log"]), (first, total, whole[first:first + count]))
    for query in ("log?from=x", "log?size=1.5"):
        status, _, refusal = call("GET", f"{path}/{query}")
        checks.equal(f"{query} is 400", (status, list(refusal)), (400, ["msg"]))

    status, _, listed = call("GET", "/batches?from=0&size=1")
    checks.equal("a list of one", (status, listed["from"], len(listed["sessions"])), (200, 0, 1))
    checks.that("says how many there are", listed["total"] >= 1 and len(house.main.batches()) == listed["total"], listed)
    checks.equal("a list past its end", call("GET", "/batches?from=100000")[2]["sessions"], [])

    status, headers, made = call("POST", "/livy/batches", {"file": house.job("lines.py"), "args": [1]})
    checks.equal("under /livy a submit is 200", status, 200)
    checks.equal("and the batch is the same everywhere", call("GET", f"/batches/{made['id']}")[0], 200)

    for what, body in [("no JSON", b"file=x"), ("no body", b""), ("a member that Livy has not", {"file": "/x", "kind": "spark"}),
                       ("no file", {"args": []}), ("args that are no list", {"file": house.job("lines.py"), "args": "x"})]:
        status, _, refusal = call("POST", "/batches", body)
        checks.that(f"{what}: 400 with a reason", status == 400 and refusal, (status, refusal))
    checks.equal("a type that is no JSON's is no matter", call(
        "POST", "/batches", {"file": house.job("lines.py"), "args": [1]}, {"Content-Type": "text/plain"})[0], 201)
    checks.equal("a page in a browser may not submit", call(
        "POST", "/batches", {"file": house.job("lines.py")}, {"Origin": "https://example.com"})[0], 403)
    checks.equal("an id beyond Livy's", call("GET", "/batches/99999999999")[0], 400)


def forgotten_type(house, checks):
    """curl without a content type says that JSON is a form"""
    body = f'{{"file": "{house.job("lines.py")}", "args": ["1"]}}'

    def ran(*words):
        return subprocess.run(["curl", "-sS", "-w", "\n%{http_code}", "-d", body, *words, f"{house.main.url}/batches"],
                              capture_output=True, text=True, timeout=60).stdout

    # Livy's servlet container then reads the body itself, and its words about that are what people search for.
    refused = ran()
    checks.that("then it is refused as Livy does", refused.endswith("\n400") and "No content to map" in refused, refused)
    checks.that("with no type at all it is taken", ran("-H", "Content-Type:").endswith("\n201"))


CASES = [pylivy, example_script, by_hand, forgotten_type]
