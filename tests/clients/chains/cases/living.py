"""A batch over the platform: it is one job there, known by its id to all, and its log comes whole in pages of any size."""

from lib.checks import until
from talk import PROJECT, SUBMITTING, TALKS, everywhere, jobs, look, submitted

LINES = 2500


def pages(face, by, batch, size):
    """The whole log by a dialect's own paging."""
    if by == "kylin":
        # Whole, as a file.
        path = f"/kylin/api/jobs/{batch}/steps/{batch}_00/log?project={PROJECT}"
        return face.call("GET", path, None, TALKS[by].headers)[2].splitlines()
    path = {"livy": "/log?from={}&size={}", "dli": "/log?from={}&size={}", "kyuubi": "/localLog?from={}&size={}"}[by]
    lines = []
    while True:
        query = path.format(len(lines), size)
        page = face.call("GET", TALKS[by].batch.format(batch) + query, None, TALKS[by].headers)[2]
        rows = page["logRowSet" if by == "kyuubi" else "log"]
        if not rows:
            return lines
        lines += rows


def one_job(house, checks):
    """a batch is one job on the platform, and known to all"""
    for by in SUBMITTING:
        name, folder = f"living by {by}", house.folder("living")
        batch = submitted(house.main, by, house.job("lines.py"), name, LINES, folder)
        ids = everywhere(house.main, name)
        native = jobs(house.main.far)[name]
        checks.equal(f"{by}: one job", len(native), 1)
        if house.over == "livy":
            there = {known["name"]: known["id"] for known in house.main.far.side.batches()}
            checks.equal("under the platform's own number for Livy's clients", ids["livy"], there[name])
        elif house.over == "dli":
            shown = house.main.call("GET", TALKS["dli"].batch.format(native[0]))
            checks.equal("found by the platform's own id as well", (shown[0], shown[2].get("name")), (200, name))
        else:
            checks.equal("under the platform's own id for all but Livy's clients", ids["kyuubi"], native[0])
        if house.main.source is house.main:
            checks.equal("and under the id that its client was told", ids[by], batch)
        expected = [f"line {number:06d} of {LINES} ✓ \U0001f680" for number in range(1, LINES + 1)]
        until("half of the lines are written", (folder / "half").exists)
        for client, own in ids.items():
            until(f"{client} sees it running", lambda client=client, own=own: look(house.main, client, own)[1] == "running")
            # Waited for: what the job has written is in the platform's log a moment later.
            got = until(f"{client} reads half of the log", lambda client=client, own=own: (lines := [
                line for line in pages(house.main, client, own, 700) if line.startswith("line ")]) and
                len(lines) >= LINES // 2 and lines)
            checks.equal(f"{client}: the first half of the log, in order, once", got, expected[:LINES // 2])
        (folder / "go").touch()
        for client, own in ids.items():
            until(f"{client} sees its end", lambda client=client, own=own: look(house.main, client, own)[1] == "succeeded")
            for size in (999, 10_000):
                got = [line for line in pages(house.main, client, own, size) if line.startswith("line ")]
                checks.equal(f"{client}: all of the log in pages of {size}", got, expected)


def failing(house, checks):
    """a job that fails is failed for all, and its log says why"""
    submitted(house.main, "dli", house.job("failing.py"), "fails")
    ids = everywhere(house.main, "fails")
    for client, own in ids.items():
        until(f"{client} sees its end", lambda client=client, own=own: look(house.main, client, own)[1] == "failed")
        lines = pages(house.main, client, own, 1000)
        checks.that(f"{client}: the reason", any("ValueError: the job's own reason" in line for line in lines), lines[-5:])


CASES = [one_job, failing]
