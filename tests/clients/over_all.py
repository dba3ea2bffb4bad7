"""Every folder's cases over every kind of platform that can: each a run of its own, several at once.

    python over_all.py [FOLDER[:KIND]...]

A run's report is shown when it has ended; at the end the time of each.
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
SUBMITTING = ("livy", "kyuubi", "dli")
# Long ones first, so that the last one is short. Kylin's API has no call to submit: there the batches come another way, and what
# is left of the folders is following, listing, logs and cancelling.
RUNS = [("airflow", kind) for kind in SUBMITTING] + [("chains", kind) for kind in (*SUBMITTING, "kylin")] + [
    (folder, kind) for folder in ("dli", "kyuubi") for kind in SUBMITTING] + [
    (folder, kind) for folder in ("kylin", "together") for kind in (*SUBMITTING, "kylin")]
# They wait for each other's processors, but more for their own jobs' ends.
AT_ONCE = int(os.environ.get("BATCHLINGUA_RUNS_AT_ONCE") or (os.cpu_count() or 1) + 1)


def run(folder, kind):
    began = time.monotonic()
    done = subprocess.run([sys.executable, HERE / folder / "run.py", "--over", kind], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return folder, kind, done.returncode, done.stdout, time.monotonic() - began


def main():
    chosen = [tuple(word.split(":")) for word in sys.argv[1:]]
    runs = [each for each in RUNS if not chosen or each in chosen or each[:1] in chosen]
    rows, began = [], time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run, *each) for each in runs]):
            folder, kind, code, report, seconds = future.result()
            print(f"--- {folder} over {kind}\n{report}", flush=True)
            rows.append((folder, kind, "ok" if code == 0 else "FAILED", seconds, next(reversed(report.splitlines()), "")))
    for folder, kind, result, seconds, counted in sorted(rows, key=lambda row: runs.index(row[:2])):
        print(f"{folder:10} over {kind:8} {result:7} {seconds:6.1f} s   {counted}")
    print(f"{len(rows)} runs, {AT_ONCE} at once, in {time.monotonic() - began:.1f} s")
    return 0 if rows and all(row[2] == "ok" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
