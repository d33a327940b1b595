"""Bounds on the requests that are being answered: how many of one visitor, and how much of their
bodies is in memory.

A middleware, because only a request says who is behind a proxy; `connections` bounds what comes
from one address. Uploads go to disk and have a bound of their own.
"""

from collections import Counter

from maxwhisper.web.server.asgi import App, Message, Receive, Refusal, Scope, Send, refuse
from maxwhisper.web.server.visitor import LOCALHOST, visitor_of

MAX_HELD_BYTES = 64 * 1024**2  # of all bodies but uploads: 16 of the largest chunks of a microphone
_UPLOADS = ("/gradio_api/upload", "/v1/audio/")


class OpenRequests:
    """ASGI middleware around `app`: at most `per_visitor` requests of one visitor at a time. This
    machine itself has no such bound."""

    def __init__(self, app: App, per_visitor: int, max_held_bytes: int = MAX_HELD_BYTES) -> None:
        self._app = app
        self._per_visitor = per_visitor
        self._max_held_bytes = max_held_bytes
        self._open: Counter[str] = Counter()
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visitor = visitor_of(scope)
        if visitor != LOCALHOST and self._open[visitor] >= self._per_visitor:
            refusal = Refusal(429, "You have too many requests open. Try again in a few seconds.")
            await refuse(scope, send, refusal)
            return
        held = _Held(self, receive)
        is_upload = scope["path"].startswith(_UPLOADS)
        self._open[visitor] += 1
        try:
            await self._app(scope, receive if is_upload else held.receive, send)
        finally:
            self._held_bytes -= held.n_bytes
            self._open[visitor] -= 1
            if not self._open[visitor]:
                del self._open[visitor]

    def hold(self, n_bytes: int) -> None:
        """Count a piece of a body. Raises `Refusal` if all bodies together are too large."""
        self._held_bytes += n_bytes
        if self._held_bytes > self._max_held_bytes:
            raise Refusal(503, "The server is busy. Try again in a few seconds.")


class _Held:
    """The body of one request."""

    def __init__(self, requests: OpenRequests, receive: Receive) -> None:
        self.n_bytes = 0
        self._requests = requests
        self._receive = receive

    async def receive(self) -> Message:
        message = await self._receive()
        size = len(message.get("body", b""))
        self.n_bytes += size
        self._requests.hold(size)
        return message
