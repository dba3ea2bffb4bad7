"""Runs until it is told to go on:  waiting.py FOLDER [EXIT_CODE]

FOLDER/started gets a line for every time that it is run, with its own pid and its JVM's; FOLDER/go ends the wait.
"""

import os
import pathlib
import sys
import time

folder = pathlib.Path(sys.argv[1])
with open(folder / "started", "a") as started:
    started.write(f"{os.getpid()} {os.getppid()}\n")
print("waiting", flush=True)
give_up = time.monotonic() + 300
while not (folder / "go").exists():
    if time.monotonic() > give_up:
        sys.exit("nobody let this job go on")
    time.sleep(0.05)
print("went on", flush=True)
(folder / "ended").touch()
sys.exit(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
