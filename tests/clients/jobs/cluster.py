"""Counts on a cluster's executors, then stays until it may go:  cluster.py FOLDER

FOLDER/counted gets the master, the application's id and the count, once executors have answered.
"""

import json
import os
import pathlib
import sys
import time

from pyspark.sql import SparkSession

folder = pathlib.Path(sys.argv[1])
session = SparkSession.builder.getOrCreate()
context = session.sparkContext
# What runs inside an executor has another process for a parent than the driver has.
executors = context.parallelize(range(4), 4).map(lambda _: os.environ.get("SPARK_EXECUTOR_DIRS", "")).collect()
found = {"master": context.master, "app": context.applicationId, "count": session.range(1000).count(),
         "on_executors": all(executors)}
(folder / "counted.new").write_text(json.dumps(found))
(folder / "counted.new").rename(folder / "counted")
print("counted " + json.dumps(found), flush=True)
give_up = time.monotonic() + 300
while not (folder / "go").exists() and time.monotonic() < give_up:
    time.sleep(0.05)
session.stop()
