"""kylinpy's objects, made as its users make them; and batches to show them, which another dialect submits: Kylin cannot."""

from kylinpy import create_kylin
from lib.checks import until
from lib.proxy import PROJECT, basic

V4, V4_PUBLIC, V2 = (f"application/vnd.apache.kylin-{face}+json" for face in ("v4", "v4-public", "v2"))
ENDS = ("FINISHED", "ERROR", "DISCARDED")


def kylin(proxy, version="v4", project=PROJECT, login="ADMIN:KYLIN"):
    return create_kylin(f"kylin://{login}@127.0.0.1:{proxy.port}/{project}?version={version}")


def submit(proxy, job, *args, **more):
    """By DLI, into the project that kylinpy looks into. What has Kylin behind it takes no batches; then they come from there."""
    status, _, made = proxy.source.call("POST", f"/v2.0/{PROJECT}/batches", {
        "file": job, "args": [str(arg) for arg in args], "queue": "etl", "conf": {"spark.ui.enabled": "false"}, **more})
    if status != 200:
        raise RuntimeError(f"not submitted: {status} {made}")
    if proxy.source is not proxy:
        # What others submit there is listed a moment later.
        until("it is listed", lambda: made["id"] in [job.job_id for job in kylin(proxy, "v2").list_job()])
    return made["id"]


def status(proxy, job):
    return kylin(proxy).get_job(job).status


def to_its_end(proxy, job):
    """The statuses that kylinpy showed on the way, each once."""
    known, seen = kylin(proxy).get_job(job), []

    def ended():
        now = known.status
        if now not in seen:
            seen.append(now)
        return now in ENDS

    until(f"job {job} ends", ended, pause=0.1)
    return seen


def call(proxy, method, path, body=None, accept=V4_PUBLIC, login=("ADMIN", "KYLIN"), headers=()):
    """(status, headers, body) of a plain call to the API."""
    given = {"Accept": accept} if accept else {}
    if login:
        given["Authorization"] = basic(*login)
    return proxy.call(method, f"/kylin/api{path}", body, {**given, **dict(headers)})
