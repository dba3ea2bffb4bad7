"""The list: its filters, its order and its pages, over 300 batches that came by three dialects."""

from lib.many import many
from stock import call


def listed(house, query=""):
    status, body = call(many(house).proxy, "GET", f"/batches?{query}")
    if status != 200:
        raise AssertionError(f"{query}: {status} {body}")
    return body


def pages(house, checks):
    """pages join to the whole list, oldest first, and turn around with desc"""
    all_ids, at = [], 0
    while True:
        page = listed(house, f"size=70&from={at}&desc=false")
        checks.equal(f"from {at}: says what it has", (page["from"], page["total"]), (at, len(page["batches"])))
        all_ids += [batch["id"] for batch in page["batches"]]
        if len(page["batches"]) < 70:
            break
        at += 70
    checks.equal("300 of them, each once", (len(all_ids), len(set(all_ids))), (300, 300))
    whole = listed(house, "size=2147483647&from=0&desc=false")["batches"]
    checks.equal("the largest size of the client's is a size", [batch["id"] for batch in whole], all_ids)
    times = [batch["createTime"] for batch in whole]
    checks.equal("oldest first", times, sorted(times))
    turned = listed(house, "size=1000&from=0&desc=true")["batches"]
    checks.equal("desc: newest first", [batch["id"] for batch in turned], all_ids[::-1])
    checks.equal("by default a hundred", len(listed(house)["batches"]), 100)
    checks.equal("past the end: none", listed(house, "from=300&size=10"), {"from": 300, "total": 0, "batches": []})
    ours = [made.id for made in many(house).of(by="kyuubi")]
    checks.equal("our own are there under our ids, in order", [known for known in all_ids if known in set(ours)], ours)


def filters(house, checks):
    """each filter narrows it, and all together do"""
    def rows(query):
        return listed(house, f"{query}&size=1000&from=0")["batches"]

    made = many(house)
    for word, end in [("FINISHED", "succeeded"), ("ERROR", "failed"), ("CANCELED", "cancelled"), ("RUNNING", "running"),
                      ("PENDING", "waiting")]:
        for spelled in (word, word.lower()):
            found = rows(f"batchState={spelled}")
            checks.equal(f"batchState={spelled}", (len(found), {row["state"] for row in found} - {word}),
                         (made.count(end=end), set()))
    for user in ("ann", "bob", "anonymous", "Ann"):
        checks.equal(f"batchUser={user}", len(rows(f"batchUser={user}")), made.count(user=user))
    found = rows("batchName=many-3")
    checks.equal("batchName", (len(found), {row["name"] for row in found}), (made.count(name="many-3"), {"many-3"}))
    checks.equal("a name has no pattern", len(rows("batchName=many-")), 0)
    for word in ("spark", "PYSPARK"):
        checks.equal(f"batchType={word}", len(rows(f"batchType={word}")), 300 if word.upper() == made.kind else 0)
    checks.equal("one that is none", len(rows("batchType=FLINK")), 0)
    checks.equal("empty ones are none given", len(rows("batchType=&batchUser=&batchName=&createTime=&endTime=")), 300)

    whole = rows("desc=false")
    middle = whole[150]["createTime"]
    checks.equal("createTime", len(rows(f"createTime={middle}")), sum(row["createTime"] >= middle for row in whole))
    ends = sorted(row["endTime"] for row in whole if row["endTime"])
    checks.equal("endTime: those that ended until then", len(rows(f"endTime={ends[99]}")), sum(end <= ends[99] for end in ends))
    together = f"batchName=many-4&batchUser=ann&batchState=finished&batchType={made.kind}&createTime=1&endTime={ends[-1]}"
    checks.equal("all together", len(rows(together)), made.count(name="many-4", user="ann", end="succeeded"))


def bad_filters(house, checks):
    """what is no filter is refused as the product does"""
    state, times, number = "The valid batch state can be one of the following", "Invalid time range", "HTTP 404 Not Found"
    for query, status, words in [
        ("batchState=DONE", 500, state), ("batchState=INITIALIZED", 500, state), ("batchState=", 500, state),
        ("createTime=-1", 500, times), ("createTime=10&endTime=5", 500, times), ("createTime=x", 404, number),
        ("size=many", 404, number), ("from=1.5", 404, number), ("size=99999999999", 404, number),
    ]:
        got, body = call(many(house).proxy, "GET", f"/batches?{query}")
        checks.that(f"{query}: {status}", got == status and words in str(body.get("message")), (got, body))


CASES = [pages, filters, bad_filters]
