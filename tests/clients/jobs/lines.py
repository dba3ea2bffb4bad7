"""Prints many numbered lines:  lines.py HOW_MANY [FOLDER]

With a folder it stops half way until FOLDER/go exists, so that a test can read the log of a job that is still writing it.
"""

import pathlib
import sys
import time

how_many = int(sys.argv[1])
for number in range(1, how_many + 1):
    print(f"line {number:06d} of {how_many} \u2713 \U0001f680")
    if len(sys.argv) > 2 and number == how_many // 2:
        sys.stdout.flush()
        folder = pathlib.Path(sys.argv[2])
        (folder / "half").touch()
        give_up = time.monotonic() + 300
        while not (folder / "go").exists() and time.monotonic() < give_up:
            time.sleep(0.05)
