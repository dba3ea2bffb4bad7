"""What jobs/waiting.py leaves behind, and whether its processes are gone; what jobs/fields.py tells."""

import json
import pathlib

from .checks import until


def started(folder):
    """The pids of the job and its JVM, once the job has written them; one pair a start."""
    def look():
        record = folder / "started"
        return record.exists() and [tuple(map(int, line.split())) for line in record.read_text().splitlines()]
    return until("the job has started", look)


def fields(lines):
    """What jobs/fields.py has told in this log, or None. Its line may go on with one of Spark's, which writes to the same file."""
    word = "FIELDS "
    told = [line.removeprefix(word) for line in lines if line.startswith(word)]
    return json.JSONDecoder().raw_decode(told[0])[0] if len(told) == 1 else None


def gone(pids):
    """No process of these is left; a zombie, whom nobody has waited for yet, is none any more."""
    def alive(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False
    return not any(map(alive, pids))
