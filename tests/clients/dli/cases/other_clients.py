"""The examples: a script with the SDK, one with curl."""

import os
import subprocess
import sys

from lib.many import PROJECT


def ran(house, command, *words):
    given = {**os.environ, "BATCHLINGUA_URL": house.main.url, "DLI_PROJECT": PROJECT}
    return subprocess.run([*command, *words], env=given, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


def sdk_script(house, checks):
    """examples/python/dli_sdk.py"""
    command = [sys.executable, house.example("python/dli_sdk.py")]
    good = ran(house, command)
    checks.that("it exits with 0", good.returncode == 0, good)
    checks.that("it shows the states", "state success" in good.stdout, good.stdout[:300])
    checks.that("it shows the output", "  1  the            1642" in good.stdout, good.stdout[-600:])
    bad = ran(house, command, "/etc/passwd")
    checks.that("a refusal is shown and fails", bad.returncode != 0 and "/etc/passwd" in bad.stderr
                and "DLI.0001" in bad.stderr, bad)
    checks.that("a failing job fails it", ran(house, command, house.job("failing.py")).returncode != 0)


def curl_script(house, checks):
    """examples/curl/dli.sh"""
    command = [house.example("curl/dli.sh")]
    good = ran(house, command)
    checks.that("it exits with 0", good.returncode == 0, good)
    checks.that("it shows the states", "state success" in good.stdout, good.stdout[:300])
    checks.that("it shows the output", '"  1  the            1642"' in good.stdout, good.stdout[-600:])
    bad = ran(house, command, "/etc/passwd")
    checks.that("a refusal is shown and fails", bad.returncode != 0 and "/etc/passwd" in bad.stderr, bad)
    checks.that("a failing job fails it", ran(house, command, house.job("failing.py")).returncode != 0)


CASES = [sdk_script, curl_script]
