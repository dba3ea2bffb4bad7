"""Counts the words of a text and prints the most frequent ones.

    wordcount.py TEXT [HOW_MANY]

A Spark job where pyspark can be imported, plain Python where it cannot, so that the demo has a real job on any machine.
Both print the same lines: they share `words`, and ties are broken by the word itself, since Spark gives equal counts in
any order.
"""

import collections
import os
import pathlib
import re
import shutil
import sys


def words(line):
    # Upper case for emphasis is this text's italics, and a quotation mark at either end is no part of a word.
    return [word for raw in re.findall(r"[a-z']+", line.lower()) if (word := raw.strip("'"))]


def most_frequent_first(counted):
    word, count = counted
    return (-count, word)


def count_with_spark(session, text, how_many):
    # As a URI, or a cluster would look for the path on its default file system.
    lines = session.sparkContext.textFile(pathlib.Path(text).resolve().as_uri())
    counts = lines.flatMap(words).map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b)
    return counts.takeOrdered(how_many, key=most_frequent_first)


def count_here(text, how_many):
    with open(text, encoding="utf-8") as lines:
        counts = collections.Counter(word for line in lines for word in words(line))
    return sorted(counts.items(), key=most_frequent_first)[:how_many]


def spark_session():
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        return None
    # spark-submit has a JVM at hand and says so; without it, pyspark alone can do nothing where Java is missing.
    if not (os.environ.get("PYSPARK_GATEWAY_PORT") or os.environ.get("JAVA_HOME") or shutil.which("java")):
        return None
    return SparkSession.builder.getOrCreate()


def main(text, how_many="10"):
    session = spark_session()
    if session is None:
        counted = count_here(text, int(how_many))
    else:
        counted = count_with_spark(session, text, int(how_many))
        session.stop()
    for rank, (word, count) in enumerate(counted, 1):
        print(f"{rank:>3}  {word:<12} {count:>6}")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit("usage: wordcount.py TEXT [HOW_MANY]")
    main(*sys.argv[1:])
