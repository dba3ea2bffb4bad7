"""A proxy that asks for proof: signatures, tokens, projects and queues."""

import datetime

import requests
from cases.refusing import refusal
from huaweicloudsdkcore.http.http_handler import HttpHandler
from huaweicloudsdkdli import v1 as dli
from lib.checks import until
from lib.examples import ran
from lib.proof import ANNS_KEY, ANNS_TOKEN, BOBS_KEY, EXPIRED_TOKEN, OTHER_PROJECT, PROJECT, leaked, proving
from stock import cancel, client, listed, log, show, state, submit, to_its_end, with_token


def by_everything(house, checks, sdk, name):
    """All six calls."""
    job, folder = house.quick(), house.folder("proving")
    made = submit(sdk, file=job, args=["0", str(folder)], name=name, conf={})
    until("it runs", lambda: state(sdk, made.id) == "running")
    shown = show(sdk, made.id)
    checks.equal("show: its name and whose it is", (shown.name, shown.owner), (name, "ann"))
    found = listed(sdk, job_name=name, queue_name="etl", state="running", begin=0, size=20, order="CREATE_TIME_DESC")
    checks.equal("list", [known.id for known in found.sessions], [made.id])
    until("it has said something", lambda: log(sdk, made.id, start=0, size=10).log)
    checks.equal("log", log(sdk, made.id, start=0, size=10).log, [f"quick 0 {folder}"])
    checks.equal("cancel", cancel(sdk, made.id).msg, "deleted")
    checks.equal("state", to_its_end(sdk, made.id)[-1], "dead")
    return made.id


def signed(house, checks):
    """every call, signed"""
    sdk = client(proving(house), keys=ANNS_KEY)
    # A name that means something to whoever puts a query together, so that both must encode it alike to agree on the signature.
    by_everything(house, checks, sdk, "nightly rollup+x/ü~&=%")
    checks.equal("none is found by another", listed(sdk, job_name="nightly rollup x/ü~&=%").total, 0)


def by_token(house, checks):
    """every call, with a token"""
    by_everything(house, checks, with_token(proving(house), ANNS_TOKEN), "by a token")


def nobody(house, checks):
    """who proves nothing, or shows what is wrong, is told so"""
    proxy = proving(house)
    secrets = (ANNS_KEY[1], BOBS_KEY[1], ANNS_TOKEN, EXPIRED_TOKEN)
    for what, sdk in [
        ("a wrong secret", client(proxy, keys=(ANNS_KEY[0], BOBS_KEY[1]))),
        ("a key that nobody has", client(proxy, keys=("NOBODY", ANNS_KEY[1]))),
        ("a wrong token", with_token(proxy, ANNS_TOKEN[:-1] + "x")), ("an empty token", with_token(proxy, "")),
        ("a token of the past", with_token(proxy, EXPIRED_TOKEN)),
    ]:
        told = refusal(checks, what, lambda sdk=sdk: listed(sdk), 401, "APIGW.0301")
        checks.that("and no secret is repeated", told and not any(secret in str(told) for secret in secrets))
        refusal(checks, f"{what}, for a submit", lambda sdk=sdk: submit(sdk, file=house.quick(), name="never"), 401,
                "APIGW.0301")
    answer = requests.get(f"{proxy.url}/v2.0/{PROJECT}/batches", timeout=30)
    checks.equal("nothing at all", (answer.status_code, answer.json()["error_code"]), (401, "APIGW.0301"))
    checks.equal("none of them left a batch", listed(client(proxy, keys=ANNS_KEY), job_name="never").total, 0)


