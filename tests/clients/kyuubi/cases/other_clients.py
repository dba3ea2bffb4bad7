"""curl by the example script, and pollers that people write by hand."""

from lib.examples import ran
from stock import call

SCRIPT = "curl/kyuubi.sh"


def example_script(house, checks):
    """examples/curl/kyuubi.sh"""
    good = ran(house, SCRIPT)
    checks.that("it exits with 0", good.returncode == 0, good)
    checks.that("it shows the states", "state FINISHED" in good.stdout, good.stdout[:300])
    checks.that("it shows the output", '"  1  the            1642"' in good.stdout, good.stdout[-600:])
    bad = ran(house, SCRIPT, "/etc/passwd")
    checks.that("a refusal is shown and fails", bad.returncode != 0 and "/etc/passwd" in bad.stderr, bad)
    checks.that("a failing job fails it", ran(house, SCRIPT, house.job("failing.py")).returncode != 0)


def written_by_hand(house, checks):
    """a client with fields that Kyuubi has not"""
    # As public code does: a field of its own, and only 200 and 201 taken for a success.
    body = {"batchType": "PYSPARK", "resource": house.job("hello.py"), "proxyUser": "eve", "args": [1, True, 2.5],
            "conf": {"spark.n": 5}}
    status, batch = call(house.main, "POST", "/batches", body, headers={"Accept": "application/json"})
    checks.that("it is taken", status in (200, 201), batch)
    checks.equal("and the field of its own means nothing", batch.get("user"), "ann")
    call(house.main, "DELETE", f"/batches/{batch['id']}")


CASES = [example_script, written_by_hand]
