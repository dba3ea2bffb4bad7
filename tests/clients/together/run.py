"""All stock clients at once: LivyHook, the DLI SDK, kylinpy, the Java client's requests. How it is run: lib/running.py."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
# Airflow's `stock` is found by its own name, since `airflow` is Airflow.
sys.path[:0] = [str(HERE), str(HERE.parent)]
sys.path.append(str(HERE.parent / "airflow"))

import stock
from lib import running
from lib.proxy import EVERY_DIALECT

MODULES = ["across", "at_once"]


def begin(house):
    house.main = house.proxy("proxy", dialects=EVERY_DIALECT)
    stock.connect(house.main)


if __name__ == "__main__":
    sys.exit(running.main(MODULES, stock.prepare, begin))