def altered(house, checks):
    """what was signed must be what arrives"""
    proxy = proving(house)

    def changed(**header):
        def handler(request, **_):
            request.header_params.update({name.replace("_", "-"): value for name, value in header.items()})
        return client(proxy, keys=ANNS_KEY, handler=HttpHandler().add_request_handler(handler))

    refusal(checks, "another User-Agent", lambda: listed(changed(User_Agent="another/1")), 401, "APIGW.0301")
    refusal(checks, "another project in the header", lambda: listed(changed(X_Project_Id=OTHER_PROJECT)), 401, "APIGW.0301")
    checks.equal("a header that was not signed is no matter", listed(changed(X_Note="new"), size=1).status_code, 200)

    def body(request, **_):
        request.body = request.body.replace(b"quick.", b"quicK.")
    sdk = client(proxy, keys=ANNS_KEY, handler=HttpHandler().add_request_handler(body))
    refusal(checks, "another body", lambda: submit(sdk, file=house.quick()), 401, "APIGW.0301")

    for minutes, good in ((-14, True), (14, True), (-16, False), (16, False)):
        date = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
        asked = client(proxy, keys=ANNS_KEY).list_spark_jobs_invoker(dli.ListSparkJobsRequest(size=1)).add_header(
            "X-Sdk-Date", date.strftime("%Y%m%dT%H%M%SZ"))
        if good:
            checks.equal(f"a clock that is {minutes} minutes off is borne", asked.invoke().status_code, 200)
        else:
            refusal(checks, f"one that is {minutes} minutes off is not", asked.invoke, 401, "APIGW.0301")


def twice(house, checks):
    """the same signed request once more is the client's own retry"""
    seen = []
    handler = HttpHandler().add_request_handler(lambda request, **_: seen.append((request.url, dict(request.header_params))))
    listed(client(proving(house), keys=ANNS_KEY, handler=handler), size=1)
    url, headers = seen[0]
    checks.equal("sent three times more", [requests.get(url, headers=headers, timeout=30).status_code for _ in range(3)],
                 [200] * 3)


def allowed(house, checks):
    """what somebody may not use"""
    proxy = proving(house)
    job = house.quick()
    refusal(checks, "a project that is not theirs", lambda: listed(client(proxy, project=OTHER_PROJECT, keys=ANNS_KEY)), 403,
            "APIGW.0302")
    refusal(checks, "by token as well", lambda: listed(with_token(proxy, ANNS_TOKEN, OTHER_PROJECT)), 403, "APIGW.0302")
    refusal(checks, "a queue that is not theirs", lambda: submit(client(proxy, keys=ANNS_KEY), file=job, queue="nightly"), 400,
            "DLI.0003", "nightly")
    refusal(checks, "a queue that there is not", lambda: submit(client(proxy, keys=BOBS_KEY), file=job, queue="elsewhere"), 400,
            "DLI.0002", "There is no queue named elsewhere")
    made = submit(client(proxy, keys=BOBS_KEY, project=OTHER_PROJECT), file=job, args=["0"], queue="nightly")
    checks.equal("who may, may", to_its_end(client(proxy, keys=BOBS_KEY, project=OTHER_PROJECT), made.id)[-1], "success")
    refusal(checks, "a batch of a project that is not theirs is not there", lambda: show(client(proxy, keys=ANNS_KEY), made.id),
            404, "DLI.0023")


def examples(house, checks):
    """the examples with a key, with a token, and without"""
    job = house.job("hello.py")
    signed = {"DLI_ACCESS_KEY": ANNS_KEY[0], "DLI_SECRET_KEY": ANNS_KEY[1]}
    for name, proof in (("python/dli_sdk.py", signed), ("curl/dli.sh", {"DLI_TOKEN": ANNS_TOKEN})):
        good = ran(house, name, job, "one", proxy=proving(house), DLI_PROJECT=PROJECT, DLI_QUEUE="etl", **proof)
        checks.that(f"{name}: the job runs", good.returncode == 0 and "hello from python ['one']" in good.stdout, good)
        bad = ran(house, name, job, proxy=proving(house), DLI_PROJECT=PROJECT, DLI_QUEUE="etl")
        checks.that("without it is told why not", bad.returncode != 0 and "APIGW.0301" in bad.stderr, bad)


def nothing_leaks(house, checks):
    """no secret is in the proxy's log, its ledger or its jobs"""
    checks.equal("files with a secret", leaked(house), [])


CASES = [signed, by_token, nobody, altered, twice, allowed, examples, nothing_leaks]
