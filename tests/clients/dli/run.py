"""Stock clients of Huawei Cloud DLI: the Python SDK, signed and with a token; curl. How it is run: lib/running.py."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from lib import running
from lib.proxy import EVERY_DIALECT

MODULES = ["following", "listing", "refusing", "stopping", "retrying", "proving", "signing", "other_clients"]


def begin(house):
    house.main = house.proxy("proxy", dialects=EVERY_DIALECT)


if __name__ == "__main__":
    sys.exit(running.main(MODULES, lambda folder: None, begin))
