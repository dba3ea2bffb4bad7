"""kyuubi-ctl, a Java program, by what was recorded of it: its own bytes, sent again with this run's ids, files and address in
place of the recorded ones, and its own way from one answer to the next (how it follows a log, what it exits with).

The recordings are fixtures/recordings/kyuubi. What may differ from them is in `RULES`, each with its reason.
"""

import json
import re
import time

from lib.checks import until
from lib.exchange import Connection, Recorded, read
from lib.proxy import REPOSITORY, basic

RECORDINGS = REPOSITORY / "fixtures" / "recordings" / "kyuubi"
ADDRESS = b"127.0.0.1:10099"
LIVE = ("PENDING", "RUNNING")
ENDS = ("FINISHED", "ERROR", "CANCELED")


class Run:
    """One recorded run of the command."""

    def __init__(self, first):
        self.command = first["command"]
        self.exit = first["exit"]
        self.exchanges = []

    def add(self, exchange):
        path = str(RECORDINGS / exchange["case"])
        with open(f"{path}.request.http", "rb") as request, open(f"{path}.response.http", "rb") as response:
            self.exchanges.append((exchange["connection"], request.read(), read(Recorded(response.read()))))


def recorded():
    """Every run by its name, in the order in which they met one server."""
    runs = {}
    for line in (RECORDINGS / "index.jsonl").read_text().splitlines():
        exchange = json.loads(line)
        if exchange["case"].startswith("ctl/"):
            name = exchange["flow"].removeprefix("ctl-")
            if name not in runs:
                runs[name] = Run(exchange)
            runs[name].add(exchange)
    return runs


class Ctl:
    """The command against a proxy. `texts` says what stands in this run for what was recorded."""

    def __init__(self, proxy, texts):
        self.proxy = proxy
        self.runs = recorded()
        self.own = f"127.0.0.1:{proxy.port}"
        self.texts = {ADDRESS: self.own.encode(), b"localhost:10099": f"localhost:{proxy.port}".encode(),
                      **{known.encode(): ours.encode() for known, ours in texts.items()}}

    def translated(self, content):
        for known, ours in self.texts.items():
            content = content.replace(known, ours)
        return content

    def request(self, content):
        """Recorded bytes with this run's texts, and a length that fits them."""
        head, _, body = self.translated(content).partition(b"\r\n\r\n")
        head = re.sub(rb"(?i)(content-length: )\d+", lambda found: found[1] + str(len(body)).encode(), head)
        return head + b"\r\n\r\n" + body

    def learn(self, known, answer):
        """The id that an answer gives is from now on what the recorded one stands for."""
        if known.status == answer.status == 200 and "id" in known.json():
            self.texts[known.json()["id"].encode()] = answer.json()["id"].encode()

    def play(self, name, checks):
        """A recorded run whose requests hang on nothing but ids: each is sent, each answer compared. Its exit code."""
        run = self.runs[name]
        checks.say(f"  {run.command}")
        connections, answers = {}, []
        for number, content, known in run.exchanges:
            # The second connection goes where the batch says that its log is.
            if number not in connections:
                connections[number] = Connection(answers[-1].json()["kyuubiInstance"] if answers else self.own)
            answer = connections[number].exchange(self.request(content))
            self.learn(known, answer)
            self.compare(checks, content, known, answer)
            answers.append(answer)
        for connection in connections.values():
            connection.close()
        return 0 if settled(name, answers) else 1

    def follow(self, name, checks, wait=True):
        """A run that follows the log: as many requests as the job needs. Gives its lines, its states and the exit code.

        The requests for a page and for the state are the recorded ones with another line to begin at.
        """
        run = self.runs[name]
        checks.say(f"  {run.command}")
        first, pages, looks = run.exchanges[0], *by_kind(run.exchanges[1:])
        connection = Connection(self.own)
        begun = connection.exchange(self.request(first[1]))
        self.learn(first[2], begun)
        self.compare(checks, *first[1:], begun)
        connection.close()

        connection = Connection(begun.json()["kyuubiInstance"])
        lines, states = [], []

        def page():
            _, content, known = pages[0]
            answer = connection.exchange(self.request(re.sub(rb"from=\d+", b"from=%d" % len(lines), content)))
            # The first is compared with the first; the others are the same again.
            if not lines:
                self.compare(checks, content, known, answer)
            lines.extend(answer.json()["logRowSet"])
            return answer.json()["logRowSet"]

        def state():
            # The last that was recorded, so that an end is compared with an end.
            _, content, known = looks[-1]
            answer = connection.exchange(self.request(content))
            states.append(answer.json()["state"])
            if states[-1] not in LIVE:
                self.compare(checks, content, known, answer)
            return states[-1]

        def over():
            if page() and wait:
                return False
            return state() not in (LIVE if wait else ("PENDING",))

        until("the log has been followed to its end", over, pause=0.1)
        while wait and states[-1] != "FINISHED" and page():
            pass
        connection.close()
        return lines, states, 0 if states[-1] in ("FINISHED", *(() if wait else LIVE)) else 1

    def compare(self, checks, content, known, answer):
        what = content.split(b" HTTP/1.1", 1)[0].decode()
        what = what if len(what) < 70 else f"{what[:66]} …"
        if known.status == 404 and b"No local log found" in known.body and answer.status == 200:
            # The product drops a batch's log with its DELETE. Ours is kept as long as the batch is.
            checks.that(f"{what}: the log is still there", answer.json()["logRowSet"], answer)
            return
        checks.equal(f"{what}: status and type", (answer.status, answer.type), (known.status, known.type))
        found = differences(json.loads(self.translated(known.body)), answer.json())
        checks.that(f"{what}: as recorded", not found, "; ".join(found))


