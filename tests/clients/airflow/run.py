"""Stock clients of Livy against Batchlingua: Airflow's LivyHook, LivyOperator and LivyTrigger, pylivy, curl.

    python run.py [WORD...]        only the cases whose name has one of the words
    python run.py --list

Needs a Python with requirements.txt installed, and Spark: see lib/house.py for BATCHLINGUA_BIN, SPARK_HOME, SPARK_PYTHON.
The last line is `N passed, M failed`. If anything failed, the folder with all logs is kept and named.
"""

import os
import pathlib
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import stock
from lib.checks import Checks
from lib.house import House

TIME_LIMIT = 15 * 60


def selected(words):
    from cases import clustering, deferring, following, other_clients, refusing, restarting, stopping, whole_airflow

    modules = [following, refusing, stopping, deferring, restarting, other_clients, clustering, whole_airflow]
    cases = [(f"{module.__name__.removeprefix('cases.')}: {case.__doc__.splitlines()[0]}", case)
             for module in modules for case in module.CASES]
    return [(name, case) for name, case in cases if not words or any(word in name for word in words)]


def give_up(signum, _frame):
    raise SystemExit(f"ended by {signal.Signals(signum).name}")


def main(words):
    house = House()
    # Airflow writes to the standard streams what belongs into a file; the report keeps a stream of its own.
    report = os.fdopen(os.dup(1), "w")
    chatter = os.open(house.root / "airflow.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    os.dup2(chatter, 1)
    os.dup2(chatter, 2)
    for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP):
        signal.signal(ending, give_up)
    signal.alarm(TIME_LIMIT)

    checks = Checks(report)
    stock.prepare(house.root)
    try:
        run(house, checks, words)
    except BaseException as ended:
        checks.that("the run comes to its end", False, repr(ended))
    with checks.case("afterwards"):
        left = house.close()
        checks.that("no process of the proxy, its jobs or Spark is left", not left, "\n".join(map(str, left)))
    if checks.failed:
        for proxy in house.proxies:
            checks.say(f"--- {proxy.output.name}, its end\n{proxy.read()[-2000:]}")
        checks.say(f"all logs: {house.root}")
    else:
        house.remove()
    checks.say(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed or not checks.passed else 0


def run(house, checks, words):
    cases = selected(words)
    house.main = house.proxy("proxy")
    stock.connect(house.main)
    for name, case in cases:
        with checks.case(name):
            case(house, checks)


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print("\n".join(name for name, _ in selected([])))
        sys.exit()
    sys.exit(main(sys.argv[1:]))
