"""Looks at Batchlingua's batches with kylinpy. Kylin's job API submits nothing; the other dialects do.

    pip install kylinpy sqlalchemy
    python examples/python/kylinpy_jobs.py                  lists the project's jobs: id, status, name
    python examples/python/kylinpy_jobs.py JOB              follows one to its end
    python examples/python/kylinpy_jobs.py JOB cancel       ends it

BATCHLINGUA_URL is where the proxy listens (http://127.0.0.1:8998), BATCHLINGUA_LOGIN a name and a password as name:password,
KYLIN_PROJECT the project. Exit code 0 only if a job that was followed ended in FINISHED.
"""

import os
import sys
import time
from urllib.parse import urlsplit

from kylinpy import Kylin
from kylinpy.client import UnauthorizedError
from kylinpy.exceptions import KylinJobError


def kylin(version):
    at = urlsplit(os.environ.get("BATCHLINGUA_URL", "http://127.0.0.1:8998"))
    user, password = os.environ.get("BATCHLINGUA_LOGIN", "ADMIN:KYLIN").split(":", 1)
    return Kylin(at.hostname, user, password, at.port, os.environ.get("KYLIN_PROJECT", "default"), version=version)


def show_all():
    client = kylin("v4")
    # list_job() has no filter that reaches the server; its service has.
    for job in client.service.jobs(project=client.project, time_filter=4, page_size=100):
        print(f"{job['id']}  {job['job_status']}  {job['target_subject']}")
    return 0


def follow(name):
    job = kylin("v4").get_job(name)
    status = None
    while status not in ("FINISHED", "ERROR", "DISCARDED"):
        now = job.status
        if now == status:
            time.sleep(0.5)
        else:
            print(f"status {now}")
        status = now
    return 0 if status == "FINISHED" else 1


def cancel(name):
    # kylinpy cancels by the older API only.
    print(f"status {kylin('v1').get_job(name).cancel()['job_status']}")
    return 0


def main(words):
    try:
        if not words:
            return show_all()
        return cancel(words[0]) if words[1:] == ["cancel"] else follow(words[0])
    except (KylinJobError, UnauthorizedError) as error:
        sys.exit(f"refused: {error}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
