"""Prints, as one line of JSON, what reached the job of the fields that a client sent."""

import json
import pathlib
import sys

import shipped  # a module that only pyFiles can bring
from pyspark import SparkFiles
from pyspark.sql import SparkSession

SETTINGS = ["spark.driver.memory", "spark.driver.cores", "spark.executor.memory", "spark.executor.cores",
            "spark.executor.instances", "spark.app.name", "spark.master", "spark.test.word", "spark.test.number"]


def resource(session, name):
    """A jar is no file to read: it is on the class path or it is not."""
    loader = session._jvm.java.lang.Thread.currentThread().getContextClassLoader()
    return loader.getResource(name) is not None


session = SparkSession.builder.getOrCreate()
unpacked = pathlib.Path(SparkFiles.get("unpacked")) / "inside.txt"
# In one write with its end: Spark writes to the same file.
sys.stdout.write("FIELDS " + json.dumps({
    "args": sys.argv[1:],
    "conf": {key: session.conf.get(key, None) for key in SETTINGS},
    "heap": session._jvm.java.lang.Runtime.getRuntime().maxMemory(),
    "py_files": shipped.WORD,
    "files": pathlib.Path(SparkFiles.get("data.txt")).read_text().strip(),
    "archives": unpacked.read_text().strip() if unpacked.exists() else None,
    "jars": resource(session, "in-the-jar.txt"),
}) + "\n")
session.stop()
