"""Submits a batch to Batchlingua with Huawei Cloud's own Python SDK, follows it to its end, prints its log.

    pip install huaweicloudsdkdli
    python examples/python/dli_sdk.py [FILE [ARG...]]        the demo's word count, if no file is given

BATCHLINGUA_URL is where the proxy listens (http://127.0.0.1:8998), DLI_PROJECT the project's id, DLI_QUEUE the queue.
Where the proxy asks for proof, DLI_ACCESS_KEY and DLI_SECRET_KEY are one of its [[auth.key]]; where it does not, any will do.
Exit code 0 only if the batch ended in success.
"""

import os
import pathlib
import sys
import time
import warnings

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdli.v1 import (CreateSparkJobRequest, CreateSparkJobRequestBody, DliClient, ShowSparkJobLogRequest,
                                  ShowSparkJobStatusRequest)

# The log's call is deprecated by the cloud and still the only one that reads a log.
warnings.simplefilter("ignore", DeprecationWarning)

DEMO = pathlib.Path(__file__).resolve().parent.parent / "demo"


def main(words):
    file, *args = words or [str(DEMO / "wordcount.py"), str(DEMO / "text.txt")]
    keys = BasicCredentials(os.environ.get("DLI_ACCESS_KEY", "any"), os.environ.get("DLI_SECRET_KEY", "any"),
                            os.environ.get("DLI_PROJECT", "0123456789abcdef0123456789abcdef"))
    # The SDK drops a path from its endpoint: host and port must be the proxy's own.
    client = DliClient.new_builder().with_endpoint(os.environ.get("BATCHLINGUA_URL",
                                                                  "http://127.0.0.1:8998")).with_credentials(keys).build()
    try:
        body = CreateSparkJobRequestBody(file=file, args=args, name="by the SDK", queue=os.environ.get("DLI_QUEUE", "default"))
        batch = client.create_spark_job(CreateSparkJobRequest(body=body)).id
    except ClientRequestException as refused:
        sys.exit(f"not accepted: {refused.status_code} {refused.error_code} {refused.error_msg}")
    print(f"batch {batch}")

    state = None
    while state not in ("success", "dead"):
        now = client.show_spark_job_status(ShowSparkJobStatusRequest(batch_id=batch)).state
        if now == state:
            time.sleep(0.5)
        else:
            print(f"state {now}")
        state = now

    shown = 0
    while True:
        page = client.show_spark_job_log(ShowSparkJobLogRequest(batch_id=batch, _from=shown, size=1000))
        if not page.log:
            break
        print("\n".join(page.log))
        shown += len(page.log)
    return 0 if state == "success" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
