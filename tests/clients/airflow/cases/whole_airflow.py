"""Airflow as a whole: its command, its database, a run of the example DAG from end to end."""

import os
import pathlib
import subprocess
import sys


def example_dag(house, checks):
    """examples/airflow/spark_pi_dag.py runs through"""
    airflow = pathlib.Path(sys.executable).with_name("airflow")
    given = {**os.environ, "AIRFLOW__CORE__DAGS_FOLDER": house.example("airflow"),
             "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{house.root}/airflow.db"}

    def ran(*words, **more):
        return subprocess.run([airflow, *words], env={**given, **more}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=300)

    made = ran("db", "migrate")
    if not checks.equal("the database is made", made.returncode, 0):
        checks.say((made.stdout + made.stderr)[-2000:])
        return
    before = {known["id"] for known in house.main.batches()}
    run = ran("dags", "test", "spark_pi")
    if not checks.equal("the run succeeds", run.returncode, 0):
        checks.say((run.stdout + run.stderr)[-6000:])
    made = [known for known in house.main.batches() if known["id"] not in before]
    checks.equal("it made two batches, both good", [known["state"] for known in made], ["success"] * 2)
    for known in made:
        log = house.main.call("GET", f"/batches/{known['id']}/log?size=-1")[2]["log"]
        checks.that(f"batch {known['id']} found pi", any(line.startswith("Pi is roughly 3.1") for line in log), log[-5:])
    checks.that("the name was templated", any((known["name"] or "").startswith("pi-") for known in made), made)


CASES = [example_dag]
