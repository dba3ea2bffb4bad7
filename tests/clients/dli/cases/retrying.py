"""The SDK's own retries, against a proxy that is full and one that is away."""

import threading

from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException, ConnectionException
from huaweicloudsdkcore.retry.backoff_strategy import NoBackoffStrategy
from huaweicloudsdkdli import v1 as dli
from lib.checks import until
from lib.proxy import EVERY_DIALECT
from stock import client, listed, state, submit, to_its_end


def full(house, checks):
    """a queue that is full: 429 with what to wait for; the SDK's retry then comes through, once"""
    proxy = house.proxy("full", dialects=EVERY_DIALECT, concurrency=1, backend=["spark = false", "max_queued = 0"])
    sdk, folder = client(proxy), house.folder("full")
    first = submit(sdk, file=house.quick(), args=["0", str(folder)])
    until("it runs", lambda: state(sdk, first.id) == "running")
    try:
        submit(sdk, file=house.quick(), args=["0"])
        checks.that("a second one is refused", False, "it was taken")
    except ClientRequestException as error:
        checks.equal("a second one is refused", (error.status_code, error.error_code), (429, "APIGW.0308"))
    status, headers, _ = proxy.call("POST", "/v2.0/p/batches", {"file": house.quick(), "queue": "etl"})
    checks.that("with a time to wait", status == 429 and int(headers["Retry-After"]) >= 1, (status, dict(headers)))

    tries = []

    def busy(_, error):
        tries.append(error)
        if isinstance(error, ClientRequestException) and error.status_code == 429:
            (folder / "go").touch()
            until("the first has ended", lambda: state(sdk, first.id) == "success")
            return True
        return False

    request = dli.CreateSparkJobRequest(body=dli.CreateSparkJobRequestBody(file=house.quick(), args=["0"], queue="etl"))
    made = sdk.create_spark_job_invoker(request).with_retry(busy, 5, NoBackoffStrategy()).invoke()
    checks.that("its retry is taken", len(tries) > 1 and to_its_end(sdk, made.id)[-1] == "success", tries)
    checks.equal("and there are two batches, no more", listed(sdk).total, 2)


def away(house, checks):
    """a proxy that is away for a moment: the SDK's retry finds the batch as it was"""
    proxy = house.proxy("away", dialects=EVERY_DIALECT, backend=["spark = false"])
    sdk = client(proxy)
    made = submit(sdk, file=house.quick(), args=["0"], name="before")
    to_its_end(sdk, made.id)
    proxy.kill()
    tries = []

    def gone(_, error):
        tries.append(error)
        if isinstance(error, ConnectionException):
            if len(tries) == 1:
                back = threading.Thread(target=proxy.start)
                back.start()
                back.join()
            return True
        return False

    invoker = sdk.show_spark_job_invoker(dli.ShowSparkJobRequest(batch_id=made.id))
    shown = invoker.with_retry(gone, 10, NoBackoffStrategy()).invoke()
    checks.equal("the batch", (shown.id, shown.name, shown.state), (made.id, "before", "success"))
    checks.that("after a try that met nobody", any(isinstance(error, ConnectionException) for error in tries), tries)


CASES = [full, away]
