"""The files of examples/configs, each in front of the platform that it is for. How it is run: lib/running.py."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
# Kyuubi's `stock` is found by its own name, for what its cases have of uploads.
sys.path[:0] = [str(HERE), str(HERE.parent)]
sys.path.append(str(HERE.parent / "kyuubi"))

from lib import running

MODULES = ["checking", "sidecar", "moving", "shim"]


if __name__ == "__main__":
    sys.exit(running.main(MODULES, lambda folder: None, lambda house: None))
