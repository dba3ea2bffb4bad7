"""livy-to-kyuubi.toml: Livy's clients go on while their batches move to Kyuubi."""

from filled import VARIABLES, Filled, leaked, platform
from lib.checks import until
from lib.jobs import started


def moving(house, checks):
    """old batches are followed where they run, new ones run on Kyuubi"""
    old = platform(house, "livy-to-kyuubi", "livy")
    kyuubi = platform(house, "livy-to-kyuubi", "kyuubi", VARIABLES["KYUUBI_PASSWORD"])
    folder = house.folder("old")
    before = old.call("POST", "/batches", {"file": house.job("waiting.py"), "args": [str(folder)]})[2]["id"]
    started(folder)

    proxy = Filled(house, "livy-to-kyuubi.toml", lambda proxy: {
        "127.0.0.1:8998": f"127.0.0.1:{proxy.port}", "kyuubi.example.com:10099": f"127.0.0.1:{kyuubi.port}",
        "livy.example.com:8998": f"127.0.0.1:{old.port}", "hdfs:///": "file:///"})
    proxy.start()
    checks.equal("the old one is followed under its number", proxy.state(before), "running")

    def submit(**more):
        status, headers, made = proxy.call("POST", "/batches", {"file": house.job("hello.py"), "args": ["one"], **more})
        if status != 201:
            raise RuntimeError(f"{status} {made}")
        until("it ends", lambda: proxy.state(made["id"]) == "success")
        log = proxy.call("GET", f"/batches/{made['id']}/log?from=0&size=1000")[2]["log"]
        checks.that("its log is there", "hello from python ['one']" in log, log[-5:])
        return made["id"], headers["Batchlingua-Backend"]

    new, where = submit(name="new", executorMemory="512m", driverMemory="512m")
    checks.equal("a new one runs on Kyuubi", where, "kyuubi")
    checks.that("under a number far above the old", new >= 1_000_000 > before, (new, before))
    there = kyuubi.side.call("GET", "/api/v1/batches")[2]["batches"]
    checks.equal("as one batch there, with its path made Kyuubi's", [(batch["name"], batch["batchType"]) for batch in there],
                 [("new", "PYSPARK")])
    later, where = submit(name="stays", queue="legacy_reports")
    checks.equal("a queue that is not ready stays", (where, later), ("old-livy", old.call("GET", "/batches/stays")[2]["id"]))
    (folder / "go").touch()
    until("the old one ends", lambda: proxy.state(before) == "success")
    listed = [batch["id"] for batch in proxy.batches()]
    checks.equal("all three are in one list", sorted(listed), sorted([before, new, later]))
    checks.equal("no file has the password", leaked(proxy), [])


CASES = [moving]
