"""Checks every request first: an allow-list of routes, body limits, file paths inside the upload
folder only, and each visitor's share of uploads.

A pure ASGI middleware (plus `/healthz`), so it needs neither gradio nor FastAPI. Gradio 6.31 has
many more routes than this page uses (`/process_recording` runs ffmpeg for anyone, `/file=http...`
and URL payloads fetch from the network, `/run` skips the queue, `/monitoring` shows statistics).
A route that is not listed here answers 404.
"""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from maxwhisper.web.server.asgi import App, Message, Receive, Refusal, Scope, Send, answer, refuse
from maxwhisper.web.server.fair_use import FairUse, LimitExceeded
from maxwhisper.web.server.mcp import ADDRESS
from maxwhisper.web.server.upload_names import FILE_ROUTE, stored_path
from maxwhisper.web.server.visitor import visitor_of

MAX_UPLOAD_BYTES = 26 * 1024 * 1024  # a 25 MB file and its multipart framing
MAX_CHUNK_BYTES = 4 * 1024 * 1024  # 20 s of microphone at 96 kHz, sent at once after a stall
MAX_TOOL_BYTES = 4 * 1024 * 1024  # an agent's recording, in base64: 3 MB of it
AUDIO_ROUTES = "/v1/audio/"  # of the API: a form with a recording
MAX_JSON_BYTES = 256 * 1024  # a click carries names and settings: a few kB

_SESSION = r"[A-Za-z0-9_-]{1,64}"
_READ = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/healthz|/readyz|/news"
    r"|/v1/models(?:/[^\s\x00-\x1f]{1,200})?|/metrics"
    r"|/(?:static|assets|svelte)/[\w./@+-]+"
    r"|/gradio_api/(?:info/?|app_id/?|theme\.css|startup-events|queue/data|upload_progress)"
    rf"|/gradio_api/heartbeat/{_SESSION}"
    rf"|/gradio_api/call/(?:compare|transcribe|models)/{_SESSION}"
    r"|/runs/[A-Za-z0-9_-]{16}/(?:run\.zip|audio\.flac)"
)
_WRITE = re.compile(
    r"/gradio_api/(?:upload|queue/join|cancel|reset|call/compare)/?"
    r"|/gradio_api/call/(?:transcribe|models)/?|/gradio_api/mcp/?"
    r"|/live/[0-9a-f-]{36}|/v1/audio/(?:transcriptions|translations)"
)


class Perimeter:
    """ASGI middleware around `app`; payloads may name files in the folder `uploads` only."""

    def __init__(self, app: App, uploads: Path, fair: FairUse) -> None:
        self._app = app
        self._uploads = uploads
        self._fair = fair

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # `Origins` refuses WebSockets
            await self._app(scope, receive, send)
            return
        scope["client"] = (visitor_of(scope), 0)  # from here on, an address is a visitor
        try:
            guarded = await self._admit(scope, receive)
        except Refusal as refusal:
            await refuse(scope, send, refusal)
            return
        if scope["path"] == "/healthz":
            await answer(send, 200, "ok")
            return
        try:
            await self._app(scope, guarded, send)
        except Refusal as refusal:  # the body exceeded its limit while the app read it
            await refuse(scope, send, refusal)

    async def _admit(self, scope: Scope, receive: Receive) -> Receive:
        """Return the `receive` for the app. Raises `Refusal`."""
        method, path = scope["method"], scope["path"]
        if method in ("GET", "HEAD"):
            if path.rstrip("/") == ADDRESS:
                raise Refusal(405, "send JSON-RPC messages of the Model Context Protocol with POST")
            if path.startswith(FILE_ROUTE):
                self._check_file(path.removeprefix(FILE_ROUTE))
            elif not _READ.fullmatch(path):
                raise Refusal(404, "not found")
            return receive
        if method != "POST" or not _WRITE.fullmatch(path):
            raise Refusal(404, "not found")
        visitor = scope["client"][0]
        self._count(self._fair.use_click, visitor)
        if path.rstrip("/").endswith("/upload") or path.startswith(AUDIO_ROUTES):
            self._count(self._fair.use_upload, visitor)
            return _bounded(receive, MAX_UPLOAD_BYTES)
        if path.startswith("/live/"):
            return _replay(await _read_all(_bounded(receive, MAX_CHUNK_BYTES)), receive)
        is_tool = path.rstrip("/") == ADDRESS
        body = await _read_all(_bounded(receive, MAX_TOOL_BYTES if is_tool else MAX_JSON_BYTES))
        data = _parse(body)
        if is_tool:  # no page of gradio's: nothing is kept between two messages
            return _replay(body, receive)
        for file_path in _file_paths(data):
            self._check_file(file_path)
        self._count(self._fair.use_page, visitor, _session_of(data))
        return _replay(body, receive)

    def _count(self, use: Callable[..., None], *what: str) -> None:
        try:
            use(*what)
        except LimitExceeded as error:
            raise Refusal(429, str(error), error.retry_s) from None

    def _check_file(self, path: str) -> None:
        """Raise `Refusal` for everything but the name of a path in the upload folder, also where
        another reader would decode it."""
        if None in (stored_path(self._uploads, name) for name in (path, unquote(path))):
            raise Refusal(403, "this file is not an upload of yours")


def _parse(body: bytes) -> Any:
    """Raises `Refusal` for what is no JSON, and for text that no file and no terminal can hold."""
    try:
        data = json.loads(body)
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # JSON can name one half of a pair of surrogates
        raise Refusal(422, "A text contains half of a character. Delete it.") from None
    except (ValueError, RecursionError):  # RecursionError: about a thousand levels deep
        raise Refusal(400, "expected JSON") from None
    return data


def _session_of(data: Any) -> str:
    """The page that a payload names; gradio keeps a state for each. A new one for a payload without
    a name, as gradio makes one up. Raises `Refusal` for a name that no page has."""
    session = data.get("session_hash") if isinstance(data, dict) else None
    if session is None:
        return uuid.uuid4().hex
    if not isinstance(session, str) or not re.fullmatch(_SESSION, session):
        raise Refusal(400, "expected session_hash as 1 to 64 letters and digits")
    return session


def _file_paths(data: Any) -> Iterator[str]:
    """Every file reference in a payload: gradio treats any mapping with a `path` as a file, and
    some components fetch its `url`."""
    left = [data]  # a loop, because the nesting may be as deep as the JSON parser allows
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str):
                yield value["path"]
            left += value.values()
        elif isinstance(value, list):
            left += value


def _bounded(receive: Receive, limit: int) -> Receive:
    """`receive` that raises `Refusal` after more than `limit` bytes: Content-Length may be wrong or
    absent."""
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
    """A `receive` that returns `body` once, then the messages after it (a disconnect)."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
