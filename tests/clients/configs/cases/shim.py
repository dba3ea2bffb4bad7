"""kyuubi-to-dli.toml: Kyuubi's clients submit to a DLI that checks their proxy's signature."""

import json
import pathlib

from filled import VARIABLES, Filled, leaked, platform
from kyuubi.cases.uploading import form, request, upload
from lib.checks import until
from stock import call, to_its_end, whole_log

PROJECT = "48cc2c48765f481480c7db940d6409d1"


def shim(house, checks):
    """signed, into the project and queue of the file, with what is uploaded put where DLI can read it"""
    key = ["[auth]", "[auth.user.etl]", "administrator = true", "[[auth.key]]", f'access_key = "{VARIABLES["DLI_ACCESS_KEY"]}"',
           f'secret_key = "{VARIABLES["DLI_SECRET_KEY"]}"', 'user = "etl"', f'projects = ["{PROJECT}"]']
    dli = platform(house, "kyuubi-to-dli", "dli", sections=key)
    checks.equal("the DLI asks who comes", dli.call("GET", f"/v2.0/{PROJECT}/batches")[0], 401)
    proxy = Filled(house, "kyuubi-to-dli.toml", lambda proxy: {
        "127.0.0.1:10099": f"127.0.0.1:{proxy.port}", "https://dli.eu-west-101.myhuaweicloud.eu": dli.url,
        "/mnt/lake/batches": str(house.stage), "obs://lake/batches": f"file://{house.stage}", "obs://lake/": "file:///",
        # What is put there is no OBS here.
        "paths = {": 'paths = { "file:///" = "file:///",'})
    proxy.start()

    body = {"batchType": "PYSPARK", "resource": f"hdfs://{house.job('hello.py')}", "name": "by its path", "args": ["one"],
            "conf": {"spark.executor.memory": "512m", "spark.executor.instances": "2"}}
    status, batch = call(proxy, "POST", "/batches", body)
    if not checks.equal("it is taken", status, 200):
        checks.say(batch)
        return
    checks.equal("and ends in", to_its_end(proxy, batch["id"]), "FINISHED")
    checks.that("its log is there", "hello from python ['one']" in whole_log(proxy, batch["id"]))
    there = dli.side.call("GET", f"/v2.0/{PROJECT}/batches")[2]["sessions"]
    checks.equal("at DLI it is one batch, in the queue of the file", [(row["name"], row["queue"]) for row in there],
                 [("by its path", "etl")])
    sent = json.loads(there[0]["req_body"])
    checks.equal("with its sizes, and what the file says for all", (
        sent["conf"]["spark.executor.memory"], sent["conf"]["spark.executor.instances"], sent["feature"], sent["spark_version"]),
        ("512m", "2", "basic", "3.3.1"))

    answer = upload(proxy, form(request(args=["two"]), pathlib.Path(house.job("hello.py"))))
    if checks.equal("an upload is taken", answer.status, 200):
        uploaded = answer.json()["id"]
        checks.equal("and ends in", to_its_end(proxy, uploaded), "FINISHED")
        checks.that("its log is there", "hello from python ['two']" in whole_log(proxy, uploaded))
        until("what was uploaded goes with the job", lambda: not any(house.stage.iterdir()), deadline=120)

    status, refused = call(proxy, "POST", "/batches", {**body, "conf": {"hive.server2.proxy.user": "eve"}})
    checks.that("a user to run as is refused", status >= 400 and "run_as" in refused["message"], (status, refused))
    checks.equal("no file has the key", leaked(proxy), [])


CASES = [shim]
