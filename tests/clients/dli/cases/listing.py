"""The list: every filter of the SDK's, its orders and its pages, over 300 batches that came by three dialects."""

import stock
from lib.many import PROJECT, many

ORDERS = {"CREATE_TIME_ASC": ("create_time", False), "CREATE_TIME_DESC": ("create_time", True),
          "DURATION_ASC": ("duration", False), "DURATION_DESC": ("duration", True)}


def listed(house, **query):
    return stock.listed(stock.client(many(house).proxy), **query)


def pages(house, checks):
    """pages join to the whole list, newest first"""
    ids, at = [], 0
    while True:
        page = listed(house, begin=at, size=70)
        checks.equal(f"from {at}: from and total", (page._from, page.total), (at, 300))
        ids += [batch.id for batch in page.sessions]
        if len(page.sessions) < 70:
            break
        at += 70
    checks.equal("300 of them, each once", (len(ids), len(set(ids))), (300, 300))
    checks.equal("by default a hundred", [batch.id for batch in listed(house).sessions], ids[:100])
    checks.equal("as Terraform pages: a full page, then what is left",
                 [len(listed(house, begin=at, size=100).sessions) for at in (200, 300)], [100, 0])
    checks.equal("in one page", [batch.id for batch in listed(house, size=1000).sessions], ids)
    none = listed(house, begin=9999, size=10)
    checks.equal("past the end: none", (none.total, none.sessions), (300, []))
    ours = [made.id for made in many(house).of(by="dli")]
    checks.equal("our own are there under our ids, newest first", [known for known in ids if known in set(ours)], ours[::-1])


def orders(house, checks):
    """the four orders"""
    for order, (member, falling) in ORDERS.items():
        found = [getattr(batch, member) for batch in listed(house, order=order, size=1000, state="success").sessions]
        checks.equal(f"{order}: {len(found)} in order", found, sorted(found, reverse=falling))
        checks.equal("all of them", len(found), many(house).count(end="succeeded"))


def filters(house, checks):
    """each filter narrows it, and all together do"""
    made = many(house)
    good = made.count(end="succeeded")
    for word, count in [("success", good), ("Success", good), ("running", made.count(end="running")), ("starting", 0),
                        ("dead", made.count(end="failed") + made.count(end="cancelled")), ("recovering", 0)]:
        page = listed(house, state=word, size=1000)
        checks.equal(f"state={word}", (page.total, len(page.sessions)), (count, count))
        checks.that("all of that state", all(batch.state == word.lower() for batch in page.sessions))
    for queue in ("etl", "nightly", "adhoc"):
        for member in ("queue_name", "cluster_name"):
            page = listed(house, **{member: queue.upper()}, size=1000)
            checks.equal(f"{member}={queue.upper()}", (page.total, {batch.queue for batch in page.sessions}),
                         (made.count(queue=queue), {queue}))
    checks.equal("a queue that nobody has named", listed(house, queue_name="elsewhere").total, 0)
    checks.equal("two queues at once are none", listed(house, queue_name="etl", cluster_name="adhoc").total, 0)
    checks.equal("job_name", listed(house, job_name="many-3").total, made.count(name="many-3"))
    checks.equal("a name has no pattern", listed(house, job_name="many-").total, 0)
    one = made.of(by="dli")[7]
    page = listed(house, job_id=one.id)
    checks.equal("job-id", [(batch.id, batch.name) for batch in page.sessions], [(one.id, one.name)])
    other = made.of(by="kyuubi")[5]
    checks.equal("job-id of one that came by Kyuubi", [batch.name for batch in listed(house, job_id=other.id).sessions],
                 [other.name])
    whole = listed(house, size=1000, order="CREATE_TIME_ASC").sessions
    middle = whole[150].create_time
    checks.equal("start", listed(house, start=middle).total, sum(batch.create_time >= middle for batch in whole))
    checks.equal("end", listed(house, end=middle).total, sum(batch.create_time < middle for batch in whole))
    page = listed(house, state="success", queue_name="etl", job_name="many-3", start=1, end=whole[-1].create_time + 1, size=5)
    both = [kept for kept in made.of(name="many-3", queue="etl", end="succeeded")]
    checks.equal("all together", (page.total, {batch.name for batch in page.sessions}), (len(both), {"many-3"}))
    by_hand = made.proxy.call("GET", f"/v2.0/{PROJECT}/batches?owner=ann&size=1000")[2]
    checks.equal("owner, which the SDK cannot send", by_hand["total"], made.count(user="ann"))


def one_of_them(house, checks):
    """what a batch in the list has"""
    batch = listed(house, job_id=many(house).of(by="dli", end="succeeded")[0].id).sessions[0]
    checks.equal("its name, queue and state", (batch.name, batch.queue, batch.cluster_name, batch.state),
                 ("many-0", "etl", "etl", "success"))
    numbers = (batch.create_time, batch.update_time, batch.duration)
    checks.that("numbers where numbers are due", all(isinstance(value, int) for value in numbers), batch)
    checks.that("an owner, a type, a request", batch.owner and batch.sc_type == "A" and "/quick." in batch.req_body, batch)
    checks.that("its log", isinstance(batch.log, list) and len(batch.log) <= 10, batch.log)


CASES = [pages, orders, filters, one_of_them]
