"""The guard in front of every request: an allow-list of routes, body limits, no foreign file paths,
and no more recordings than its share for any visitor.

A pure ASGI middleware (plus `/healthz`), so it needs neither gradio nor FastAPI. Gradio 6.31 has
many more routes than this page uses (`/process_recording` runs ffmpeg for anyone, `/file=http...`
and URL payloads fetch from the network, `/run` skips the queue, `/monitoring` shows statistics):
what is not listed here answers 404.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from maxwhisper.serving.fair_use import FairUse, TooMuch

MAX_UPLOAD_BYTES = 26 * 1024 * 1024  # a 25 MB file and its multipart frame
MAX_SOUND_BYTES = 4 * 1024 * 1024  # 20 s at 96 kHz: a browser that stood still sends it at once
MAX_JSON_BYTES = 256 * 1024  # a click carries names and settings: a few kB

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_SESSION = r"[A-Za-z0-9_-]{1,64}"
_READ = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/healthz|/readyz"
    r"|/(?:static|assets|svelte)/[\w./@+-]+"
    r"|/gradio_api/(?:info/?|app_id/?|theme\.css|startup-events|queue/data|upload_progress)"
    rf"|/gradio_api/heartbeat/{_SESSION}"
    rf"|/gradio_api/call/compare/{_SESSION}"
    r"|/runs/[A-Za-z0-9_-]{16}/(?:run\.zip|audio\.flac)"
)
_WRITE = re.compile(
    r"/gradio_api/(?:upload|queue/join|cancel|reset|call/compare)/?"
    r"|/live/[0-9a-f-]{36}"
)
_FILE = "/gradio_api/file="


class Refusal(Exception):
    """A request that ends here with `status` and a short reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Perimeter:
    """ASGI middleware around `app`; `uploads` is the only folder that payloads may point into."""

    def __init__(self, app: App, uploads: Path, fair: FairUse) -> None:
        self._app = app
        self._uploads = uploads
        self._fair = fair

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a WebSocket: the page has none
            await send({"type": "websocket.close"})
            return
        try:
            guarded = await self._admit(scope, receive)
        except Refusal as refusal:
            await _answer(send, refusal.status, refusal.reason)
            return
        if scope["path"] == "/healthz":
            await _answer(send, 200, "ok")
            return
        try:
            await self._app(scope, guarded, send)
        except Refusal as refusal:  # the body outgrew its limit while the app was reading it
            await _answer(send, refusal.status, refusal.reason)

    async def _admit(self, scope: Scope, receive: Receive) -> Receive:
        """The `receive` that the app may use. Raises `Refusal`."""
        method, path = scope["method"], scope["path"]
        if method in ("GET", "HEAD"):
            if path.startswith(_FILE):
                self._check_file(unquote(path.removeprefix(_FILE)))
            elif not _READ.fullmatch(path):
                raise Refusal(404, "not found")
            return receive
        if method != "POST" or not _WRITE.fullmatch(path):
            raise Refusal(404, "not found")
        if path.rstrip("/").endswith("/upload"):
            self._count_upload((scope.get("client") or ("", 0))[0])
            return _bounded(receive, MAX_UPLOAD_BYTES)
        if path.startswith("/live/"):
            return _replay(await _read_all(_bounded(receive, MAX_SOUND_BYTES)), receive)
        body = await _read_all(_bounded(receive, MAX_JSON_BYTES))
        for file_path in _file_paths(_parse(body)):
            self._check_file(file_path)
        return _replay(body, receive)

    def _count_upload(self, visitor: str) -> None:
        try:
            self._fair.upload(visitor)
        except TooMuch as refused:
            raise Refusal(429, str(refused)) from None

    def _check_file(self, path: str) -> None:
        """Refuse a path outside the upload folder; an `http:` address is one."""
        try:
            inside = Path(path).resolve().is_relative_to(self._uploads)
        except (OSError, ValueError):  # a name too long, a NUL byte
            inside = False
        if not inside or "://" in path:
            raise Refusal(403, "this file is not an upload of yours")


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # the second: nested a thousand deep
        raise Refusal(400, "expected JSON") from None


def _file_paths(data: Any) -> Iterator[str]:
    """Every file reference in a payload: gradio takes any mapping with a `path` for a file, and
    fetches its `url` in some components."""
    left = [data]  # not by recursion: it may be nested as deep as JSON is read
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str):
                yield value["path"]
            left += value.values()
        elif isinstance(value, list):
            left += value


def _bounded(receive: Receive, limit: int) -> Receive:
    """`receive` that raises `Refusal` once more than `limit` bytes have arrived: Content-Length may
    lie or be absent."""
    total = 0

    async def bounded() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise Refusal(413, f"too large: at most {limit // 1024} KiB")
        return message

    return bounded


async def _read_all(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(400, "the request ended early")
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` once, then whatever comes after it (a disconnect)."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _answer(send: Send, status: int, text: str) -> None:
    kind, body = b"text/plain; charset=utf-8", text.encode()
    if status == 429:  # gradio's script shows a visitor the `detail` of a refusal
        kind, body = b"application/json", json.dumps({"detail": text}).encode()
    headers = [(b"content-type", kind), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
