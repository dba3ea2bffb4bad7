"""Runs a folder's cases and reports on them, the same way for every folder.

    python FOLDER/run.py [WORD...]              only the cases whose name has one of the words
    python FOLDER/run.py --over KIND [WORD...]  over another platform of that kind, instead of over this machine
    python FOLDER/run.py --list

The last line is `N passed, M failed`. If anything failed, the folder with all logs is kept and named.
"""

import importlib
import json
import os
import pathlib
import signal
import sys

from . import differences
from .checks import Checks
from .house import House

TIME_LIMIT = 15 * 60
PLATFORMS = ("livy", "kyuubi", "dli", "kylin")


def selected(modules, words):
    """(name, case) of each in cases/MODULE.py. Imported only here: some clients read their environment once, at import."""
    found = [importlib.import_module(f"cases.{module}") for module in modules]
    cases = [(f"{module.__name__.removeprefix('cases.')}: {case.__doc__.splitlines()[0]}", case)
             for module in found for case in module.CASES]
    return [(name, case) for name, case in cases if not words or any(word in name for word in words)]


def uncalled(calls):
    """What operations.json, from which docs/conformance.md is made, says of this folder's clients and no proxy has counted."""
    folder = pathlib.Path(sys.argv[0]).resolve().parent
    known = json.loads((folder.parent / "operations.json").read_text())["calls"]
    return [f"{dialect} {name}" for dialect, rows in known.items() for name, row in rows.items()
            if folder.name in row["by"] and (dialect, row["operation"]) not in calls]


def give_up(signum, _frame):
    raise SystemExit(f"ended by {signal.Signals(signum).name}")


def words():
    """(kind of platform or None, the words that cases are chosen by) of the command line."""
    given = sys.argv[1:]
    if given[:1] == ["--over"]:
        if given[1:2] not in ([kind] for kind in PLATFORMS):
            sys.exit(f"--over one of {', '.join(PLATFORMS)}")
        return given[1], given[2:]
    return None, given


def main(modules, prepare, begin):
    """`prepare(folder)` comes before the clients are imported, `begin(house)` starts what all cases share. The exit code."""
    over, chosen = words()
    if chosen == ["--list"]:
        print("\n".join(name for name, _ in selected(modules, [])))
        return 0
    suite = pathlib.Path(sys.argv[0]).resolve().parent.name
    known = differences.of(suite, over)
    house = House(over)
    # Clients write to the standard streams what belongs into a file; the report keeps a stream of its own.
    report = os.fdopen(os.dup(1), "w")
    chatter = os.open(house.root / "clients.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    os.dup2(chatter, 1)
    os.dup2(chatter, 2)
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP):
        signal.signal(ending, give_up)
    signal.alarm(TIME_LIMIT)

    checks = Checks(report, known)
    # All is on loopback, whatever the machine's own settings say.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    try:
        prepare(house.root)
        cases = [(name, case) for name, case in selected(modules, chosen) if not differences.is_left_out(suite, over, name)]
        begin(house)
        for name, case in cases:
            with checks.case(name):
                case(house, checks)
    except BaseException as ended:
        checks.that("the run comes to its end", False, repr(ended))
    with checks.case("afterwards"):
        left = house.close()
        checks.that("no process of the proxy, its jobs or Spark is left", not left, "\n".join(map(str, left)))
        if not chosen:
            missing = uncalled(house.calls) if over is None else []
            checks.that("every call was made that operations.json says", not missing, ", ".join(missing))
            for difference in known:
                checks.equal(f"{difference.name}: met as often as is known", difference.met, difference.over[over])
    if checks.failed:
        for proxy in house.proxies:
            checks.say(f"--- {proxy.output.name}, its end\n{proxy.read()[-2000:]}")
        checks.say(f"all logs: {house.root}")
    else:
        house.remove()
    checks.say(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed or not checks.passed else 0
