"""Either of the two goes away while jobs run, killed or told to end, and comes back: ids and jobs stay, no end is invented."""

import threading

from lib.checks import until
from lib.jobs import gone, started
from lib.proxy import EVERY_DIALECT
from talk import SUBMITTING, TALKS, everywhere, jobs, known_as, look, submitted

# Who goes, how, and by which dialect the batches came.
WAYS = [("far", "kill", "livy"), ("far", "stop", "kyuubi"), ("near", "kill", "dli"), ("near", "stop", "livy")]
ENDS = ("succeeded", "failed", "cancelled")


def pair(house):
    """Two that only these cases end."""
    if not hasattr(house, "pair"):
        house.pair = house.proxy("pair", dialects=EVERY_DIALECT)
    return house.pair


class Watch(threading.Thread):
    """Looks at batches by every dialect until it is told to stop, and keeps all that it saw."""

    def __init__(self, proxy, batches):
        super().__init__(daemon=True)
        self.proxy = proxy
        self.batches = batches
        self.seen = []
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.is_set():
            for name, ids in self.batches.items():
                for by, batch in ids.items():
                    status, state, headers = look(self.proxy, by, batch)
                    self.seen.append((name, by, status, state, headers and headers["Batchlingua-Stale"]))

    def states(self, name):
        """What was shown of a batch, each change once, by dialect."""
        shown = {}
        for known, by, status, state, _ in self.seen:
            if known == name and status == 200 and shown.setdefault(by, [])[-1:] != [state]:
                shown[by].append(state)
        return shown

    def stop(self):
        self.over.set()
        self.join()


def away_and_back(house, checks):
    """the platform or the proxy is killed, or told to end, while jobs run"""
    proxy = pair(house)
    for number, (who, how, by) in enumerate(WAYS):
        checks.say(f"  {who}: {how}")
        gone_one = proxy.far if who == "far" else proxy
        names = {kind: f"{kind} {number}" for kind in ("runs-on", "ends-well", "ends-badly")}
        folders = {kind: house.folder(kind) for kind in names}
        for kind, name in names.items():
            submitted(proxy, by, house.job("waiting.py"), name, folders[kind], 3 if kind == "ends-badly" else 0)
        pids = {kind: started(folder)[0] for kind, folder in folders.items()}
        ids = {kind: everywhere(proxy, name) for kind, name in names.items()}
        for kind in names:
            for client, own in ids[kind].items():
                until(f"{client} sees it running", lambda client=client, own=own: look(proxy, client, own)[1] == "running")

        watch = Watch(proxy, ids)
        getattr(gone_one, how)()
        for kind in ("ends-well", "ends-badly"):
            (folders[kind] / "go").touch()
            until("a job ends meanwhile", lambda kind=kind: gone(pids[kind]))
        checks.that("the other runs on", not gone(pids["runs-on"]))
        before, all_once = len(watch.seen), 3 * len(EVERY_DIALECT)
        if who == "far":
            # What was seen less than `freshness` ago is no old answer yet.
            until("no look from before is shown as new", lambda: len(watch.seen) > before + all_once and all(
                stale is not None for *_, stale in watch.seen[-all_once:]))
            before = len(watch.seen)
        until("all were looked at again", lambda: len(watch.seen) > before + 2 * all_once)
        meanwhile = watch.seen[before:]
        if who == "far":
            checks.equal("meanwhile each is shown as it was last seen, to everybody",
                         {(status, state) for _, _, status, state, _ in meanwhile}, {(200, "running")})
            checks.that("and told to be an old answer", all(stale is not None for *_, stale in meanwhile), meanwhile[:5])
        else:
            checks.equal("meanwhile nobody answers", {status for _, _, status, *_ in meanwhile}, {"away"})
        gone_one.start()

        for kind, end in (("ends-well", "succeeded"), ("ends-badly", "failed")):
            for client, own in ids[kind].items():
                until(f"{client} sees how {kind} ended", lambda client=client, own=own: look(proxy, client, own)[1] in ENDS)
                checks.equal(f"{client}: {kind}", look(proxy, client, own)[1], end)
        for client, own in ids["runs-on"].items():
            until(f"{client} has a fresh answer", lambda client=client, own=own: (found := look(proxy, client, own))[0] == 200
                  and found[2]["Batchlingua-Stale"] is None)
            checks.equal(f"{client}: what runs on", look(proxy, client, own)[:2], (200, "running"))
        (folders["runs-on"] / "go").touch()
        for client, own in ids["runs-on"].items():
            until(f"{client} sees its end", lambda client=client, own=own: look(proxy, client, own)[1] in ENDS)
            checks.equal(f"{client}: and ends", look(proxy, client, own)[1], "succeeded")
        watch.stop()

        checks.equal("no other answer came in between", {status for _, _, status, *_ in watch.seen} - {200, "away"}, set())
        for kind, end in (("runs-on", "succeeded"), ("ends-well", "succeeded"), ("ends-badly", "failed")):
            wrong = {client: states for client, states in watch.states(names[kind]).items()
                     if states not in (["running"], ["running", end])}
            checks.equal(f"{kind}: nobody saw another state on the way", wrong, {})
        checks.equal("ids are as they were", [known_as(proxy, name) for name in names.values()], list(ids.values()))
        checks.equal("every job was started once", [len(started(folder)) for folder in folders.values()], [1] * 3)
        checks.equal("and is one on the platform", [len(jobs(proxy.far)[name]) for name in names.values()], [1] * 3)


def cancelled_afterwards(house, checks):
    """a job that outlived both is cancelled through the next ones"""
    proxy = pair(house)
    folder = house.folder("cancelled")
    submitted(proxy, SUBMITTING[0], house.job("waiting.py"), "cancelled afterwards", folder)
    pids = started(folder)[0]
    ids = everywhere(proxy, "cancelled afterwards")
    proxy.kill()
    proxy.far.kill()
    proxy.far.start()
    proxy.start()
    talk = TALKS["kyuubi"]
    answer = proxy.call("DELETE", talk.batch.format(ids["kyuubi"]), None, talk.headers)
    checks.that("the answer", answer[0] == 200 and answer[2]["success"], answer)
    until("the job's processes are gone", lambda: gone(pids), deadline=20)
    checks.that("the job has not gone on", not (folder / "ended").exists())
    for client, own in ids.items():
        end = "failed" if client == "dli" else "cancelled"
        until(f"{client} sees it", lambda client=client, own=own, end=end: look(proxy, client, own)[1] == end)
        checks.equal(f"{client}: shown as", look(proxy, client, own)[1], end)


CASES = [away_and_back, cancelled_afterwards]