def by_kind(exchanges):
    pages = [exchange for exchange in exchanges if b"/localLog" in exchange[1]]
    return pages, [exchange for exchange in exchanges if exchange not in pages]


def settled(name, answers):
    """Whether the command takes these answers for a success."""
    last = answers[-1]
    if last.status != 200:
        # A log that is gone is told and is no failure.
        return name.startswith("log")
    # A DELETE that killed nothing is followed by a look at the batch.
    return last.json().get("success", True)


def differences(known, got, at="", batch=None):
    """What differs between a recorded body and ours, beyond what differs from run to run."""
    if isinstance(known, dict):
        if not isinstance(got, dict) or list(known) != list(got):
            return [f"{at or 'members'}: recorded {shown(known)}, got {shown(got)}"]
        return [found for key in known
                for found in differences(known[key], got[key], f"{at}.{key}" if at else key, (known, got))]
    member = at.rsplit(".", 1)[-1]
    if isinstance(known, list) and member == "logRowSet":
        # What a log says is the job's and Spark's own; the cases look for the job's lines in it.
        return [] if all(isinstance(row, str) for row in got) else [f"{at}: not all texts: {shown(got)}"]
    if isinstance(known, list):
        if not isinstance(got, list) or len(known) != len(got):
            return [f"{at}: recorded {len(known)} entries, got {shown(got)}"]
        return [found for n, pair in enumerate(zip(known, got)) for found in differences(*pair, f"{at}[{n}]")]
    return [] if RULES.get(member, equal)(known, got, batch) else [f"{at}: recorded {shown(known)}, got {shown(got)}"]


def shown(value):
    text = json.dumps(value)
    return text if len(text) < 300 else f"{text[:300]} …"


def equal(known, got, _batch):
    return type(known) is type(got) and known == got


def live_as_live(known, got, _batch):
    """The moment at which a live state is seen is the machine's; an end is an end."""
    return got == known if known not in LIVE else got in LIVE


def time_as_time(known, got, batch):
    """0 is never. When an application is first seen is a moment, too."""
    return isinstance(got, int) and (got >= 0 if batch[0]["state"] in LIVE else (got > 0) == (known > 0))


def end_time(_known, got, batch):
    """Only an end has one."""
    return isinstance(got, int) and (got > 0) == (batch[1]["state"] not in LIVE)


def application(_known, got, _batch):
    """Recorded as a process id while one is seen, null before and sometimes after: a text or nothing."""
    return got is None or isinstance(got, str) and got != ""


def application_state(known, got, batch):
    """The recorded server found drivers by their processes, and none at the end. A backend that can tell says how it ended."""
    ends = {"FINISHED": "FINISHED", "ERROR": "FAILED", "CANCELED": "KILLED"}
    state = batch[0]["state"]
    return got in (None, "PENDING", "RUNNING", "NOT_FOUND") if state in LIVE else got in (known, ends[state])


def diagnostic(known, got, batch):
    """Likewise: nothing but the log told why a local driver failed."""
    return got == known or batch[0]["state"] == "ERROR" and isinstance(got, str)


def name(known, got, _batch):
    """Where the client gave none, the recorded server showed the driver's command line meanwhile. Ours has none to show."""
    return got is None if known and known.startswith(" org.apache.spark.") else got == known


def message(known, got, _batch):
    """A kill names the process. A second DELETE spells out the stored request, secrets and all; ours says what a first does."""
    if not isinstance(got, str):
        return False
    if known.startswith("Succeeded to terminate: "):
        return got.startswith("Succeeded to terminate: ")
    return got == known or known.startswith("The batch[Metadata(") and (
        "terminal so can not kill it" in got or got.startswith("The batch[") and got.endswith("] has been terminated."))


def rows(_known, got, batch):
    """How many there are hangs on how much Spark had to say."""
    return got == len(batch[1]["logRowSet"])


RULES = {
    "state": live_as_live, "createTime": time_as_time, "appStartTime": time_as_time, "endTime": end_time, "name": name,
    "appId": application, "appState": application_state, "appDiagnostic": diagnostic, "msg": message, "rowCount": rows}


def recent(days=21):
    """As kyuubi-ctl gives a time in a query; the recorded one was three weeks before its run."""
    return str(int((time.time() - days * 86400) * 1000))


def call(proxy, method, path, body=None, login=("ann", "secret"), headers=()):
    """(status, body) of a call that nothing was recorded of, with what every call of the Java client has."""
    given = {"User-Agent": "Apache-HttpClient/4.5.14 (Java/17.0.15)", "Accept-Encoding": "gzip,deflate", **dict(headers)}
    if login:
        given["Authorization"] = basic(*login).replace("Basic", "BASIC")
    status, _, answer = proxy.call(method, f"/api/v1{path}", body, given)
    return status, answer


def state(proxy, batch):
    return call(proxy, "GET", f"/batches/{batch}")[1].get("state")


def to_its_end(proxy, batch):
    until(f"batch {batch} ends", lambda: state(proxy, batch) in ENDS)
    return state(proxy, batch)


def whole_log(proxy, batch):
    lines = []
    while True:
        rows = call(proxy, "GET", f"/batches/{batch}/localLog?from={len(lines)}&size=1000")[1]["logRowSet"]
        if not rows:
            return lines
        lines.extend(rows)
