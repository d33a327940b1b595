"""Requests as bytes, because a client library would refuse to send what an attacker sends."""

import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from tools.robustness.page import Answer, Page

TIMEOUT_S = 30.0


def send(
    page: Page,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """Send one request whose `Host` is the page's own unless `headers` have another one."""
    named = {"Host": f"{page.host}:{page.port}", "Connection": "close"}
    if body or method == "POST":
        named["Content-Length"] = str(len(body))
    named |= headers or {}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return send_bytes(page, f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)


def send_bytes(page: Page, request: bytes) -> Answer:
    """Send exactly these bytes. The status is 0 where the page hangs up without an answer."""
    with socket.create_connection((page.host, page.port), timeout=TIMEOUT_S) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # it answers before it read it all
            connection.sendall(request)
        try:
            answer = http.client.HTTPResponse(connection, method=_method(request))
            answer.begin()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, answer.read())
        except (http.client.HTTPException, ConnectionResetError):
            return Answer(0, {}, b"")


def _method(request: bytes) -> str:
    return request.split(b" ", 1)[0].decode("latin-1")


class Canary:
    """An HTTP server inside the network that nobody outside may reach. Counts its visitors."""

    def __init__(self, listener: socket.socket) -> None:
        self.address = f"http://127.0.0.1:{listener.getsockname()[1]}/canary.wav"
        self.n_visitors = 0
        self._listener = listener

    def serve(self) -> None:
        while True:
            try:
                visitor, _ = self._listener.accept()
            except OSError:  # closed
                return
            self.n_visitors += 1
            visitor.close()


@contextmanager
def canary() -> Iterator[Canary]:
    """A running canary."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Canary(listener)
        threading.Thread(target=made.serve, daemon=True).start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)
