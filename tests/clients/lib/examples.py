"""Runs what examples/ has, as its reader would."""

import os
import subprocess
import sys


def ran(house, name, *words, proxy=None, **settings):
    """examples/NAME with these words, against the proxy that all cases share or another, with these variables set."""
    command = [sys.executable, house.example(name)] if name.endswith(".py") else [house.example(name)]
    given = {**os.environ, "BATCHLINGUA_URL": (proxy or house.main).url, **settings}
    return subprocess.run([*command, *words], env=given, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
