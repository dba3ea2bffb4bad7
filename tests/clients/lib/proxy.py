"""`batchlingua serve` as a client test's proxy, and as the platform behind one."""

import base64
import contextlib
import itertools
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from .checks import until

EVERY_DIALECT = ("kyuubi", "livy", "dli", "kylin")
CLIENTS = pathlib.Path(__file__).resolve().parent.parent
REPOSITORY = CLIENTS.parent.parent
# As DLI writes them; in Kylin's words a name like any other.
PROJECT, OTHER_PROJECT = "0123456789abcdef0123456789abcdef", "f" * 32


# Below those that the system gives to outgoing connections, one of which could hold a listener's when it comes back; and a
# hundred for each process, since several runs go on at once.
PORTS = itertools.cycle(range(first := 10_000 + os.getpid() % 220 * 100, first + 100))


def free_port():
    """For a listener that must come back at the same address after it was killed; port 0 serves all the others."""
    for port in itertools.islice(PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


def files_below(folder):
    """Its files, while folders come and go: what is gone by the time that it is looked at is none."""
    paths = (pathlib.Path(root, name) for root, _, names in os.walk(folder) for name in names)
    return [path for path in paths if path.is_file()]


def holding(paths, contents):
    """The files among these that have one of the contents in them."""
    def holds(path):
        with contextlib.suppress(FileNotFoundError):
            text = path.read_bytes()
            return any(content in text for content in contents)
        return False
    return [path.name for path in paths if holds(path)]


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


class Face:
    """What clients of one address see: calls, and Livy's view of all batches."""

    def __init__(self, name, login=None):
        self.name = name
        self.port = free_port()
        self.login = {"Authorization": basic(*login)} if login else {}

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

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

    def batches(self):
        return self.call("GET", "/batches?size=1000")[2]["sessions"]

    def state(self, batch):
        return self.call("GET", f"/batches/{batch}/state")[2].get("state")


class Proxy(Process, Face):
    """`batchlingua serve` on a port that it keeps when it is started again."""

    def __init__(self, house, name, dialects=("livy",), listener=(), limits=(), sections=(), login=None, far=None):
        Process.__init__(self, house, name)
        Face.__init__(self, name, login)
        self.dir = house.root / name
        self.dir.mkdir(exist_ok=True)
        self.config = self.dir / "config.toml"
        self.ready = self.dir / "ready.json"
        self.dialects = dialects
        self.listener, self.limits, self.sections = listener, limits, sections
        # Variables that it is given beside those of the house.
        self.variables = {}
        # The platform behind it, if that is not this machine itself; and where batches can be submitted.
        self.far = far
        self.source = far.side if far and not far.takes_submits else self

    def configure(self, platform):
        """`platform`: the lines of its backend."""
        self.config.write_text("\n".join([
            "[[listener]]", 'name = "main"', f'address = "127.0.0.1:{self.port}"',
            f"dialects = {json.dumps(list(self.dialects))}", *self.listener,
            "[admin]", 'address = "127.0.0.1:0"',
            "[ledger]", f'url = "sqlite://{self.dir}/ledger.db"',
            "[limits]", f'upload_dir = "{self.dir}/uploads"', *self.limits,
            *platform, *self.sections]) + "\n")

    def local(self, spark_master, concurrency, more):
        """A backend that runs jobs on this machine."""
        allowed = [self.house.inputs, self.house.stage, CLIENTS / "jobs", REPOSITORY / "examples", self.house.spark_home]
        return ["[backend.here]", 'kind = "local"', f'dir = "{self.dir}/jobs"',
                f"allow_dirs = {json.dumps([str(folder) for folder in allowed])}", f"concurrency = {concurrency}",
                f'spark_master = "{spark_master}"', f'spark_home = "{self.house.spark_home}"', *more]

    def start(self):
        self.ready.unlink(missing_ok=True)
        self.launch([self.house.binary, "serve", "--config", self.config, "--ready-file", self.ready], **self.variables)
        until(f"{self.name} listens", lambda: self.ready.exists() or not self.running(), deadline=30)
        if not self.ready.exists():
            raise RuntimeError(f"{self.name} ended with {self.child.returncode}:\n{self.read()[-3000:]}")
        bound = json.loads(self.ready.read_text())["listeners"]["main"]
        if bound != f"127.0.0.1:{self.port}":
            raise RuntimeError(f"{self.name} was to listen on port {self.port} and says {bound}")

    def ending(self):
        """What it has counted is remembered: which calls were made at all."""
        self.house.calls |= self.counted()

    def counted(self):
        """(dialect, operation) of every request that it has answered."""
        with contextlib.suppress(OSError, KeyError, TypeError):
            admin = json.loads(self.ready.read_text())["admin"]
            with urllib.request.urlopen(f"http://{admin}/metrics", timeout=30) as answer:
                counted = re.findall(r'^batchlingua_requests_total\{([^}]*)\} ', answer.read().decode(), re.MULTILINE)
            found = [dict(re.findall(r'(\w+)="([^"]*)"', labels)) for labels in counted]
            return {(labels["dialect"], labels["operation"]) for labels in found}
        return set()

    def end_jobs(self):
        if self.running():
            end_jobs(self)


class Platform(Proxy):
    """A second proxy that stands for a platform of one kind: it serves that dialect and nothing else, and runs the jobs here.

    Its files lie in the folder of the proxy in front of it, so that who looks there for what must not be left finds both.
    Beside its own address it has one with all dialects, for who wants to know what really runs there.
    """

    def __init__(self, house, name, kind, sections=()):
        (house.root / name).mkdir(exist_ok=True)
        self.side = Face(f"{name}-side")
        beside = ["[[listener]]", 'name = "side"', f'address = "{self.side.url.removeprefix("http://")}"',
                  *(["auth = false"] if "[auth]" in sections else [])]
        super().__init__(house, f"{name}/{kind}", dialects=(kind,), listener=beside, sections=sections)
        self.kind = kind
        # Kylin's API has no call for it.
        self.takes_submits = kind != "kylin"

    def backend(self):
        """What a proxy in front of it has as its backend."""
        return ["[backend.far]", f'kind = "{self.kind}"', f'url = "{self.url}"', *KEYS[self.kind](self.house)]

    def ending(self):
        """What it has answered was asked by the proxy, and by no client."""

    def end_jobs(self):
        if self.running():
            end_jobs(self.side)


# What each kind of backend is told beside its address. A look for a submit whose answer was lost is over sooner than it may be
# for a real platform, which can be slow: this one is not.
SETTLE = 'settle = "2s"'
STAGE = 'stage = {{ dir = "{0}", url = "file://{0}" }}'
KEYS = {
    "livy": lambda house: [SETTLE, STAGE.format(house.stage)],
    "kyuubi": lambda house: [SETTLE],
    # The project of a client's path is the batch's; what comes without one runs in the one that has a name here.
    "dli": lambda house: [SETTLE, STAGE.format(house.stage), f'project_id = "{PROJECT}"', f'projects = ["{OTHER_PROJECT}"]',
                          'project = "client"', 'queue = "etl"', 'paths = { "/" = "/", "file:///" = "file:///" }'],
    "kylin": lambda house: [],
}


def end_jobs(face):
    with contextlib.suppress(OSError, KeyError, TypeError):
        for batch in face.batches():
            if batch["state"] not in ("success", "dead", "killed", "error"):
                face.call("DELETE", f"/batches/{batch['id']}")


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def readable(body):
    text = body.decode()
    try:
        return json.loads(text)
    except ValueError:
        return text
