"""What Airflow gives an operator at run time, and a way to see what it logs. Airflow itself is not touched.

Import it only after `prepare`: Airflow reads its environment once, when it is first imported.
"""

import contextlib
import os
import threading


def prepare(folder):
    """An Airflow that needs no database: connections come from the environment, nothing is sent anywhere."""
    os.environ.update({
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    })


def connect(proxy, name="livy_default", login=""):
    """Makes the proxy known under a connection's name, as an operator of Airflow would."""
    os.environ[f"AIRFLOW_CONN_{name.upper()}"] = f"livy://{login}127.0.0.1:{proxy.port}"


class TaskInstance:
    """The part of the task instance that LivyOperator uses."""

    stats_tags = {}

    def __init__(self):
        self.xcom = {}

    def xcom_push(self, key, value):
        self.xcom[key] = value


def context(store=None):
    """`store` stands for Airflow's task state store, which outlives an attempt: a dict has its get and its item."""
    given = {"ti": TaskInstance()}
    if store is not None:
        given["task_state_store"] = store
    return given


@contextlib.contextmanager
def logged():
    """The list of what Airflow logs meanwhile, one entry a call, as it was given to the logger."""
    import structlog

    lines = []

    def keep(_logger, _method, event):
        lines.append(str(event.get("event")))
        return event

    # In place: Airflow's loggers hold on to this very list once they have been used.
    processors = structlog.get_config()["processors"]
    processors.insert(0, keep)
    try:
        yield lines
    finally:
        processors.remove(keep)


class Attempt(threading.Thread):
    """An operator's `execute` beside the test, as a worker runs it. What it gave or raised is kept."""

    def __init__(self, operator, given):
        super().__init__(daemon=True)
        self.operator = operator
        self.given = given
        self.result = None
        self.error = None
        self.start()

    def run(self):
        try:
            self.result = self.operator.execute(self.given)
        except BaseException as error:
            self.error = error

    def over(self, deadline=90):
        self.join(deadline)
        return not self.is_alive()


def final_event(trigger):
    """The event that a trigger fires, from a copy made as the triggerer makes it: from its serialized form."""
    import asyncio

    from airflow.sdk.module_loading import import_string

    path, arguments = trigger.serialize()

    async def first():
        async for event in import_string(path)(**arguments).run():
            return event.payload

    return asyncio.run(first())
