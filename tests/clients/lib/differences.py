"""Where stock clients see something else over another platform than over this machine: all of it, nothing else may differ.

A difference is told in docs/backends.md in the very words of `said`. It is for one expectation or a few of a kind, which then still
have to show what `got` says, and `over` says how many there are over each kind of platform: one more or one fewer is a fault.
"""

import dataclasses
import re

from .proxy import REPOSITORY


@dataclasses.dataclass
class Difference:
    name: str
    # What docs/backends.md says about it, word by word.
    said: str
    suite: str
    # Patterns: of the case's name, of the expectation, of what came instead.
    case: str
    what: str
    got: str
    # How often, by the kind of platform.
    over: dict
    met: int = 0

    def meets(self, case, what, detail):
        met = all(re.search(pattern, text) for pattern, text in ((self.case, case), (self.what, what), (self.got, detail)))
        self.met += met
        return met


DIFFERENCES = [
    Difference(
        "capital-units",
        "sends `2g` as `2G`, and `2048` as `2048M`",
        "airflow", "every field of Livy", "^(driver|executor)Memory$", r"^got '(640|512)M', expected '(640|512)m'$", {"dli": 2}),
    Difference(
        "own-durations",
        "shows DLI's own `duration`; a list by duration is in the order of what the proxy has seen of each batch",
        "dli", "^listing: the four orders", "^DURATION_(ASC|DESC): [0-9]+ in order$", r"^got \[", {"dli": 2}),
    Difference(
        "python-by-name",
        "it takes a program for one in Python only if its name ends with `.py`",
        "kyuubi", "^(refusing: bad requests|other_clients: examples/curl/kyuubi.sh)",
        "^(a file outside allow_dirs: 500|a refusal is shown and fails)$",
        "DLI takes a program for one in Python only if its name ends with .py", {"dli": 2}),
    Difference(
        "nobody-else",
        "run a batch as another user (a client that asks for one is refused)",
        "kyuubi", "^(refusing: who submits|proving: running as another)",
        "^(for another|the newer key wins|whom one may run as|an administrator as anybody)$",
        r"^got (\(500, None\)|None), expected", {"dli": 4}),
    Difference(
        "kylins-own-list",
        "refuses beforehand what no Kylin does in that state, with that list",
        "kylin", "^acting: kylinpy v1 cancels", "^resume is refused, in words$",
        r"^no \['resume'\] in 'a job in status RUNNING takes these actions: \[DISCARD, PAUSE, RESTART\]'$", {"kylin": 1}),
    # Found out before it is sent, and so before the platform looks where the file lies.
    *(Difference(
        "class-is-named",
        "it does not look into an archive for its main class, so one without is refused",
        suite, "^(refusing: bad requests|other_clients: examples/)",
        "^(a file outside allow_dirs: 400.*|a refusal is shown and fails)$",
        "a Kyuubi does not look into an archive for its main class", {"kyuubi": count})
      for suite, count in (("airflow", 2), ("dli", 3))),
]

# (suite, kinds of platform, pattern of the case's name, why it is not asked there).
SUBMITTING = ("livy", "kyuubi", "dli")
LEFT_OUT = [
    ("airflow", SUBMITTING, "^clustering: ",
     "which master jobs run on is the platform's own matter, and three Spark clusters at once are more than two cores carry"),
    ("dli", ("kyuubi",), "^retrying: a queue that is full",
     "a Kyuubi has no word for being too busy that a client could be told"),
    ("chains", SUBMITTING, "submitting: Kylin takes no batches", "they take them"),
    ("chains", ("kylin",), "submitting: the platform is", "it takes no batches at all"),
    ("kylin", ("kylin",), "^proving: ", "the batches that a login is tried with are the proxy's own, and here they cannot be"),
    ("together", ("kylin",), "^at_once: ", "who submits there does not follow"),
]


def of(suite, over):
    """The differences that a run may meet."""
    told = " ".join((REPOSITORY / "docs" / "backends.md").read_text().split())
    for difference in DIFFERENCES:
        if difference.said not in told:
            raise ValueError(f"docs/backends.md does not say of {difference.name}: {difference.said}")
    return [difference for difference in DIFFERENCES if difference.suite == suite and over in difference.over]


def is_left_out(suite, over, case):
    return any(suite == name and over in kinds and re.search(pattern, case) for name, kinds, pattern, _ in LEFT_OUT)
