"""Submitting a batch with every field that Livy has, following it to its end, and reading its log."""

import pathlib
import tarfile
import uuid
import zipfile

import stock
from airflow.providers.apache.livy.hooks.livy import BatchState, LivyHook
from airflow.providers.apache.livy.operators.livy import LivyOperator
from airflow.providers.common.compat.sdk import AirflowException
from lib.checks import until
from lib.jobs import fields
from lib.proxy import files_below, holding

KEYS = ["id", "name", "owner", "proxyUser", "state", "appId", "appInfo", "log"]
ALIVE = [BatchState.STARTING, BatchState.RUNNING]
FAST = {"spark.ui.enabled": "false"}


def to_its_end(hook, batch):
    """The states that the hook saw on the way, each once, in the order of their first sight."""
    seen = []

    def ended():
        state = hook.get_batch_state(batch)
        if state not in seen:
            seen.append(state)
        return state in hook.TERMINAL_STATES

    until(f"batch {batch} ends", ended, pause=0.1)
    return seen


def dumped(hook, batch):
    """What the hook's own log reader showed of a batch: its pages, line by line."""
    with stock.logged() as lines:
        hook.dump_batch_logs(batch)
    return lines


def every_field(house, checks):
    """every field of Livy reaches the job"""
    folder = house.folder("fields")
    (folder / "shipped.py").write_text("WORD = 'by pyFiles'\n")
    (folder / "data.txt").write_text("by files\n")
    (folder / "inside.txt").write_text("by archives\n")
    with tarfile.open(folder / "packed.tar.gz", "w:gz") as packed:
        packed.add(folder / "inside.txt", "inside.txt")
    with zipfile.ZipFile(folder / "extra.jar", "w") as jar:
        jar.writestr("in-the-jar.txt", "by jars")

    hook = LivyHook()
    batch = hook.post_batch(
        file=house.job("fields.py"),
        class_name="org.example.IgnoredForPython",
        args=["--day", "2026-01-31", 7, "a b", "\"'$HOME`;", "ÄÖ ✓"],
        jars=[str(folder / "extra.jar")], py_files=[str(folder / "shipped.py")], files=[str(folder / "data.txt")],
        archives=[f"{folder / 'packed.tar.gz'}#unpacked"],
        name="every field", driver_memory="640m", driver_cores="1", executor_memory="512m", executor_cores=1,
        num_executors="2", queue="nightly", conf={**FAST, "spark.test.word": "a word", "spark.test.number": 42})
    checks.that("the id is a positive integer", isinstance(batch, int) and batch > 0, batch)
    seen = to_its_end(hook, batch)
    lines = dumped(hook, batch)
    if not checks.that("it ends in success, seen alive before", seen[-1] is BatchState.SUCCESS and len(seen) > 1, seen):
        checks.say("\n".join(lines[-40:]))
        return
    checks.that("only live states come before the end", all(state in ALIVE for state in seen[:-1]), seen)

    got = fields(lines)
    checks.equal("args, as they were given", got["args"], ["--day", "2026-01-31", "7", "a b", "\"'$HOME`;", "ÄÖ ✓"])
    checks.equal("jars", got["jars"], True)
    checks.equal("pyFiles", got["py_files"], "by pyFiles")
    checks.equal("files", got["files"], "by files")
    checks.equal("archives", got["archives"], "by archives")
    conf = got["conf"]
    checks.equal("name", conf["spark.app.name"], "every field")
    checks.equal("driverMemory", conf["spark.driver.memory"], "640m")
    checks.that("driverMemory is the JVM's own size", 500 << 20 < got["heap"] <= 640 << 20, got["heap"])
    checks.equal("driverCores", conf["spark.driver.cores"], "1")
    checks.equal("executorMemory", conf["spark.executor.memory"], "512m")
    checks.equal("executorCores", conf["spark.executor.cores"], "1")
    checks.equal("numExecutors", conf["spark.executor.instances"], "2")
    checks.equal("conf, a text", conf["spark.test.word"], "a word")
    checks.equal("conf, a number", conf["spark.test.number"], "42")
    checks.equal("the master is the operator's choice", conf["spark.master"], "local[2]")

    shown = hook.get_batch(batch)
    checks.equal("the batch has Livy's eight keys", sorted(shown), sorted(KEYS))
    checks.equal("its id", shown["id"], batch)
    checks.equal("its name", shown["name"], "every field")
    checks.equal("its state", shown["state"], "success")
    checks.that("its log is the last lines", shown["log"] and set(shown["log"]) <= set(lines), shown["log"])


