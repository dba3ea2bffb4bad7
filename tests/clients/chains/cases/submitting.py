"""Submits while the platform is away, goes away in the middle, or takes none: a client is told the truth, no job runs twice."""

import random
import threading
import time

from lib.checks import until
from lib.jobs import started
from lib.proxy import EVERY_DIALECT
from talk import SUBMITTING, TALKS, jobs, known_as, look, submit, submitted

# What each dialect says of a platform that is away. Nothing was sent, so nothing can have come of it.
AWAY = {"livy": 503, "kyuubi": 503, "dli": 502}


def plain(house):
    """Two of their own, without Spark: what is tried is the way of a submit, and a JVM for each would take minutes."""
    if not hasattr(house, "plain"):
        house.plain = house.proxy("plain", dialects=EVERY_DIALECT, backend=["spark = false"])
        # An absence is believed only of a platform that still shows something else.
        first = house.folder("first")
        (first / "go").touch()
        submitted(house.plain, "dli", house.job("waiting.py"), "the first", first)
    return house.plain


def refused(house, checks):
    """Kylin takes no batches, and says so to each client in its own words"""
    before = jobs(house.main.far)
    for by, status, words in (("livy", 400, "msg"), ("kyuubi", 500, "message"), ("dli", 400, "error_msg")):
        got, _, answer = submit(house.main, by, house.job("hello.py"), "never")
        told = answer.get(words, "") if isinstance(answer, dict) else ""
        checks.that(f"{by}: {status}, naming the platform", got == status and "far" in told, (got, answer))
    checks.equal("nothing of it is there", jobs(house.main.far), before)


def away(house, checks):
    """the platform is away: refused in the client's words, with when to come again, and nothing comes of it later"""
    proxy = plain(house)
    proxy.far.kill()
    for by in SUBMITTING:
        status, headers, answer = submit(proxy, by, house.job("hello.py"), f"away {by}")
        checks.that(f"{by}: {AWAY[by]}, and when to come again", status == AWAY[by] and int(headers["Retry-After"]) >= 1,
                    (status, dict(headers), answer))
        checks.equal("it is said to be refused, not lost", headers["Batchlingua-Outcome"], None)
    known = proxy.call("GET", "/api/v1/batches?size=1000", None, TALKS["kyuubi"].headers)
    checks.that("lists go on as they were last seen", known[0] == 200 and known[2]["total"] > 0, known)
    proxy.far.start()
    for by in SUBMITTING:
        name = f"away {by}"
        batch = until(f"{by} is taken again", lambda by=by, name=name: again(house, proxy, by, name), deadline=60)
        until("it ends", lambda by=by, batch=batch: look(proxy, by, batch)[1] == "succeeded")
    checks.equal("of each name there is one job", [len(jobs(proxy.far)[f"away {by}"]) for by in SUBMITTING], [1] * 3)


def again(house, proxy, by, name):
    status, _, made = submit(proxy, by, house.job("hello.py"), name)
    return made["id"] if status in (200, 201) else None


def storm(house, checks):
    """the platform is killed in the middle of submits: one job for each that was taken, none for each that was refused"""
    proxy, chance = plain(house), random.Random(5)
    told, folders = {}, {}
    for number in range(18):
        by, name = SUBMITTING[number % 3], f"storm {number}"
        folders[name] = house.folder("storm")
        (folders[name] / "go").touch()
        killer = threading.Timer(chance.uniform(0, 0.03), proxy.far.kill)
        killer.start()
        answer = []
        client = threading.Thread(target=lambda: answer.append(submit(proxy, by, house.job("waiting.py"), name, folders[name])))
        client.start()
        killer.join()
        # As a service manager does, not at once.
        time.sleep(chance.uniform(0, 0.2))
        proxy.far.start()
        client.join(90)
        status, headers, body = answer[0]
        told[name] = (by, status, headers["Batchlingua-Outcome"], headers["Batchlingua-Id"], body)
    taken = {name: body["id"] for name, (_, status, _, _, body) in told.items() if status in (200, 201)}
    unknown = {name: batch for name, (_, _, outcome, batch, _) in told.items() if outcome == "unknown"}
    checks.that("kills met submits on their way", 0 < len(taken) < len(told), {name: row[:3] for name, row in told.items()})
    checks.that("what was not taken was refused, or said to be unknown under an id",
                all(name in taken or name in unknown or status >= 400 for name, (_, status, *_) in told.items()), told)
    for name, batch in taken.items():
        by = told[name][0]
        until(f"{name} ends", lambda by=by, batch=batch: look(proxy, by, batch)[1] == "succeeded")
    there = jobs(proxy.far)
    checks.equal("each that was taken is one job", [name for name in taken if len(there.get(name, [])) != 1], [])
    checks.equal("which was started once", [name for name in taken if len(started(folders[name])) != 1], [])
    refused = [name for name in told if name not in taken and name not in unknown]
    checks.equal("none that was refused is a job", [name for name in refused if name in there], [])
    for name, batch in unknown.items():
        until(f"what became of {name} is known", lambda name=name: bool(there.get(name)) == (
            known_as(proxy, name)["kyuubi"] is not None), deadline=60)
    starts = {name: (folder / "started").read_text().count("\n") if (folder / "started").exists() else 0
              for name, folder in folders.items()}
    checks.that("and none of all was started twice", max(starts.values()) <= 1, starts)


CASES = [refused, away, storm]
