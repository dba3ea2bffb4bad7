"""The list: its filters, orders and pages by every face, over 300 batches that came by three other dialects."""

from urllib.parse import urlencode

from lib.many import PROJECT, many
from stock import V2, V4, call, kylin

SORTS = ("last_modified", "duration", "total_duration", "target_subject", "create_time", "id", "job_name")


def listed(house, **query):
    """By the service of kylinpy's v4 object, which hands every filter on."""
    return kylin(many(house).proxy).service.jobs(**{"project": PROJECT, "time_filter": 4, "page_size": 1000, **query})


def count(house, **query):
    query = urlencode({"time_filter": 4, "project": PROJECT, "page_size": 1, **query})
    return call(many(house).proxy, "GET", f"/jobs?{query}")[2]["data"]["total_size"]


def pages(house, checks):
    """pages by their number join to the whole list"""
    ids, number = [], 0
    while True:
        status, _, answer = call(many(house).proxy, "GET",
                                 f"/jobs?time_filter=4&project={PROJECT}&page_offset={number}&page_size=70&sort_by=create_time")
        data = answer["data"]
        checks.equal(f"page {number}: says its number, its size and the total",
                     (data["offset"], data["limit"], data["total_size"]), (number, 70, 300))
        ids += [job["id"] for job in data["value"]]
        if len(data["value"]) < 70:
            break
        number += 1
    checks.equal("300 of them, each once", (len(ids), len(set(ids))), (300, 300))
    checks.equal("in one page", [job["id"] for job in listed(house, sort_by="create_time")], ids)
    checks.equal("reverse=false turns it around", [job["id"] for job in listed(house, sort_by="create_time", reverse="false")],
                 ids[::-1])
    past = call(many(house).proxy, "GET", "/jobs?time_filter=4&page_offset=99&page_size=10")
    checks.equal("a page past the end is empty", (past[0], past[2]["data"]["value"], past[2]["data"]["total_size"]),
                 (200, [], 300))
    checks.equal("kylinpy v4 shows its ten", len(kylin(many(house).proxy).list_job()), 10)


def filters(house, checks):
    """each filter narrows it, and all together do"""
    made = many(house)
    for word, end in [("FINISHED", "succeeded"), ("ERROR", "failed"), ("DISCARDED", "cancelled"), ("RUNNING", "running"),
                      ("STOPPED", "paused")]:
        found = listed(house, statuses=word)
        checks.equal(f"statuses={word}", (len(found), {job["job_status"] for job in found} - {word}),
                     (made.count(end=end), set()))
    two = made.count(end="failed") + made.count(end="cancelled")
    checks.equal("two, with a comma", len(listed(house, statuses="ERROR,DISCARDED")), two)
    checks.equal("two, repeated", len(listed(house, statuses=["ERROR", "DISCARDED"])), two)
    checks.equal("none, as KyStudio sends it", len(listed(house, statuses="")), 300)
    named = sum("many-3" in known.name for known in made.made)
    checks.equal("key: a part of the subject, any case", len(listed(house, key="MANY-3")), named)
    one = made.of(by="dli")[11]
    found = listed(house, key=one.id)
    checks.equal("key: an id", [(job["id"], job["target_subject"]) for job in found], [(one.id, one.name)])
    checks.equal("key: nothing", len(listed(house, key="nobody-has-this")), 0)
    whole = listed(house)
    checks.equal("job_names", [len(listed(house, job_names=name)) for name in (whole[0]["job_name"], "INC_BUILD")], [300, 0])
    checks.equal("subject", len(listed(house, subject=whole[0]["target_model"])),
                 sum(job["target_model"] == whole[0]["target_model"] for job in whole))
    checks.equal("time_filter: all of today", [count(house, time_filter=window) for window in range(5)], [300] * 5)
    checks.equal("what Kylin has not is no matter", count(house, isAuto="true", foo=1), 300)
    together = sum("many-4" in known.name and known.end == "succeeded" for known in made.made)
    checks.equal("all together", count(house, statuses="FINISHED", key="many-4", job_names=whole[0]["job_name"], time_filter=1),
                 together)
    elsewhere = "f" * 32
    checks.equal("another project has those that are of none", count(house, project=elsewhere), 300 - made.count(by="dli"))
    checks.equal("without a project: all", call(made.proxy, "GET", "/jobs?time_filter=4")[2]["data"]["total_size"], 300)


def orders(house, checks):
    """every order that there is, both ways"""
    for sort in SORTS:
        rising = [job[sort] for job in listed(house, sort_by=sort, reverse="false", statuses="FINISHED")]
        falling = [job[sort] for job in listed(house, sort_by=sort, statuses="FINISHED")]
        checks.that(f"{sort}: in order both ways", rising == sorted(rising) and falling == sorted(rising, reverse=True),
                    (rising[:5], falling[:5]))
    # What is of no project is shown in the default one, and stands behind all others as nothing does.
    for reverse in ("true", "false"):
        shown = [job["project"] for job in listed(house, sort_by="project", reverse=reverse)]
        checks.equal(f"project, reverse={reverse}: those that have one first", shown[:100], [PROJECT] * 100)


def by_kystudio(house, checks):
    """KyStudio's own query"""
    status, headers, answer = call(many(house).proxy, "GET",
                                   "/jobs?page_offset=0&page_size=20&time_filter=4&job_names=SPARK_BATCH&job_names=INC_BUILD"
                                   "&sort_by=create_time&reverse=true&status=&statuses=&key=&isAuto=true"
                                   f"&project={PROJECT}", accept=V4)
    checks.equal("is answered", (status, answer["code"], len(answer["data"]["value"]), answer["data"]["total_size"]),
                 (200, "000", 20, 300))
    checks.that("in its own type", headers["Content-Type"].startswith(V4), headers["Content-Type"])


def older_faces(house, checks):
    """the v2 face and the API before Kylin 5, by kylinpy"""
    made = many(house)
    new, old = kylin(made.proxy, "v2"), kylin(made.proxy, "v1")
    checks.equal("v2: its twenty", len(new.list_job()), 20)
    checks.equal("v2: by status code", [len(new.service.jobs(status=code, pageSize=1000)) for code in (4, 8, 16, 2)],
                 [made.count(end=end) for end in ("succeeded", "failed", "cancelled", "running")])
    page = call(made.proxy, "GET", "/jobs?timeFilter=4&pageOffset=2&pageSize=130", accept=V2)[2]["data"]
    checks.equal("v2: pages by their number", (len(page["jobs"]), page["size"]), (40, 300))
    checks.equal("v1: its fifteen", len(old.list_job()), 15)
    checks.equal("v1: a filter of the user's is a parameter without a meaning", len(old.list_job(status=4)), 15)
    rows = [job["uuid"] for job in old.service.jobs(limit=1000)]
    checks.equal("v1: all", (len(rows), len(set(rows))), (300, 300))
    checks.equal("v1: from a row on", [job["uuid"] for job in old.service.jobs(offset=37, limit=20)], rows[37:57])
    checks.equal("v1: by status code", len(old.service.jobs(status=8, limit=1000)), made.count(end="failed"))
    job = old.service.jobs(limit=1, status=4)[0]
    checks.that("v1: a job of its own shape", {"uuid", "name", "type", "related_cube", "progress", "mr_waiting",
                                               "projectName"} <= set(job), sorted(job))


CASES = [pages, filters, orders, by_kystudio, older_faces]
