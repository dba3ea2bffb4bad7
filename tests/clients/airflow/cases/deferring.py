"""The deferrable path: the operator hands over to the trigger, the trigger's event brings the operator back."""

import datetime

import stock
from airflow.providers.apache.livy.operators.livy import LivyOperator
from airflow.providers.apache.livy.triggers.livy import LivyTrigger
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred
from cases.refusing import UNKNOWN
from lib.checks import until
from lib.jobs import gone, started


def deferred(task):
    """The trigger and the method to come back to, as `execute` raised them."""
    try:
        task.execute(stock.context())
    except TaskDeferred as asked:
        return asked
    raise AssertionError("the operator did not defer")


def success(house, checks):
    """a job that succeeds"""
    task = LivyOperator(task_id="deferred", file=house.job("lines.py"), args=[500], polling_interval=1, deferrable=True)
    asked = deferred(task)
    checks.equal("it comes back to", asked.method_name, "execute_complete")
    event = stock.final_event(asked.trigger)
    checks.equal("the event", (event["status"], event["batch_id"]), ("success", task._batch_id))
    # The trigger asks for one page, whatever the total is.
    numbered = [line for line in event["log_lines"] if line.startswith("line ")]
    checks.that("it carries the first page of the log", len(event["log_lines"]) == 100 and
                numbered == [f"line {number:06d} of 500 ✓ \U0001f680" for number in range(1, len(numbered) + 1)],
                event["log_lines"][:10])
    given = stock.context()
    with stock.logged() as lines:
        returned = getattr(task, asked.method_name)(given, event)
    checks.equal("the operator returns the id", returned, task._batch_id)
    checks.that("it pushes app_id", "app_id" in given["ti"].xcom)
    checks.that("and shows the page", set(numbered) <= set(lines))


def failure(house, checks):
    """a job that fails"""
    task = LivyOperator(task_id="deferred", file=house.job("failing.py"), polling_interval=1, deferrable=True)
    event = stock.final_event(deferred(task).trigger)
    checks.equal("the event", event["status"], "error")
    checks.that("it has the job's reason", any("the job's own reason" in line for line in event["log_lines"]),
                event["log_lines"])
    checks.raises("the operator raises", AirflowException, lambda: task.execute_complete(stock.context(), event),
                  "did not succeed")


def timeout(house, checks):
    """a job that takes too long is cancelled"""
    folder = house.folder("timeout")
    task = LivyOperator(task_id="deferred", file=house.job("waiting.py"), args=[str(folder)], polling_interval=1,
                        deferrable=True, execution_timeout=datetime.timedelta(seconds=2))
    trigger = deferred(task).trigger
    pids = started(folder)[0]
    event = stock.final_event(trigger)
    checks.equal("the event", event["status"], "timeout")
    checks.raises("the operator raises", AirflowException, lambda: task.execute_complete(stock.context(), event),
                  "timed out")
    until("the job's processes are gone", lambda: gone(pids), deadline=20)
    checks.equal("the batch is forgotten", house.main.call("GET", f"/batches/{task._batch_id}")[0], 404)


def unknown(house, checks):
    """an id that is not there fails at once"""
    event = stock.final_event(LivyTrigger(batch_id=UNKNOWN, spark_params={}, polling_interval=1))
    checks.equal("the event", (event["status"], event["batch_id"]), ("error", UNKNOWN))


CASES = [success, failure, timeout, unknown]
