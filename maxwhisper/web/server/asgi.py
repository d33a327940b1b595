"""The types of ASGI, and an answer that ends a request. Every middleware of the page uses them."""

import json
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

RETRY_AFTER_S = 10
API = "/v1/"  # below it, every error has the shape of OpenAI's

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Refusal(Exception):
    """Ends a request with `status` and a short reason. `retry_s`: when it may succeed, None where
    that is not known."""

    def __init__(self, status: int, reason: str, retry_s: float | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.retry_s = status, reason, retry_s


def error_document(
    status: int, message: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """An error in the shape of OpenAI's API. `param` is the field that is wrong."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    kind = "rate_limit_error" if status == 429 else kind
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def retry_after(status: int, retry_s: float | None = None) -> dict[str, str]:
    """The header that says when to try again, where that may help."""
    if status not in (429, 503):
        return {}
    return {"retry-after": str(math.ceil(RETRY_AFTER_S if retry_s is None else retry_s))}


async def answer(
    send: Send, status: int, text: str, kind: str = "text/plain; charset=utf-8", **headers: str
) -> None:
    """Answer `text`, which no cache keeps."""
    named = {"content-type": kind, "cache-control": "no-store", **headers}
    encoded = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": text.encode()})


async def refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Answer the reason, in the shape that a client of this path reads."""
    status, text, kind = refusal.status, refusal.reason, "text/plain; charset=utf-8"
    if scope["path"].startswith(API):
        kind, text = "application/json", json.dumps(error_document(status, text))
    elif status in (422, 429):  # gradio's script shows the visitor the `detail` of these
        kind, text = "application/json", json.dumps({"detail": text})
    await answer(send, status, text, kind, **retry_after(status, refusal.retry_s))


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a header of the request, None without it. Raises `Refusal` for two of them."""
    values = [value for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        raise Refusal(400, f"expected one header {name.decode()}, got {len(values)}")
    return values[0].decode("latin-1") if values else None
