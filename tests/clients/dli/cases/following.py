"""Submitting a batch with every field of the SDK, following it to its end, and reading its log."""

import json
import tarfile
import time
import uuid
import zipfile

from lib.checks import until
from lib.jobs import fields
from lib.proxy import files_below, holding
from stock import FAST, PROJECT, client, listed, log, show, state, submit, to_its_end, whole_log


def every_field(house, checks):
    """every field that a machine without DLI can honour reaches the job"""
    folder = house.folder("fields")
    (folder / "shipped.py").write_text("WORD = 'by pyFiles'\n")
    (folder / "data.txt").write_text("by files\n")
    (folder / "inside.txt").write_text("by archives\n")
    with tarfile.open(folder / "packed.tar.gz", "w:gz") as packed:
        packed.add(folder / "inside.txt", "inside.txt")
    with zipfile.ZipFile(folder / "extra.jar", "w") as jar:
        jar.writestr("in-the-jar.txt", "by jars")

    sdk = client(house.main)
    before = int(time.time() * 1000)
    given = ["--day", "2026-01-31", "a b", "\"'$HOME`;", "ÄÖ ✓"]
    made = submit(
        sdk, file=house.job("fields.py"), class_name="org.example.IgnoredForPython", args=given, name="every field", sc_type="A",
        jars=[str(folder / "extra.jar")], py_files=[str(folder / "shipped.py")], files=[str(folder / "data.txt")],
        driver_memory="640M", driver_cores=1, executor_memory="512M", executor_cores=1, num_executors=2, queue="Nightly",
        conf={**FAST, "spark.test.word": "a word", "spark.test.number": 42,
              "spark.archives": f"{folder / 'packed.tar.gz'}#unpacked"},
        auto_recovery=False, feature="basic", spark_version="3.3.1")
    checks.that("the answer has an id", str(uuid.UUID(made.id)) == made.id, made.id)
    checks.equal("and the state", made.state, "starting")
    checks.equal("its status", made.status_code, 200)
    seen = to_its_end(sdk, made.id)
    lines = whole_log(sdk, made.id)
    if not checks.that("it ends in success, seen alive before", seen[-1] == "success" and len(seen) > 1, seen):
        checks.say("\n".join(lines[-40:]))
        return
    checks.that("only live states come before the end", set(seen[:-1]) <= {"starting", "running"}, seen)

    got = fields(lines)
    checks.equal("args, as they were given", got["args"], given)
    checks.equal("jars, pyFiles, files, archives by conf", (got["jars"], got["py_files"], got["files"], got["archives"]),
                 (True, "by pyFiles", "by files", "by archives"))
    conf = got["conf"]
    checks.equal("name", conf["spark.app.name"], "every field")
    checks.equal("driverMemory", conf["spark.driver.memory"].upper(), "640M")
    checks.that("is the JVM's own size", 500 << 20 < got["heap"] <= 640 << 20, got["heap"])
    checks.equal("driverCores, executorCores, numExecutors",
                 [conf[f"spark.{key}"] for key in ("driver.cores", "executor.cores", "executor.instances")], ["1", "1", "2"])
    checks.equal("executorMemory", conf["spark.executor.memory"].upper(), "512M")
    checks.equal("conf, a text and a number", (conf["spark.test.word"], conf["spark.test.number"]), ("a word", "42"))
    checks.equal("the master is the operator's choice", conf["spark.master"], "local[2]")

    shown = show(sdk, made.id)
    checks.equal("the batch: id, name, state, kind", (shown.id, shown.name, shown.state, shown.kind),
                 (made.id, "every field", "success", "spark"))
    checks.equal("its queue, in lower case, under both names", (shown.queue, shown.cluster_name), ("nightly", "nightly"))
    checks.equal("sizes of its own are CUSTOMIZED", shown.sc_type, "CUSTOMIZED")
    times = [before - 5000, shown.create_time, shown.update_time, int(time.time() * 1000) + 5000]
    checks.that("its times are numbers of milliseconds, in order", times == sorted(times), times)
    checks.that("its log is the last lines, ten at most", 0 < len(shown.log) <= 10 and set(shown.log) <= set(lines), shown.log)
    kept = json.loads(shown.req_body)
    checks.equal("req_body has the request", (kept["file"], kept["name"], kept["queue"], kept["args"][:2]),
                 (house.job("fields.py"), "every field", "nightly", ["--day", "2026-01-31"]))
    checks.equal("feature and spark_version come back", (shown.feature, shown.spark_version), ("basic", "3.3.1"))


