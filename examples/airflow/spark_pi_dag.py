"""Airflow's own LivyOperator against Batchlingua: nothing here knows that there is no Livy.

Give Airflow the connection, and let the proxy read the job (`allow_dirs` of its local backend must hold this folder):

    AIRFLOW_CONN_LIVY_DEFAULT=livy://127.0.0.1:8998

The job runs twice, once with a worker waiting for it and once deferred: then the triggerer polls, and no worker is held.
"""

import pathlib

from airflow.providers.apache.livy.operators.livy import LivyOperator
from airflow.sdk import DAG

JOB = str(pathlib.Path(__file__).resolve().with_name("spark_pi.py"))

with DAG(dag_id="spark_pi", schedule=None, catchup=False, tags=["batchlingua"]):
    waiting = LivyOperator(
        task_id="pi_waiting",
        file=JOB,
        args=["2"],
        # No two batches that are still listed may share a name, so a run and a retry each need their own.
        name="pi-{{ run_id }}-{{ ti.try_number }}",
        driver_memory="512m",
        conf={"spark.ui.enabled": "false"},
        polling_interval=1,
    )
    deferred = LivyOperator(
        task_id="pi_deferred",
        file=JOB,
        args=["4"],
        conf={"spark.ui.enabled": "false"},
        polling_interval=1,
        deferrable=True,
    )
    waiting >> deferred
