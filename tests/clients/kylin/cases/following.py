"""A job as kylinpy and KyStudio show it on its way: listed, followed, its steps and its log."""

from lib.checks import until
from lib.jobs import started
from stock import PROJECT, V4, V4_PUBLIC, call, kylin, submit, to_its_end

# What the product's documentation shows of a job.
SHOWN = ["id", "last_modified", "duration", "exec_start_time", "steps", "job_status", "job_name", "data_range_start",
         "data_range_end", "target_model", "target_segments", "step_ratio", "create_time", "wait_time", "target_subject",
         "target_subject_error", "project", "submitter", "exec_end_time", "tag"]


def followed(house, checks):
    """from its first sight to its end, by all three of kylinpy's versions"""
    folder = house.folder("followed")
    batch = submit(house.main, house.job("waiting.py"), folder, name="to be followed")
    started(folder)
    clients = {version: kylin(house.main, version) for version in ("v1", "v2", "v4")}
    for version, client in clients.items():
        ids = [job.job_id for job in client.list_job()]
        checks.that(f"{version}: it is listed", batch in ids, ids)
    # By id only these two: the v2 object calls what its own service has not.
    for version in ("v1", "v4"):
        job = clients[version].get_job(batch)
        until(f"{version} shows it running", lambda job=job: job.status == "RUNNING")
        shown = job.get_desc()
        checks.equal(f"{version}: running, and whose", (shown["job_status"], shown.get("uuid", shown.get("id"))),
                     ("RUNNING", batch))
    (folder / "go").touch()
    checks.equal("it ends in", to_its_end(house.main, batch)[-1], "FINISHED")
    shown = {version: clients[version].get_job(batch).get_desc() for version in ("v1", "v4")}
    checks.equal("v1 as well", shown["v1"]["job_status"], "FINISHED")
    new = shown["v4"]
    checks.equal("all members of the documentation", [member for member in SHOWN if member not in new], [])
    checks.equal("id, name, project", (new["id"], new["target_subject"], new["project"]), (batch, "to be followed", PROJECT))
    checks.equal("a step list that is empty, and a full ratio", (new["steps"], new["step_ratio"]), ([], 1.0))
    checks.that("times in their order, in milliseconds",
                10**12 < new["create_time"] <= new["exec_start_time"] <= new["exec_end_time"], new)
    checks.equal("spans that add up", new["wait_time"] + new["duration"], new["total_duration"])
    old = shown["v1"]
    checks.that("v1 has its duration in seconds", abs(old["duration"] - new["duration"] / 1000) <= 1,
                (old["duration"], new["duration"]))
    checks.equal("and a whole progress", old["progress"], 100)


def steps_and_log(house, checks):
    """its one step, its short log and its long one"""
    batch = submit(house.main, house.job("lines.py"), 500, name="with a log")
    checks.equal("it ends in", to_its_end(house.main, batch)[-1], "FINISHED")
    status, headers, answer = call(house.main, "GET", f"/jobs/{batch}/detail?project={PROJECT}")
    checks.equal("the detail is an envelope of its steps", (status, answer["code"], answer["msg"], len(answer["data"])),
                 (200, "000", "", 1))
    checks.that("of the type that was asked for", headers["Content-Type"].startswith(V4_PUBLIC), headers["Content-Type"])
    step = answer["data"][0]
    checks.equal("the step", (step["id"], step["sequence_id"], step["step_status"]), (f"{batch}_00", 0, "FINISHED"))
    expected = [f"line {number:06d} of 500 ✓ \U0001f680" for number in range(1, 501)]
    status, _, answer = call(house.main, "GET", f"/jobs/{batch}/steps/{batch}_00/output?project={PROJECT}", accept=V4)
    short = answer["data"]["cmd_output"].splitlines()
    checks.equal("the short log says whose it is", (answer["data"]["jobId"], answer["data"]["stepId"]), (batch, f"{batch}_00"))
    checks.that("and has the first and the last hundred lines", len(short) < 250 and expected[0] in short
                and expected[250] not in short, short[:3])
    status, headers, answer = call(house.main, "GET", f"/jobs/{batch}/steps/{batch}_00/log?project={PROJECT}")
    checks.that("the long one is a file", headers.get_content_type() == "application/octet-stream" and
                f"{PROJECT}_{batch}_00.log" in headers["Content-Disposition"], dict(headers))
    checks.equal("with every line once, in order", [line for line in answer.splitlines() if line.startswith("line ")], expected)


def failing(house, checks):
    """a failing job is in ERROR, and says why"""
    batch = submit(house.main, house.job("failing.py"))
    checks.equal("it ends in", to_its_end(house.main, batch)[-1], "ERROR")
    checks.equal("by v1 too", kylin(house.main, "v1").get_job(batch).status, "ERROR")
    step = call(house.main, "GET", f"/jobs/{batch}/detail?project={PROJECT}")[2]["data"][0]
    checks.equal("the step has failed", (step["step_status"], step["failed_step_id"]), ("ERROR", f"{batch}_00"))
    log = call(house.main, "GET", f"/jobs/{batch}/steps/{batch}_00/log?project={PROJECT}")[2]
    checks.that("its log has the reason", "the job's own reason" in log, log[-400:])


CASES = [followed, steps_and_log, failing]