def jar(house, checks):
    """a jar with a class; a preset without sizes"""
    sdk = client(house.main)
    made = submit(sdk, file=house.jar(), class_name="org.example.Hello", args=["10", "true"], sc_type=None, queue=None,
                  cluster_name="etl")
    checks.equal("it ends in", to_its_end(sdk, made.id)[-1], "success")
    lines = whole_log(sdk, made.id)
    checks.that("the class ran with its arguments", "arg 1 = [true]" in lines, lines[-10:])
    shown = show(sdk, made.id)
    checks.equal("without sizes it is of type A", shown.sc_type, "A")
    checks.equal("cluster_name is a queue", (shown.queue, shown.cluster_name), ("etl", "etl"))


def failing(house, checks):
    """a failing job is dead, and its log says why"""
    sdk = client(house.main)
    made = submit(sdk, file=house.job("failing.py"))
    checks.equal("it ends in", to_its_end(sdk, made.id)[-1], "dead")
    checks.that("the log has the reason", any("the job's own reason" in line for line in whole_log(sdk, made.id)))


def long_log(house, checks):
    """the log in pages, while it is written and afterwards"""
    sdk = client(house.main)
    folder = house.folder("lines")
    made = submit(sdk, file=house.job("lines.py"), args=["3000", str(folder)])
    expected = [f"line {number:06d} of 3000 ✓ \U0001f680" for number in range(1, 3001)]
    until("half of the lines are written", (folder / "half").exists)
    until("half of the lines are shown", lambda: log(sdk, made.id, start=0, size=1).total >= 1500)
    checks.equal("it runs", state(sdk, made.id), "running")
    half = [line for line in whole_log(sdk, made.id) if line.startswith("line ")]
    checks.equal("half way: the first 1500, in order, once", half, expected[:1500])
    (folder / "go").touch()
    checks.equal("it ends in", to_its_end(sdk, made.id)[-1], "success")
    whole = whole_log(sdk, made.id)
    checks.equal("at the end: all 3000, in order, once", [line for line in whole if line.startswith("line ")], expected)

    total = len(whole)
    for query, first, count in [({}, total - 100, 100), ({"size": 7}, total - 7, 7), ({"start": 5, "size": 7}, 5, 7),
                                ({"start": total, "size": 7}, total, 0), ({"start": 0}, 0, 100)]:
        page = log(sdk, made.id, **query)
        checks.equal(f"log {query}", (page.id, page._from, page.total, page.log),
                     (made.id, first, total, whole[first:first + count]))
    for query in ({"type": "driver"}, {"type": "driver", "index": 0}, {"index": 0}):
        page = log(sdk, made.id, start=0, size=total, **query)
        checks.equal(f"{query}: the job's own lines", [line for line in page.log if line.startswith("line ")], expected)


def secrets(house, checks):
    """a secret in conf is shown to nobody and nowhere on disk once the job has ended"""
    secret = f"hush-{uuid.uuid4().hex}"
    sdk = client(house.main)
    made = submit(sdk, file=house.job("lines.py"), args=["1"], conf={**FAST, "spark.hadoop.fs.obs.secret.key": secret})
    checks.equal("it ends in", to_its_end(sdk, made.id)[-1], "success")
    checks.that("req_body has it masked", secret not in show(sdk, made.id).req_body
                and "fs.obs.secret.key" in show(sdk, made.id).req_body)

    def holders():
        return holding([*files_below(house.main.dir), house.main.output], [secret.encode()])

    checks.that("no file of the proxy has it", until("it is gone", lambda: not holders(), deadline=10))


def projects(house, checks):
    """a batch of another project is not there"""
    made = submit(client(house.main), file=house.job("lines.py"), args=["1"])
    other = client(house.main, project="f" * 32)
    checks.equal("it is in no list of theirs", [known.id for known in listed(other).sessions if known.id == made.id], [])
    status = house.main.call("GET", f"/v2.0/{'f' * 32}/batches/{made.id}")
    checks.equal("nor by its id", (status[0], status[2]["error_code"]), (404, "DLI.0023"))
    checks.equal("it goes on in its own", to_its_end(client(house.main, project=PROJECT), made.id)[-1], "success")


CASES = [every_field, jar, failing, long_log, secrets, projects]