def operator(house, checks):
    """the operator waits for a job and gives its id"""
    given = stock.context()
    task = LivyOperator(task_id="count", file=house.example("demo/wordcount.py"),
                        args=[house.example("demo/text.txt"), 3], conf=FAST, polling_interval=0.3)
    with stock.logged() as lines:
        batch = task.execute(given)
    checks.that("it returns the id", isinstance(batch, int) and batch > 0, batch)
    checks.that("it pushes app_id", "app_id" in given["ti"].xcom, given["ti"].xcom)
    counted = [line for line in lines if line in ("  1  the            1642", "  2  and             872",
                                                  "  3  to              729")]
    checks.equal("the job's output is in the task's log", len(counted), 3)
    checks.that("without polling it returns at once", isinstance(
        LivyOperator(task_id="sent", file=house.job("lines.py"), args=[1], polling_interval=0).execute(given), int))


def failing(house, checks):
    """a failing job fails the task"""
    task = LivyOperator(task_id="fail", file=house.job("failing.py"), polling_interval=0.3)
    with stock.logged() as lines:
        checks.raises("the task raises AirflowException", AirflowException, lambda: task.execute(stock.context()),
                      "did not succeed")
    checks.that("the job's reason is in the task's log", any("the job's own reason" in line for line in lines))
    checks.equal("the batch is dead", task.hook.get_batch_state(task._batch_id), BatchState.DEAD)


def jar(house, checks):
    """a jar with a class runs"""
    library = next(pathlib.Path(house.spark_home, "jars").glob("spark-hive-thriftserver_*.jar"))
    task = LivyOperator(
        task_id="sql", file=str(library), polling_interval=0.3,
        class_name="org.apache.spark.sql.hive.thriftserver.SparkSQLCLIDriver",
        args=["-e", "select concat('rows ', count(*)) from range(1234)"],
        conf={**FAST, "spark.sql.catalogImplementation": "in-memory"})
    with stock.logged() as lines:
        task.execute(stock.context())
    checks.that("the class ran with its arguments", "rows 1234" in lines, lines[-15:])


def long_log(house, checks):
    """a log of thousands of lines arrives whole, each line once"""
    folder = house.folder("lines")
    hook = LivyHook()
    batch = hook.post_batch(file=house.job("lines.py"), args=[6000, str(folder)])
    expected = [f"line {number:06d} of 6000 ✓ \U0001f680" for number in range(1, 6001)]
    until("half of the lines are written", (folder / "half").exists)
    until("half of the lines are shown", lambda: hook.get_batch_logs(batch, 0, 1)["total"] >= 3000)
    half = [line for line in dumped(hook, batch) if line.startswith("line ")]
    checks.equal("half way: the first 3000, in order, once", half, expected[:3000])

    (folder / "go").touch()
    checks.equal("it ends in success", to_its_end(hook, batch)[-1], BatchState.SUCCESS)
    whole = [line for line in dumped(hook, batch) if line.startswith("line ")]
    checks.equal("at the end: all 6000, in order, once", whole, expected)

    total = hook.get_batch_logs(batch, 0, 1)["total"]
    checks.equal("past the end there is an empty page", hook.get_batch_logs(batch, total, 100)["log"], [])
    pages = [hook.get_batch_logs(batch, at, 777) for at in range(0, total, 777)]
    checks.that("every page says from and total", all(
        (page["id"], page["from"], page["total"]) == (batch, at * 777, total) for at, page in enumerate(pages)))
    joined = [line for page in pages for line in page["log"]]
    checks.equal("pages of another size join to as many lines", len(joined), total)
    checks.equal("and to the same", [line for line in joined if line.startswith("line ")], expected)


def prefix(house, checks):
    """the hook's endpoint_prefix works too"""
    hook = LivyHook(endpoint_prefix="livy")
    batch = hook.post_batch(file=house.job("lines.py"), args=[3])
    checks.equal("submitted and followed under /livy", to_its_end(hook, batch)[-1], BatchState.SUCCESS)
    checks.equal("the same batch as without", LivyHook().get_batch(batch)["id"], batch)
    checks.that("its log too", [line for line in dumped(hook, batch) if line.startswith("line 000003")])
    checks.equal("deleted under /livy", hook.delete_batch(batch), {"msg": "deleted"})


def secrets(house, checks):
    """a secret in conf is nowhere on disk once the job has ended"""
    secret = f"hush-{uuid.uuid4().hex}"
    hook = LivyHook()
    batch = hook.post_batch(file=house.job("lines.py"), args=[1], conf={"spark.hadoop.fs.s3a.secret.key": secret})
    checks.equal("it ends in success", to_its_end(hook, batch)[-1], BatchState.SUCCESS)

    def holders():
        return holding([*files_below(house.main.dir), house.main.output], [secret.encode()])

    # What the job was started with may outlive it by a moment.
    checks.that("no file of the proxy has it", until("it is gone", lambda: not holders(), deadline=10))


CASES = [every_field, operator, failing, jar, long_log, prefix, secrets]
