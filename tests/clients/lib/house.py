"""Starts what the client tests talk to: Batchlingua over its local backend or another platform, a Spark cluster on loopback.

Everything lives in one folder that is removed at the end, and every process that is started carries a mark in its
environment, so that the end can show that none is left, jobs included: those are no children of ours, and outlive the
proxy by design.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
import uuid

from .checks import NotInTime, until
from .proxy import CLIENTS, REPOSITORY, Platform, Process, Proxy

MARK = "BATCHLINGUA_TEST_RUN"


def binary():
    """BATCHLINGUA_BIN, else what cargo built last for release, else for debug."""
    named = os.environ.get("BATCHLINGUA_BIN")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
    candidates = [pathlib.Path(named)] if named else [target / build / "batchlingua" for build in ("release", "debug")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    sys.exit(f"no batchlingua at {' or '.join(map(str, candidates))}: build it, or set BATCHLINGUA_BIN")


def spark_python():
    """SPARK_PYTHON, else the one that .ci/run makes from spark/requirements.txt, else our own."""
    made = REPOSITORY / ".venv" / "spark" / "bin" / "python"
    return os.environ.get("SPARK_PYTHON") or (str(made) if made.is_file() else sys.executable)


def spark_home(python):
    """SPARK_HOME, else the pyspark package of that Python."""
    home = os.environ.get("SPARK_HOME")
    if not home:
        asked = [python, "-c", "import os, pyspark; print(os.path.dirname(pyspark.__file__))"]
        home = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    if not home or not (pathlib.Path(home) / "bin" / "spark-submit").is_file():
        sys.exit("no Spark: set SPARK_HOME, or SPARK_PYTHON to a Python that has pyspark")
    return home


class House:
    def __init__(self, over=None):
        # The kind of platform that proxies are to have behind them; None for this machine itself.
        self.over = over
        self.binary = binary()
        self.python = spark_python()
        self.spark_home = spark_home(self.python)
        self.mark = uuid.uuid4().hex
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="batchlingua-clients-")).resolve()
        self.inputs = self.root / "inputs"
        self.inputs.mkdir()
        # Shared with platforms that take no files in a submit.
        self.stage = self.root / "stage"
        self.stage.mkdir()
        self.proxies = []
        # (dialect, operation) of every request that a proxy has answered.
        self.calls = set()
        self.cluster = None

    def environment(self):
        # Spark would bind to the machine's outer address; all of this stays on loopback. Its JVMs live for seconds, and
        # on few cores spend half of them on optimizing what will not run again.
        return {**os.environ, MARK: self.mark, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_HOME": self.spark_home,
                "PYSPARK_PYTHON": self.python, "SPARK_LOCAL_DIRS": str(self.root),
                "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}

    def job(self, name):
        return str(CLIENTS / "jobs" / name)

    def quick(self):
        """A job that does nothing, for lists and crowds. Not every platform runs executables."""
        return self.job("quick.sh" if self.over in (None, "kylin") else "quick.py")

    def example(self, name):
        return str(REPOSITORY / "examples" / name)

    def jar(self):
        """jobs/Jobs.scala as an archive, compiled once by the compiler that Spark has with it: a JRE has none."""
        archive = self.inputs / "jobs.jar"
        if not archive.exists():
            parts = [next(pathlib.Path(self.spark_home, "jars").glob(f"scala-{part}-*.jar"))
                     for part in ("compiler", "library", "reflect")]
            compiler = ["java", "-XX:TieredStopAtLevel=1", "-cp", ":".join(map(str, parts)), "scala.tools.nsc.Main"]
            subprocess.run([*compiler, "-usejavacp", "-d", archive, self.job("Jobs.scala")], check=True,
                           env=self.environment(), stdin=subprocess.DEVNULL)
        return str(archive)

    def folder(self, name):
        """A fresh folder that jobs may read and write."""
        return pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.inputs))

    def proxy(self, name, spark_master="local[2]", concurrency=4, backend=(), **settings):
        """A proxy over this machine, or over the platform that the run is over, which then runs the jobs with these settings."""
        if self.over is None:
            proxy = Proxy(self, name, **settings)
            proxy.configure(proxy.local(spark_master, concurrency, backend))
        else:
            far = Platform(self, name, self.over)
            far.configure(far.local(spark_master, concurrency, backend))
            self.proxies.append(far)
            far.start()
            proxy = Proxy(self, name, far=far, **settings)
            proxy.configure(far.backend())
        self.proxies.append(proxy)
        proxy.start()
        return proxy

    def spark_cluster(self):
        if self.cluster is None:
            self.cluster = SparkCluster(self)
            self.cluster.start()
        return self.cluster

    def ours(self):
        """(pid, command line) of every process that a proxy, a job or the cluster is."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                marked = f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes()
                # A zombie has neither; a backend that gives its jobs a clean environment still names the folder.
                if command and (marked or str(self.root) in command):
                    found.append((int(entry.name), command[:160]))
        return found

    def close(self):
        """Ends everything; what is left besides, as (pid, command line), and is killed then."""
        # Those in front before what is behind them.
        for proxy in reversed(self.proxies):
            proxy.end_jobs()
        for proxy in reversed(self.proxies):
            proxy.stop()
        if self.cluster is not None:
            self.cluster.stop()
        try:
            until("no process is left", lambda: not self.ours(), deadline=15)
            left = []
        except NotInTime:
            left = self.ours()
        for pid, _ in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left

    def remove(self):
        shutil.rmtree(self.root, ignore_errors=True)


class SparkCluster:
    """A standalone master and one worker, both from the pyspark package."""

    def __init__(self, house):
        self.house = house
        self.master = Process(house, "spark-master")
        self.worker = Process(house, "spark-worker")

    def start(self):
        start = [f"{self.house.spark_home}/bin/spark-class"]
        kind = "org.apache.spark.deploy"
        self.master.launch([*start, f"{kind}.master.Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0"])
        self.url = self.said(self.master, r"Starting Spark master at (spark://127\.0\.0\.1:\d+)")
        self.page = "http://127.0.0.1:" + self.said(self.master, r"Bound MasterWebUI to .* started at http://\S+:(\d+)")
        self.worker.launch([*start, f"{kind}.worker.Worker", "--host", "127.0.0.1", "--webui-port", "0", "--cores", "2",
                            "--memory", "1g", "--work-dir", self.house.root / "worker", self.url])
        until("the worker is known to the master", lambda: self.state()["aliveworkers"] == 1)

    def said(self, process, pattern):
        def look():
            if not process.running():
                raise RuntimeError(f"{process.name} ended:\n{process.read()[-3000:]}")
            return re.search(pattern, process.read())
        return until(f"{process.name} says {pattern}", look).group(1)

    def state(self):
        with urllib.request.urlopen(f"{self.page}/json/", timeout=30) as answer:
            return json.load(answer)

    def application(self, app, which="activeapps"):
        return next((known for known in self.state()[which] if known["id"] == app), None)

    def stop(self):
        self.worker.stop()
        self.master.stop()
