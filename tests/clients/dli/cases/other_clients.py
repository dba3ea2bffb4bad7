"""The examples: a script with the SDK, one with curl."""

from lib.examples import ran


def sdk_script(house, checks):
    """examples/python/dli_sdk.py"""
    good = ran(house, "python/dli_sdk.py")
    checks.that("it exits with 0", good.returncode == 0, good)
    checks.that("it shows the states", "state success" in good.stdout, good.stdout[:300])
    checks.that("it shows the output", "  1  the            1642" in good.stdout, good.stdout[-600:])
    bad = ran(house, "python/dli_sdk.py", "/etc/passwd")
    checks.that("a refusal is shown and fails", bad.returncode != 0 and "/etc/passwd" in bad.stderr
                and "DLI.0001" in bad.stderr, bad)
    checks.that("a failing job fails it", ran(house, "python/dli_sdk.py", house.job("failing.py")).returncode != 0)


def curl_script(house, checks):
    """examples/curl/dli.sh"""
    good = ran(house, "curl/dli.sh")
    checks.that("it exits with 0", good.returncode == 0, good)
    checks.that("it shows the states", "state success" in good.stdout, good.stdout[:300])
    checks.that("it shows the output", '"  1  the            1642"' in good.stdout, good.stdout[-600:])
    bad = ran(house, "curl/dli.sh", "/etc/passwd")
    checks.that("a refusal is shown and fails", bad.returncode != 0 and "/etc/passwd" in bad.stderr, bad)
    checks.that("a failing job fails it", ran(house, "curl/dli.sh", house.job("failing.py")).returncode != 0)


CASES = [sdk_script, curl_script]
