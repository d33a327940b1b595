"""Visitors see `/uploads/…`, never the folder of the server where their recordings are.

Gradio names an uploaded file by its whole path, in answers, in what the page sends back and in the
address to play it. In: requests that the perimeter has checked, and the answers to them. Out: the
same with the other name. A name that is not below `/uploads` stays as it is: the perimeter refuses
it.
"""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from maxwhisper.web.server.asgi import App, Message, Receive, Refusal, Scope, Send

PUBLIC = "/uploads"
FILE_ROUTE = "/gradio_api/file="
_OTHER_BODIES = ("/live/", "/gradio_api/upload", "/v1/audio/")  # sound and forms
_TEXTS = (b"application/json", b"text/event-stream", b"text/plain")


def stored_path(root: Path, name: str) -> Path | None:
    """The path in `root` that a visitor calls `name`, or None if there is no such path."""
    if not name.startswith(f"{PUBLIC}/") or "://" in name:
        return None
    try:
        path = (root / name.removeprefix(f"{PUBLIC}/")).resolve()
    except (OSError, ValueError):  # a name too long, a NUL byte
        return None
    return path if path.is_relative_to(root) else None


class UploadNames:
    """ASGI middleware around `app`, inside of `Perimeter`, which passes on JSON in one piece."""

    def __init__(self, app: App, root: Path) -> None:
        self._app = app
        self._root = root
        in_json = [json.dumps(str(root), ensure_ascii=only)[1:-1] for only in (True, False)]
        forms = {str(root), quote(str(root)), *in_json}
        self._hidden = [form.encode() for form in sorted(forms, key=len, reverse=True)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith(FILE_ROUTE):
            scope = self._file_scope(scope)
        elif scope["method"] == "POST" and not scope["path"].startswith(_OTHER_BODIES):
            receive = self._translated(receive)
        await self._app(scope, receive, send if scope["method"] == "HEAD" else self._hiding(send))

    def _file_scope(self, scope: Scope) -> Scope:
        path = stored_path(self._root, scope["path"].removeprefix(FILE_ROUTE))
        real = f"{FILE_ROUTE}{path}" if path else scope["path"]
        return {**scope, "path": real, "raw_path": quote(real).encode()}

    def _translated(self, receive: Receive) -> Receive:
        async def translated() -> Message:
            message = await receive()
            if message["type"] != "http.request" or not message.get("body"):
                return message
            data = json.loads(message["body"])
            self._translate(data)
            try:
                return {**message, "body": json.dumps(data).encode()}
            except RecursionError:  # nested deeper than json writes, but not than it reads
                raise Refusal(400, "expected JSON") from None

        return translated

    def _translate(self, data: Any) -> None:
        """Replace the names of files in a payload, in place. Their `url` goes: the app opens files
        by path, and no address of a visitor's choice."""
        left = [data]
        while left:
            value = left.pop()
            if isinstance(value, dict):
                if isinstance(value.get("path"), str):
                    value["path"] = str(stored_path(self._root, value["path"]) or value["path"])
                    value.pop("url", None)
                left += value.values()
            elif isinstance(value, list):
                left += value

    def _hiding(self, send: Send) -> Send:
        """A `send` that replaces the folder in texts. Gradio sends each event in one piece."""
        is_text = False
        held: Message | None = None  # the start of an answer, whose length may change

        async def hiding(message: Message) -> None:
            nonlocal is_text, held
            if message["type"] == "http.response.start":
                headers = dict(message["headers"])
                is_text = headers.get(b"content-type", b"").startswith(_TEXTS)
                if is_text and b"content-length" in headers:
                    held = message
                    return
            elif is_text:
                message = {**message, "body": self._hide(message.get("body", b""))}
                if held is not None:
                    await send(_with_length(held, message))
                    held = None
            await send(message)

        return hiding

    def _hide(self, text: bytes) -> bytes:
        for form in self._hidden:
            text = text.replace(form, PUBLIC.encode())
        return text


def _with_length(start: Message, first: Message) -> Message:
    """The start of an answer whose first piece is `first`: its length, or none for a stream."""
    headers = [item for item in start["headers"] if item[0].lower() != b"content-length"]
    if not first.get("more_body", False):
        headers.append((b"content-length", str(len(first["body"])).encode()))
    return {**start, "headers": headers}
