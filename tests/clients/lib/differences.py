"""Where stock clients see something else over another platform than over this machine. All of it, and nothing else may differ.

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
]

# (suite, kinds of platform, pattern of the case's name, why it is not asked there).
SUBMITTING = ("livy", "kyuubi", "dli")
LEFT_OUT = [
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
