"""The SDK's client, made as its users make it, and the few calls of it that every case needs."""

import warnings

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkcore.http.http_handler import HttpHandler
from huaweicloudsdkdli import v1 as dli
from lib.checks import until
from lib.proxy import PROJECT

# The log's call is deprecated with DLI itself, and served all the same.
warnings.simplefilter("ignore", DeprecationWarning)

FAST = {"spark.ui.enabled": "false"}
ENDS = ("success", "dead")
ACCESS_KEY, SECRET_KEY = "LINGUAAKEXAMPLE00001", "linguaSkExample0000000000000000000000001"


def client(proxy, project=PROJECT, keys=(ACCESS_KEY, SECRET_KEY), handler=None, **config):
    builder = dli.DliClient.new_builder().with_endpoint(proxy.url).with_credentials(BasicCredentials(*keys, project))
    builder = builder.with_http_config(HttpConfig(**config))
    return (builder.with_http_handler(handler) if handler else builder).build()


def with_token(proxy, token, project=PROJECT):
    """The SDK has no credentials of this kind. A request handler sees a request last, and puts the token there."""
    def instead(request, **_):
        request.header_params.pop("Authorization", None)
        request.header_params.pop("X-Sdk-Date", None)
        request.header_params["X-Auth-Token"] = token
    return client(proxy, project, handler=HttpHandler().add_request_handler(instead))


def submit(sdk, **body):
    body = dli.CreateSparkJobRequestBody(**{"queue": "etl", "conf": FAST, **body})
    return sdk.create_spark_job(dli.CreateSparkJobRequest(body=body))


def show(sdk, batch):
    return sdk.show_spark_job(dli.ShowSparkJobRequest(batch_id=batch))


def state(sdk, batch):
    return sdk.show_spark_job_status(dli.ShowSparkJobStatusRequest(batch_id=batch)).state


def log(sdk, batch, **query):
    # The SDK's own names for them.
    query = {"_from" if name == "start" else name: value for name, value in query.items()}
    return sdk.show_spark_job_log(dli.ShowSparkJobLogRequest(batch_id=batch, **query))


def whole_log(sdk, batch):
    lines = []
    while True:
        page = log(sdk, batch, start=len(lines), size=1000)
        lines.extend(page.log)
        if not page.log:
            return lines


def cancel(sdk, batch):
    return sdk.cancel_spark_job(dli.CancelSparkJobRequest(batch_id=batch))


def listed(sdk, **query):
    query = {"_from" if name == "begin" else name: value for name, value in query.items()}
    return sdk.list_spark_jobs(dli.ListSparkJobsRequest(**query))


def to_its_end(sdk, batch):
    """The states that were seen on the way, each once."""
    seen = []

    def ended():
        now = state(sdk, batch)
        if now not in seen:
            seen.append(now)
        return now in ENDS

    until(f"batch {batch} ends", ended, pause=0.1)
    return seen
