"""Starts what the client tests talk to: Batchlingua over its local backend, and a Spark cluster on loopback.

Everything lives in one folder that is removed at the end, and every process that is started carries a mark in its
environment, so that the end can show that none is left, jobs included: those are no children of ours, and outlive the
proxy by design.
"""

import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import uuid

from .checks import NotInTime, until

EVERY_DIALECT = ("kyuubi", "livy", "dli", "kylin")
CLIENTS = pathlib.Path(__file__).resolve().parent.parent
REPOSITORY = CLIENTS.parent.parent
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


def free_port():
    """For a listener that must come back at the same address after it was killed; port 0 serves all the others."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class House:
    def __init__(self):
        self.binary = binary()
        self.python = spark_python()
        self.spark_home = spark_home(self.python)
        self.mark = uuid.uuid4().hex
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="batchlingua-clients-")).resolve()
        self.inputs = self.root / "inputs"
        self.inputs.mkdir()
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

    def proxy(self, name, **settings):
        proxy = Proxy(self, name, **settings)
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
        for proxy in self.proxies:
            proxy.end_jobs()
        for proxy in self.proxies:
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


class Process:
    """A child with its output in a file; ended by TERM, or by KILL if it does not listen."""

    def __init__(self, house, name):
        self.house = house
        self.name = name
        self.child = None
        self.output = house.root / f"{name}.log"

    def launch(self, command, **extra):
        with open(self.output, "ab") as output:
            self.child = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**self.house.environment(), **extra}, cwd=self.house.root)

    def running(self):
        return self.child is not None and self.child.poll() is None

    def ending(self):
        """Before it is told to end."""

    def read(self):
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def kill(self):
        """As the kernel does when memory runs out: no handler runs, nothing is flushed."""
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def stop(self):
        if self.running():
            self.ending()
            self.child.terminate()
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


class Proxy(Process):
    """`batchlingua serve` on a port that it keeps when it is started again."""

    def __init__(self, house, name, spark_master="local[2]", concurrency=4, dialects=("livy",), backend=(), listener=(),
                 limits=(), sections=(), login=None):
        super().__init__(house, name)
        self.port = free_port()
        self.dir = house.root / name
        self.dir.mkdir()
        self.config = self.dir / "config.toml"
        self.ready = self.dir / "ready.json"
        self.dialects = dialects
        self.login = {"Authorization": basic(*login)} if login else {}
        self.config.write_text(toml(spark_master, concurrency, self, backend, listener, limits, sections))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self.ready.unlink(missing_ok=True)
        self.launch([self.house.binary, "serve", "--config", self.config, "--ready-file", self.ready])
        until(f"{self.name} listens", lambda: self.ready.exists() or not self.running(), deadline=30)
        if not self.ready.exists():
            raise RuntimeError(f"{self.name} ended with {self.child.returncode}:\n{self.read()[-3000:]}")
        bound = json.loads(self.ready.read_text())["listeners"]["main"]
        if bound != f"127.0.0.1:{self.port}":
            raise RuntimeError(f"{self.name} was to listen on port {self.port} and says {bound}")

    def call(self, method, path, body=None, headers=()):
        """(status, headers, body) of a plain call; JSON is read, other bodies stay text."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self.login, **dict(headers)}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, readable(answer.read())
        except urllib.error.HTTPError as answer:
            return answer.code, answer.headers, readable(answer.read())

    def ending(self):
        """What it has counted is remembered: which calls were made at all."""
        with contextlib.suppress(OSError, KeyError, TypeError):
            admin = json.loads(self.ready.read_text())["admin"]
            with urllib.request.urlopen(f"http://{admin}/metrics", timeout=30) as answer:
                counted = re.findall(r'^batchlingua_requests_total\{([^}]*)\} ', answer.read().decode(), re.MULTILINE)
            for labels in counted:
                found = dict(re.findall(r'(\w+)="([^"]*)"', labels))
                self.house.calls.add((found["dialect"], found["operation"]))

    def batches(self):
        return self.call("GET", "/batches?size=1000")[2]["sessions"]

    def state(self, batch):
        return self.call("GET", f"/batches/{batch}/state")[2].get("state")

    def end_jobs(self):
        if self.running():
            with contextlib.suppress(OSError, KeyError, TypeError):
                for batch in self.batches():
                    self.call("DELETE", f"/batches/{batch['id']}")


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def toml(spark_master, concurrency, proxy, backend, listener, limits, sections):
    allowed = [proxy.house.inputs, CLIENTS / "jobs", REPOSITORY / "examples", proxy.house.spark_home]
    lines = [
        "[[listener]]", 'name = "main"', f'address = "127.0.0.1:{proxy.port}"',
        f"dialects = {json.dumps(list(proxy.dialects))}", *listener,
        "[admin]", 'address = "127.0.0.1:0"',
        "[ledger]", f'url = "sqlite://{proxy.dir}/ledger.db"',
        "[limits]", f'upload_dir = "{proxy.dir}/uploads"', *limits,
        "[backend.here]", 'kind = "local"', f'dir = "{proxy.dir}/jobs"',
        f"allow_dirs = {json.dumps([str(folder) for folder in allowed])}", f"concurrency = {concurrency}",
        f'spark_master = "{spark_master}"', f'spark_home = "{proxy.house.spark_home}"', *backend, *sections]
    return "\n".join(lines) + "\n"


def readable(body):
    text = body.decode()
    try:
        return json.loads(text)
    except ValueError:
        return text


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
