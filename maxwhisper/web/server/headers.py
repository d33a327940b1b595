"""What a browser may do with our answers: headers that limit scripts, frames and devices.

`SecurityHeaders` is around everything, so that refusals and static files have them too. `Document`
is inside, where the page is not compressed yet: it adds the page's first styles, and lets its own
inline scripts run by their hashes.
"""

import base64
import hashlib
import re
from collections.abc import Sequence

from maxwhisper.web.server.asgi import App, Message, Receive, Scope, Send

SHARE_SCRIPTS = (
    "https://gradio.s3-us-west-2.amazonaws.com"  # gradio's page behind a gradio.live link
)
SPACE_FRAMES = ("https://huggingface.co", "https://*.hf.space")
_POLICY, _LENGTH = b"content-security-policy", b"content-length"
_INLINE = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
_FILES = "/gradio_api/file="
# A file of a visitor, opened by its address, may play and nothing else.
_FILE_POLICY = b"default-src 'none'; media-src 'self'; frame-ancestors 'none'; sandbox"
_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (
        b"permissions-policy",
        b"microphone=(self), camera=(), geolocation=(), payment=(), usb=(), serial=(), midi=()",
    ),
)
# For an answer that is written without the application: a line of text.
PLAIN_HEADERS = (*_HEADERS, (_POLICY, b"default-src 'none'; frame-ancestors 'none'"))


def page_policy(frames: Sequence[str] = (), scripts: Sequence[str] = ()) -> str:
    """The Content-Security-Policy of the page. `frames` are sites that may show it in a frame,
    `scripts` more sources of gradio's files.

    Gradio 6.31 needs two things that a strict policy would forbid: 'unsafe-eval', because it
    compiles the `js=` of events from text, and 'unsafe-inline' for styles, because its components
    set `style`. Scripts need no 'unsafe-inline'. The recorder of the tab "Live" is a `blob:`
    script, which only a script of the page can make.
    """
    own = " ".join(["'self'", *scripts])
    return "; ".join(
        (
            f"default-src {own}",
            f"script-src {own} 'unsafe-eval' blob:",
            f"style-src {own} 'unsafe-inline'",
            f"img-src {own} data: blob:",
            "media-src 'self' blob: data:",
            f"font-src {own} data:",
            f"connect-src {own} blob: data:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            " ".join(["frame-ancestors 'self'", *frames]),
        )
    )


class SecurityHeaders:
    """ASGI middleware: every answer has the headers above, and none lets another site read it."""

    def __init__(self, app: App, policy: str) -> None:
        self._app = app
        self._policy = policy.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self._secure(scope, message.get("headers", ()))
            await send(message)

        await self._app(scope, receive, secured)

    def _secure(
        self, scope: Scope, headers: Sequence[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        ours = dict(_HEADERS)
        replaced = (*ours, b"server")
        ours[_POLICY] = _FILE_POLICY if scope["path"].startswith(_FILES) else self._policy
        kept = [
            (name, value)
            for name, value in headers
            if not name.lower().startswith(b"access-control-") and name.lower() not in replaced
        ]
        if any(name.lower() == _POLICY for name, _ in kept):  # from `Document`
            del ours[_POLICY]
        return [*kept, *ours.items()]


class Document:
    """ASGI middleware: the page's document ends its head with `head`, and its policy names the
    hashes of its inline scripts. Gradio adds its own `head` and `css` when its script has run,
    after the first paint, and writes the page's configuration into inline scripts, so that they
    differ from answer to answer."""

    def __init__(self, app: App, policy: str, head: str = "") -> None:
        self._app = app
        self._policy = policy
        self._head = head.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                page = bytes(body).replace(b"</head>", self._head + b"</head>", 1)
                kept = [each for each in start["headers"] if each[0].lower() != _LENGTH]
                length = (_LENGTH, str(len(page)).encode())
                start["headers"] = [*kept, length, (_POLICY, self._with_hashes(page))]
                await send(start)
                await send({"type": "http.response.body", "body": page})

        await self._app(scope, receive, collect)

    def _with_hashes(self, page: bytes) -> bytes:
        hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in _INLINE.findall(page))
        return self._policy.replace("script-src ", f"script-src {hashes} ").encode()


def _sha256(script: bytes) -> str:
    return base64.b64encode(hashlib.sha256(script).digest()).decode()
