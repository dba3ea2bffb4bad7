"""What only shows where a platform stands behind the proxy: either of the two goes away and comes back, and no job runs twice.

Run it with --over; how: lib/running.py.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from lib import running
from lib.proxy import EVERY_DIALECT

MODULES = ["living", "restarting", "submitting"]


def begin(house):
    if house.over is None:
        raise SystemExit("these cases are about two proxies: --over KIND")
    house.main = house.proxy("proxy", dialects=EVERY_DIALECT)


if __name__ == "__main__":
    sys.exit(running.main(MODULES, lambda folder: None, begin))
