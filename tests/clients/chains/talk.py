"""Plain calls of each dialect, so that every status and header is seen: stock clients fold answers into exceptions."""

import dataclasses
import urllib.error
from collections.abc import Callable

from lib.checks import until
from lib.proxy import PROJECT, basic

FAST = {"spark.ui.enabled": "false"}
STATES = ("waiting", "running", "succeeded", "failed", "cancelled")


@dataclasses.dataclass
class Talk:
    submit: str
    body: Callable
    batch: str
    state: Callable
    # How the states are called, in the order of STATES.
    words: tuple
    headers: dict = dataclasses.field(default_factory=dict)


TALKS = {
    "livy": Talk(
        "/batches", lambda job, name, args: {"file": job, "name": name, "args": args, "conf": FAST},
        "/batches/{}", lambda body: body["state"], ("starting", "running", "success", "dead", "killed")),
    "kyuubi": Talk(
        "/api/v1/batches",
        lambda job, name, args: {"batchType": "PYSPARK", "resource": job, "name": name, "args": args, "conf": FAST},
        "/api/v1/batches/{}", lambda body: body["state"], ("PENDING", "RUNNING", "FINISHED", "ERROR", "CANCELED"),
        {"Authorization": basic("ann", "")}),
    "dli": Talk(
        f"/v2.0/{PROJECT}/batches",
        lambda job, name, args: {"file": job, "name": name, "args": args, "queue": "etl", "conf": FAST},
        f"/v2.0/{PROJECT}/batches/{{}}", lambda body: body["state"], ("starting", "running", "success", "dead", "dead")),
    # The face of Kylin 2 to 4 is the one that has a call for one job.
    "kylin": Talk(
        "/kylin/api/jobs", None, "/kylin/api/jobs/{}", lambda body: body["job_status"],
        ("PENDING", "RUNNING", "FINISHED", "ERROR", "DISCARDED"), {"Authorization": basic("ADMIN", "KYLIN")}),
}
SUBMITTING = ("livy", "kyuubi", "dli")


def submit(face, by, job, name, *args, headers=()):
    """(status, headers, body)."""
    talk = TALKS[by]
    return face.call("POST", talk.submit, talk.body(job, name, [str(arg) for arg in args]), {**talk.headers, **dict(headers)})


def submitted(proxy, by, job, name, *args):
    """The id of a batch that was taken. Kylin takes none, and a job of it has a project: there all come by the dialect that
    names one."""
    by = by if proxy.source is proxy else "dli"
    status, _, made = submit(proxy.source, by, job, name, *args)
    if status not in (200, 201):
        raise RuntimeError(f"{name} by {by}: {status} {made}")
    return made["id"]


def look(face, by, batch):
    """(status, which of STATES, headers); ("away", None, None) where nobody answers. DLI's dead is failed."""
    talk = TALKS[by]
    try:
        status, headers, body = face.call("GET", talk.batch.format(batch), None, talk.headers)
    except (urllib.error.URLError, OSError):
        return "away", None, None
    word = talk.state(body) if status == 200 else None
    return status, STATES[talk.words.index(word)] if word in talk.words else word, headers


def known_as(face, name):
    """The id of the batch of a name, for the clients of each dialect."""
    livy = {batch["name"]: batch["id"] for batch in face.batches()}
    kyuubi = face.call("GET", "/api/v1/batches?size=1000", None, TALKS["kyuubi"].headers)[2]["batches"]
    uuid = {batch["name"]: batch["id"] for batch in kyuubi}
    return {"livy": livy.get(name), **{by: uuid.get(name) for by in ("kyuubi", "dli", "kylin")}}


def everywhere(face, name):
    """The same, once it is listed to all."""
    def look_for():
        found = known_as(face, name)
        return found["livy"] is not None and found["kyuubi"] and found
    return until(f"{name} is listed", look_for)


def jobs(far):
    """What really runs or ran on the platform, by all that it knows: {name: native ids}."""
    found = {}
    for batch in far.side.call("GET", "/api/v1/batches?size=10000", None, TALKS["kyuubi"].headers)[2]["batches"]:
        found.setdefault(batch["name"], []).append(batch["id"])
    return found
