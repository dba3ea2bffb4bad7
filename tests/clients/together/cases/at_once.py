"""Four kinds of clients on one proxy at the same time, for as long as it takes to run 60 batches."""

import concurrent.futures
import threading

from lib.proxy import EVERY_DIALECT
from views import SUBMITTERS, views

EACH = 20


def all_at_once(house, checks):
    """three submit and follow, all four list meanwhile; nobody misses or mistakes anything"""
    proxy = house.proxy("busy", dialects=EVERY_DIALECT, concurrency=8, backend=["spark = false"])
    job = house.quick()
    over = threading.Event()

    def submitting(by):
        """One client of its own for each thread: submit, follow to the end, read the log."""
        view, ends = views(proxy)[by], {}
        for number in range(EACH):
            name, code = f"{by} {number}", "1" if number % 5 == 0 else "0"
            batch, seen = view.submit(name, job, code), []
            while not seen or seen[-1] not in (view.words["succeeded"], view.words["failed"]):
                seen.append(view.state(batch))
            ends[name] = (batch, seen[-1] == view.words["failed" if code == "1" else "succeeded"],
                          f"quick {code}" in view.log(batch))
        return ends

    def listing(client):
        """A batch that was listed once is listed ever after."""
        view, lost, most = views(proxy)[client], [], {}
        while not over.is_set():
            now = view.names()
            lost += [name for name in most if now.get(name) != most[name]]
            most.update(now)
        return lost, len(most)

    with concurrent.futures.ThreadPoolExecutor(len(SUBMITTERS) + len(views(proxy))) as pool:
        lists = {client: pool.submit(listing, client) for client in views(proxy)}
        made = {by: pool.submit(submitting, by) for by in SUBMITTERS}
        try:
            ended = {by: future.result(timeout=120) for by, future in made.items()}
        finally:
            over.set()
        for by, ends in ended.items():
            checks.equal(f"{by}: each ended as it was to", [name for name, (_, right, _) in ends.items() if not right], [])
            checks.that(f"{by}: each has its own log", all(own for _, _, own in ends.values()), ends)
        for client, future in lists.items():
            lost, most = future.result(timeout=60)
            checks.equal(f"{client}: nothing that was listed was lost or mistaken", lost, [])
            checks.that("and something was listed", most > 0)
    names = {f"{by} {number}" for by in SUBMITTERS for number in range(EACH)}
    for client, view in views(proxy).items():
        known = view.names()
        checks.equal(f"{client}: all 60 at the end", set(known), names)
        wrong = [name for name, batch in known.items()
                 if view.state(batch) != view.words["failed" if int(name.rsplit(" ", 1)[1]) % 5 == 0 else "succeeded"]]
        checks.equal(f"{client}: each in its own word", wrong, [])


CASES = [all_at_once]
