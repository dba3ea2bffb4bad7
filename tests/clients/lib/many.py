"""A list of 300 batches over one proxy, a hundred by each dialect that can submit, for what clients filter and page.

They run without Spark, and do nothing: 300 JVMs would take a quarter of an hour.
"""

import concurrent.futures
import dataclasses
import http.client
import json

from .checks import until
from .proxy import EVERY_DIALECT, PROJECT, basic

QUEUES = ("etl", "nightly", "adhoc")
USERS = ("ann", "bob")
PATHS = {"kyuubi": "/api/v1/batches", "livy": "/batches", "dli": f"/v2.0/{PROJECT}/batches"}
EACH = 100
# Of each hundred; the others end well.
FAILED = range(90, 98)
CANCELLED = 98
RUNNING = 99


@dataclasses.dataclass
class Made:
    by: str
    id: object
    name: str
    queue: str
    user: str
    end: str


class Many:
    def __init__(self, house):
        self.proxy = house.proxy("many", dialects=EVERY_DIALECT, concurrency=8, backend=["spark = false"])
        self.job = house.quick()
        # What Kyuubi's clients call it.
        self.kind = "PYSPARK" if self.job.endswith(".py") else "SPARK"
        self.folder = house.folder("many")
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            self.made = [made for part in pool.map(self.submit, PATHS) for made in part]
        until("those that end have ended", lambda: self.in_state("PENDING") == 0 and self.in_state("RUNNING") == 3)

    def submit(self, by):
        """In the order of their numbers, on one connection as a client does. Kylin takes none, and a job of it has a project:
        there all come by the dialect that names one."""
        came_by = by if self.proxy.source is self.proxy else "dli"
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.source.port, timeout=60)

        def call(method, path, body=None, headers=None):
            connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer.status} {content}")
            return json.loads(content)

        made = []
        for number in range(EACH):
            # A Livy client's DELETE forgets, and this list is to stay whole.
            end = ("failed" if number in FAILED else "running" if number == RUNNING else
                   "cancelled" if number == CANCELLED and by != "livy" else "succeeded")
            args = ["1"] if end == "failed" else ["0", str(self.folder)] if end in ("cancelled", "running") else ["0"]
            name = f"many-{by}-{number}" if by == "livy" else f"many-{number % 10}"
            if came_by == "kyuubi":
                queue, user = "", USERS[number % 2]
                body, login = {"batchType": self.kind, "resource": self.job, "className": ""}, {"Authorization": basic(user, "")}
            else:
                queue, user = QUEUES[number % 3], "anonymous"
                body, login = {"file": self.job, "queue": queue}, {}
            known = call("POST", PATHS[came_by], {**body, "name": name, "args": args}, login)["id"]
            made.append(Made(came_by, known, name, queue, user, end))
            if end == "cancelled":
                call("DELETE", f"{PATHS[came_by]}/{known}")
        connection.close()
        return made

    def in_state(self, state):
        return self.proxy.call("GET", f"/api/v1/batches?from=0&size=1000&batchState={state}")[2]["total"]

    def count(self, **wanted):
        """How many have all of these: by=, name=, queue=, user=, end=."""
        return len(self.of(**wanted))

    def of(self, **wanted):
        return [made for made in self.made if all(getattr(made, member) == value for member, value in wanted.items())]


def many(house):
    """Made once for all cases of a run."""
    if not hasattr(house, "many"):
        house.many = Many(house)
    return house.many
