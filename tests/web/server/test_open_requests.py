"""One visitor has a bounded number of requests; bodies in memory have a bound together."""

import asyncio

import pytest

from maxwhisper.web.server.asgi import Refusal
from maxwhisper.web.server.open_requests import OpenRequests


async def read_all(scope, receive, send):
    """An app that reads its body and waits for `scope["leave"]`."""
    while (await receive()).get("more_body"):
        pass
    await scope["leave"].wait()


class Request:
    """A request of `client`, which runs until `finish`."""

    def __init__(self, around, client, path="/", body=(b"",), forwarded=True):
        self._around, self._body, self.status, self.headers = around, list(body), None, {}
        headers = [(b"x-forwarded-for", client.encode())] if forwarded else []
        self._scope = {
            "type": "http",
            "path": path,
            "client": (client, 1),
            "headers": headers,
            "leave": asyncio.Event(),
        }
        self.task = asyncio.create_task(self._run())

    async def _run(self):
        try:
            await self._around(self._scope, self._receive, self._send)
        except Refusal as refusal:  # the perimeter answers it
            self.status = refusal.status

    async def _receive(self):
        body = self._body.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(self._body)}

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])

    async def finish(self):
        self._scope["leave"].set()
        await self.task


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_visitor_behind_a_proxy_has_a_share():
    async def check():
        around = OpenRequests(read_all, per_visitor=3)
        mine = [Request(around, "203.0.113.5") for _ in range(3)]
        await settle()
        late, other = Request(around, "203.0.113.5"), Request(around, "203.0.113.6")
        same = Request(around, "::ffff:203.0.113.5")
        await settle()
        assert (late.status, same.status, other.status) == (429, 429, None)
        assert late.headers[b"retry-after"] == b"10"
        await mine[0].finish()
        again = Request(around, "203.0.113.5")
        await settle()
        assert again.status is None
        for request in (*mine, late, other, again):
            await request.finish()
        assert not around._open

    asyncio.run(check())


def test_this_machine_has_no_share_and_an_address_in_a_header_is_not_this_machine():
    async def check():
        around = OpenRequests(read_all, per_visitor=3)
        here = [Request(around, "127.0.0.1", forwarded=False) for _ in range(9)]
        claimed = [Request(around, "127.0.0.1") for _ in range(4)]
        await settle()
        assert [request.status for request in here] == [None] * 9
        assert [request.status for request in claimed] == [None, None, None, 429]
        for request in (*here, *claimed):
            await request.finish()

    asyncio.run(check())


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/live/x", "/gradio_api/upload"])
def test_bodies_in_memory_have_a_bound_together(path):
    async def check():
        around = OpenRequests(read_all, per_visitor=99, max_held_bytes=100)
        first = Request(around, "203.0.113.5", path, [b"x" * 40, b"x" * 40])
        await settle()
        second = Request(around, "203.0.113.6", path, [b"x" * 40])
        await settle()
        assert (first.status, second.status) == (
            (None, None) if path.endswith("upload") else (None, 503)
        )
        await first.finish()
        third = Request(around, "203.0.113.6", path, [b"x" * 90])
        await settle()
        assert third.status is None
        await second.finish()
        await third.finish()
        assert around._held_bytes == 0

    asyncio.run(check())


def test_a_failing_request_is_counted_no_more():
    async def fail(*_):
        raise RuntimeError("a bug")

    async def check():
        around = OpenRequests(fail, per_visitor=1)
        for _ in range(3):
            with pytest.raises(RuntimeError):
                await Request(around, "203.0.113.5").task

    asyncio.run(check())
