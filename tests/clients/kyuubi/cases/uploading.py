"""Uploads as the Java client makes them: a form whose JSON part comes last, files with Content-Transfer-Encoding."""

import json
import pathlib
import zipfile

from lib.checks import until
from lib.exchange import Connection
from lib.jobs import fields
from lib.proxy import files_below, holding
from stock import call, to_its_end, whole_log

BOUNDARY = "9lXR2Yl0G0TqIs1HTuYwdqXgNOGxVRGpQ1SU6T"


def part(name, content, kind, encoding, file=None):
    named = f'; filename="{file}"' if file else ""
    told = (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n'
            f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n")
    return told.encode() + content + b"\r\n"


def form(request, resource, extras=()):
    """Parts in the order of a hash map, which puts the request behind the files."""
    files = [part(path.name, path.read_bytes(), "application/octet-stream", "binary", path.name) for path in extras]
    files.append(part("resourceFile", resource.read_bytes(), "application/octet-stream", "binary", resource.name))
    files.append(part("batchRequest", json.dumps(request).encode(), "application/json; charset=UTF-8", "8bit"))
    return b"".join(files) + f"--{BOUNDARY}--\r\n".encode()


def upload(proxy, body, chunked=False):
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    if chunked:
        pieces = [body[at:at + 700] for at in range(0, len(body), 700)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    with Connection(f"127.0.0.1:{proxy.port}") as connection:
        return connection.exchange(head(proxy, length) + body)


def head(proxy, length):
    return (f"POST /api/v1/batches HTTP/1.1\r\nAuthorization: BASIC YW5uOnNlY3JldA==\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}; charset=UTF-8\r\n{length}\r\n"
            f"Host: localhost:{proxy.port}\r\nConnection: Keep-Alive\r\n"
            "User-Agent: Apache-HttpClient/4.5.14 (Java/17.0.15)\r\nAccept-Encoding: gzip,deflate\r\n\r\n").encode()


def request(kind="PYSPARK", **more):
    conf = {"spark.ui.enabled": "false", "kyuubi.client.version": "1.12.0"}
    return {"batchType": kind, "resource": "placeholder", "className": None, "name": "uploaded", "conf": conf, "args": [],
            "extraResourcesMap": {}, **more}


def with_files(house, checks):
    """a program and the files that it needs reach the job, and are gone after it"""
    folder = house.folder("upload")
    (folder / "shipped.py").write_text("WORD = 'by a file that was uploaded'\n")
    (folder / "data.txt").write_text("by another one\n")
    with zipfile.ZipFile(folder / "extra.jar", "w") as jar:
        jar.writestr("in-the-jar.txt", "by an archive")
    extras = {"spark.submit.pyFiles": "shipped.py", "spark.files": "data.txt", "spark.jars": "extra.jar"}
    body = form(request(args=["--day", "2026-01-31"], extraResourcesMap=extras), pathlib.Path(house.job("fields.py")),
                [folder / name for name in extras.values()])
    answer = upload(house.main, body)
    if not checks.equal("it is taken", (answer.status, answer.type), (200, "application/json")):
        checks.say(answer)
        return
    batch = answer.json()
    checks.equal("its name, type and user", (batch["name"], batch["batchType"], batch["user"]), ("uploaded", "PYSPARK", "ann"))
    checks.equal("it ends in", to_its_end(house.main, batch["id"]), "FINISHED")
    lines = whole_log(house.main, batch["id"])
    got = fields(lines)
    if not checks.that("the job ran", got):
        checks.say("\n".join(lines[-30:]))
        return
    checks.equal("args", got["args"], ["--day", "2026-01-31"])
    checks.equal("pyFiles", got["py_files"], "by a file that was uploaded")
    checks.equal("files", got["files"], "by another one")
    checks.equal("jars", got["jars"], True)
    checks.equal("no uploaded file is left", left(house, b"by a file that was uploaded", b"by another one"), [])


def cut(house, checks):
    """a form that is cut in the middle leaves nothing"""
    large = house.folder("cut") / "large.py"
    large.write_text("# as many bytes as a connection's buffers do not hold\n" * 20_000)
    whole = form(request(name="cut"), large)
    with Connection(f"127.0.0.1:{house.main.port}") as connection:
        connection.socket.sendall(head(house.main, f"Content-Length: {len(whole)}") + whole[:len(whole) // 2])
        until("what has come is spooled", lambda: spooled(house))
    until("and gone with its connection", lambda: not spooled(house), deadline=20)
    names = [batch["name"] for batch in call(house.main, "GET", "/batches?size=1000")[1]["batches"]]
    checks.that("it left no batch", "cut" not in names, names)


def spooled(house):
    return files_below(house.main.dir / "uploads")


def left(house, *contents):
    # The log may well have what the job printed of it.
    return holding([path for path in files_below(house.main.dir) if path.suffix in (".py", ".txt")], contents)


def jar(house, checks):
    """an archive with a class, in chunks"""
    asked = request("SPARK", className="org.example.Hello", args=["10", "true"])
    answer = upload(house.main, form(asked, pathlib.Path(house.jar())), chunked=True)
    checks.equal("it is taken", answer.status, 200)
    checks.equal("it ends in", to_its_end(house.main, answer.json()["id"]), "FINISHED")
    checks.that("the class ran", "arg 1 = [true]" in whole_log(house.main, answer.json()["id"]))


def refused(house, checks):
    """forms that are none"""
    hello = pathlib.Path(house.job("hello.py"))
    good = form(request(), hello)
    for what, body, status, words in [
        ("without a resource", form({"batchType": "PYSPARK", "name": "x"}, hello), 500, "resource is a required parameter"),
        ("a file that is named and not there", form(request(extraResourcesMap={"spark.files": "b.txt,a.txt"}), hello), 500,
         "required extra resource files [a.txt,b.txt] are not uploaded in the multipart form data"),
        ("JSON that is none", good.replace(b'{"batchType"', b'{"batchType', 1), 400, "HTTP 400 Bad Request"),
        ("no JSON part", good.replace(b'name="batchRequest"', b'name="request"'), 500, "batchRequest is required"),
    ]:
        answer = upload(house.main, body)
        checks.that(f"{what}: {status}", answer.status == status and words in answer.body.decode(), answer)
    until("nothing of them stays", lambda: not spooled(house), deadline=20)
    names = [batch["name"] for batch in call(house.main, "GET", "/batches?size=1000")[1]["batches"]]
    checks.that("none of them left a batch", "x" not in names and names.count("uploaded") <= 2, names)


CASES = [with_files, jar, refused, cut]
