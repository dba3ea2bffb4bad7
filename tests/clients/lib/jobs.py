"""What jobs/waiting.py leaves behind, and whether its processes are gone."""

import pathlib

from .checks import until


def started(folder):
    """The pids of the job and its JVM, once the job has written them; one pair a start."""
    def look():
        record = folder / "started"
        return record.exists() and [tuple(map(int, line.split())) for line in record.read_text().splitlines()]
    return until("the job has started", look)


def gone(pids):
    """No process of these is left; a zombie, whom nobody has waited for yet, is none any more."""
    def alive(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False
    return not any(map(alive, pids))
