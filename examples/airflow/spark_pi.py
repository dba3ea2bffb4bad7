"""Estimates pi by throwing darts on a Spark cluster: the usual first job.  spark_pi.py [PARTITIONS]"""

import random
import sys

from pyspark.sql import SparkSession

DARTS = 100_000


def inside(seed):
    throw = random.Random(seed)
    return sum(throw.random() ** 2 + throw.random() ** 2 <= 1 for _ in range(DARTS))


def main(partitions="4"):
    spark = SparkSession.builder.getOrCreate()
    partitions = int(partitions)
    hits = spark.sparkContext.parallelize(range(partitions), partitions).map(inside).sum()
    print(f"Pi is roughly {4 * hits / (DARTS * partitions):.3f}")
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
