"""HTTP by the byte: what was written down of a client is sent as it is, on connections that stay open as the client's do."""

import http.client
import io
import json
import socket


class Answer:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.body = body

    @property
    def type(self):
        return self.headers.get("Content-Type")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.type} {self.body[:400]}"


class Connection:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=60)

    def exchange(self, request):
        self.socket.sendall(request)
        return read(self.socket, request.split(b" ", 1)[0].decode())

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def read(stream, method="GET"):
    """The answer that `stream` (a socket, or anything else that has `makefile`) holds."""
    response = http.client.HTTPResponse(stream, method=method)
    response.begin()
    return Answer(response, response.read())


class Recorded:
    """Bytes that were an answer once, for `read`."""

    def __init__(self, content):
        self.content = content

    def makefile(self, _mode):
        return io.BytesIO(self.content)
