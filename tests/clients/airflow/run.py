"""Stock clients of Livy: Airflow's LivyHook, LivyOperator and LivyTrigger, pylivy, curl. How it is run: lib/running.py."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import stock
from lib import running

MODULES = ["following", "refusing", "stopping", "deferring", "restarting", "other_clients", "clustering", "whole_airflow"]


def begin(house):
    house.main = house.proxy("proxy")
    stock.connect(house.main)


if __name__ == "__main__":
    sys.exit(running.main(MODULES, stock.prepare, begin))
