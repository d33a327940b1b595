"""The types of ASGI, and an answer that ends a request. Every middleware of the page uses them."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

RETRY_AFTER_S = 10

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Refusal(Exception):
    """Ends a request with `status` and a short reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


async def answer(send: Send, status: int, text: str) -> None:
    """Answer `text`, which no cache keeps."""
    kind, body = b"text/plain; charset=utf-8", text.encode()
    if status in (422, 429):  # gradio's script shows the visitor the `detail` of these
        kind, body = b"application/json", json.dumps({"detail": text}).encode()
    headers = [(b"content-type", kind), (b"cache-control", b"no-store")]
    if status in (429, 503):
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a header of the request, None without it. Raises `Refusal` for two of them."""
    values = [value for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        raise Refusal(400, f"expected one header {name.decode()}, got {len(values)}")
    return values[0].decode("latin-1") if values else None
