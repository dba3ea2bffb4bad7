"""A DLI behind the proxy that wants requests signed: what the proxy signs, and what Huawei's SDK makes of the same requests."""

import contextlib
import http.server
import json
import threading
import time
import urllib.parse
import uuid

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from lib.proxy import EVERY_DIALECT, PROJECT, Proxy
from stock import cancel, client, listed, log, show, submit, to_its_end

ACCESS_KEY, SECRET_KEY, SECURITY_TOKEN = "LINGUAFAR00000000001", "a key+of/odd=characters & blanks ü", "temporary+token/="


class Far(http.server.ThreadingHTTPServer):
    """Just enough of a DLI, which remembers what it was sent."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Asked)
        self.asked, self.jobs = [], {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Asked(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        answer = json.dumps(self.made(body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def made(self, body):
        jobs = self.server.jobs
        path = urllib.parse.urlsplit(self.path).path.split("/")
        if self.command == "POST":
            now = int(time.time() * 1000)
            job = {"id": str(uuid.uuid4()), "state": "running", "log": ["a line"], "create_time": now, "update_time": now,
                   "name": json.loads(body)["name"], "req_body": body.decode()}
            jobs[job["id"]] = job
            return job
        if path[-1] == "batches":
            return {"from": 0, "total": len(jobs), "sessions": list(jobs.values())}
        if path[-1] == "log":
            return {"id": path[-2], "from": 0, "total": 1, "log": ["a line"]}
        if self.command == "DELETE":
            jobs[path[-1]]["state"] = "dead"
            return {"msg": "deleted"}
        return jobs[path[-1]]

    do_GET = do_POST = do_DELETE = answer


@contextlib.contextmanager
def in_front_of(house, name, **key):
    """(a proxy with this key, the DLI behind it)."""
    far = Far()
    threading.Thread(target=far.serve_forever, daemon=True).start()
    proxy = Proxy(house, name, dialects=EVERY_DIALECT)
    proxy.configure(["[backend.far]", 'kind = "dli"', f'url = "{far.url}"', f'project_id = "{PROJECT}"', 'project = "client"',
                     "[backend.far.auth.ak_sk]", *(f"{name} = {json.dumps(value)}" for name, value in key.items())])
    house.proxies.append(proxy)
    try:
        proxy.start()
        yield proxy, far
    finally:
        proxy.stop()
        far.shutdown()
        far.server_close()


def as_the_sdk(method, path, headers, body):
    """What Huawei's SDK would say in Authorization of a request with these headers, if it signed those that this one has signed."""
    url = urllib.parse.urlsplit(path)
    signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    request = SdkRequest(method, "http", headers["host"], url.path, query_params=urllib.parse.parse_qsl(url.query, True),
                         header_params={name: headers[name] for name in signed}, body=body)
    return Signer(BasicCredentials(ACCESS_KEY, SECRET_KEY, PROJECT)).sign(request).header_params["Authorization"]


def compared(house, checks, name, **key):
    with in_front_of(house, name, ak=ACCESS_KEY, sk=SECRET_KEY, **key) as (proxy, far):
        sdk = client(proxy)
        made = submit(sdk, file="obs://bucket/ü/job one.py", name="nightly rollup+x/ü~&=%", args=["ü", "a b"])
        checks.equal("show", show(sdk, made.id).name, "nightly rollup+x/ü~&=%")
        checks.equal("log", log(sdk, made.id, start=0, size=10).log, ["a line"])
        checks.equal("list", [job.id for job in listed(sdk).sessions], [made.id])
        cancel(sdk, made.id)
        checks.equal("cancelled", to_its_end(sdk, made.id)[-1], "dead")
        other = client(proxy, project="ffff4444ffff4444ffff4444ffff4444")
        checks.equal("another project", show(other, submit(other, file="obs://b/a.jar", name="other").id).name, "other")
        asked = list(far.asked)
    checks.equal("every method was used", {method for method, _, _, _ in asked}, {"GET", "POST", "DELETE"})
    for method, path, headers, body in asked:
        checks.equal(f"{method} {path}: its signature", headers["authorization"], as_the_sdk(method, path, headers, body))
        checks.equal("its project", headers["x-project-id"], path.split("/")[2])
    return asked


def signed_headers(asked):
    return {headers["authorization"].split(", ")[1] for _, _, headers, _ in asked}


def signed(house, checks):
    """each request has the signature that the SDK makes of it"""
    asked = compared(house, checks, "signing")
    checks.equal("what is signed", signed_headers(asked), {"SignedHeaders=content-type;host;x-project-id;x-sdk-date"})


def temporary(house, checks):
    """with a temporary key as well"""
    asked = compared(house, checks, "signing-temporary", security_token=SECURITY_TOKEN)
    checks.equal("its token is shown", {headers["x-security-token"] for _, _, headers, _ in asked}, {SECURITY_TOKEN})
    checks.equal("and signed", signed_headers(asked), {"SignedHeaders=content-type;host;x-project-id;x-sdk-date;x-security-token"})


CASES = [signed, temporary]
