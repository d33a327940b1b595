"""The attacks of the suite `perimeter`, as data: classes that were published for Gradio and for
pages like this one. docs/reliability.md has their counts."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

PUBLIC_NAME = "whisper.example.org"  # of the page under attack
EVIL = "evil.example"
SECRET = "canary-in-a-file"  # content of a file that no answer may have
REQUIRED_HEADERS = ("x-content-type-options", "referrer-policy", "permissions-policy")
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
FIELD = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
FILE = FIELD + b"RIFF0000WAVEfmt \r\n--b--\r\n"
UPLOAD, JOIN, MCP = (f"/gradio_api/{name}" for name in ("upload", "queue/join", "mcp"))
COMPARE, TRANSCRIBE, MODELS = (f"/gradio_api/call/{n}" for n in ("compare", "transcribe", "models"))
LIVE = "/live/01234567-89ab-cdef-0123-456789abcdef"
CALLS = (JOIN, COMPARE, TRANSCRIBE)  # they take a recording
API = ("/v1/audio/transcriptions", "/v1/audio/translations")
CHANGES = (UPLOAD, *CALLS, MODELS, MCP, "/gradio_api/cancel", "/gradio_api/reset", LIVE, *API)
READS = (
    *("/", "/config", "/gradio_api/info", "/readyz", "/news", "/v1/models"),
    "/gradio_api/queue/data?session_hash=a",
)


@dataclass(frozen=True)
class Attack:
    """One request, which must be refused. With `may_answer`, where the page may ignore what is
    hostile in it, it may be answered too, but without what the attacker wants."""

    group: str
    name: str
    method: str = "GET"
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    request: bytes | None = None  # in place of all that: these bytes
    may_answer: bool = False


def all_attacks(canary: str, secret: str) -> Iterator[Attack]:
    """Every attack. `canary` is an address inside the network, `secret` a path on the server."""
    yield from _of_other_sites()
    yield from _rebinding()
    yield from _proxy_headers()
    yield from _paths(secret)
    yield from _addresses(canary)
    yield from _routes()
    yield from _bodies()
    yield from _sessions()
    yield from _malformed()


def _change(path: str) -> tuple[Mapping[str, str], bytes]:
    """A body that the route would accept from the page itself."""
    if path == UPLOAD:
        return FORM, FILE
    if path in API:
        return FORM, FILE.replace(b'"files"', b'"file"')
    if path == MCP:
        return JSON, _tool_call("A short clip")
    return ({}, b"\0" * 320) if path == LIVE else (JSON, json.dumps({"data": []}).encode())


def _tool_call(recording: str) -> bytes:
    called = {"name": "transcribe", "arguments": {"recording": recording}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": called}
    return json.dumps(message).encode()


def _of_other_sites() -> Iterator[Attack]:
    origins = (
        *(f"https://{EVIL}", "null", "http://localhost:1", f"https://{PUBLIC_NAME}.{EVIL}"),
        *(f"https://sibling.{PUBLIC_NAME}", "file://", "chrome-extension://abcdefgh"),
        f"https://{EVIL}/{PUBLIC_NAME}",
    )
    for path in CHANGES:
        headers, body = _change(path)
        for origin in origins:
            sent = {**headers, "Origin": origin}
            yield Attack("foreign origin", f"{path} {origin}", "POST", path, sent, body)
        for origin in origins[:2]:
            sent = {**headers, "Origin": origin, "Host": PUBLIC_NAME}
            name = f"{path} {origin} at the public name"
            yield Attack("foreign origin", name, "POST", path, sent, body)
        for site in ("cross-site", "same-site"):
            sent = {**headers, "Sec-Fetch-Site": site}
            yield Attack("cross-site request", f"{path} {site}", "POST", path, sent, body)
        sent = {**headers, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        yield Attack("cross-site request", f"{path} a form", "POST", path, sent, body)
        for host in ({}, {"Host": PUBLIC_NAME}):
            asked = {"Origin": f"https://{EVIL}", "Access-Control-Request-Method": "POST", **host}
            name = f"{path} {'at the public name' if host else 'at localhost'}"
            yield Attack("preflight", name, "OPTIONS", path, asked)
    for path in READS:
        yield Attack("read by another site", path, path=path, headers={"Origin": f"https://{EVIL}"})
        embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        yield Attack("read by another site", f"{path} embedded", path=path, headers=embedded)


def _rebinding() -> Iterator[Attack]:
    hosts = (EVIL, f"{EVIL}:7860", f"127.0.0.1.{EVIL}", "0.0.0.0:7860", f"{PUBLIC_NAME}.{EVIL}")
    for host in hosts:
        for path in (*CHANGES, *READS):
            is_change = path in CHANGES
            headers, body = _change(path) if is_change else ({}, b"")
            own = {**headers, "Host": host, "Origin": f"http://{host}"}
            own["Sec-Fetch-Site"] = "same-origin"  # to the browser it is
            method = "POST" if is_change else "GET"
            yield Attack("DNS rebinding", f"{path} {host}", method, path, own, body)


def _proxy_headers() -> Iterator[Attack]:
    names = (
        *("X-Forwarded-Host", "X-Forwarded-Server", "X-Forwarded-Prefix", "X-Forwarded-Port"),
        *("Forwarded", "X-Original-URL", "X-Original-Host", "X-Rewrite-URL", "X-Host"),
        *("X-Gradio-Server", "X-Forwarded-Proto", "X-Real-IP"),
    )
    for name in names:
        for path in ("/", "/config"):
            for value in (EVIL, f"https://{EVIL}/"):
                sent = {name: f"host={value}" if name == "Forwarded" else value}
                title = f"{name}: {value} {path}"
                yield Attack("proxy header", title, path=path, headers=sent, may_answer=True)


def _paths(secret: str) -> Iterator[Attack]:
    files = (
        *(
            secret,
            "/etc/hostname",
            "/proc/self/environ",
            "/proc/self/cmdline",
            "app.py",
            ".git/config",
        ),
        *("/uploads/../../../../../../etc/hostname", "/uploads/../app.py", "../../etc/hostname"),
        *(
            "/uploads/..%2f..%2fetc/hostname",
            "file:///etc/hostname",
            "\\etc\\hostname",
            "/dev/zero",
        ),
        *("/uploads", "/UPLOADS/a", "", "C:\\windows\\win.ini", "/etc/hostname\0.wav"),
    )
    for path in files:
        quoted = path.replace("\0", "%00").replace("\\", "%5c")
        yield Attack("file by path", f"address {path!r}", path=f"/gradio_api/file={quoted}")
        for route in CALLS:
            name = f"{route} {path!r}"
            yield Attack("file by path", name, "POST", route, JSON, _payload({"path": path}))
        name = f"path {path!r}"
        yield Attack("argument of a tool", name, "POST", MCP, JSON, _tool_call(path), None, True)
    for encoded in ("..%2f", "..%252f", "%2e%2e/", "..%5c", "....//", "..%c0%af", "%2e%2e%2f"):
        for folder in ("static", "assets", "svelte", "gradio_api/file=", "runs"):
            path = f"/{folder}/{encoded * 6}etc/hostname"
            yield Attack("traversal", path, path=path)


def _payload(recording: object) -> bytes:
    file = {"meta": {"_type": "gradio.FileData"}}
    if isinstance(recording, dict):
        file |= recording
    data = [file, "", "en", "", 1, False, {}]
    return json.dumps({"data": data, "fn_index": 3, "session_hash": "attacker"}).encode()


def _addresses(canary: str) -> Iterator[Attack]:
    addresses = (
        *(canary, canary.replace("http://", "HTTP://"), canary.replace("127.0.0.1", "localhost")),
        *(
            canary.replace("127.0.0.1", "[::ffff:127.0.0.1]"),
            canary.replace("127.0.0.1", "2130706433"),
        ),
        *(
            "http://169.254.169.254/latest/meta-data/",
            "ftp://127.0.0.1/a",
            "data:audio/wav;base64,AA==",
        ),
        canary.replace("http://", "http://user@"),
    )
    for address in addresses:
        yield Attack("address as file", f"file={address}", path=f"/gradio_api/file={address}")
        yield Attack("address as file", f"proxy={address}", path=f"/gradio_api/proxy={address}")
        name = f"address {address}"
        yield Attack("argument of a tool", name, "POST", MCP, JSON, _tool_call(address), None, True)
        for route in CALLS:
            sent = {"path": address, "url": address}
            yield Attack(
                "address as file", f"{route} {address}", "POST", route, JSON, _payload(sent)
            )


def _routes() -> Iterator[Attack]:
    api = (
        *("run/predict", "run/compare", "run/0", "api/compare", "call/receive", "call/v2/compare"),
        *("process_recording", "component_server", "stream/a", "stream/a/close", "vibe-edit/"),
        *("run-history/connect", "vibe-code/", "undo-vibe-edit/", "login"),
    )
    for name in api:
        path = f"/gradio_api/{name}"
        yield Attack("blocked route", f"POST {path}", "POST", path, JSON, _payload({"path": "a"}))
    for path in (
        *("/monitoring", "/monitoring/summary", "/docs", "/redoc", "/openapi.json", "/pwa_icon"),
        *(
            "/gradio_api/openapi.json",
            "/gradio_api/runs",
            "/gradio_api/deep_link",
            "/custom_component/a",
        ),
        *(
            "/gradio_api/dev/reload",
            "/gradio_api/file/etc/hostname",
            "/gradio_api/user",
            "/login_check",
        ),
        *("/gradio_api/mcp/sse", "/gradio_api/mcp/", "/gradio_api/token", "/logout", "/.env"),
        *(
            "/runs/0123456789abcdef/run.json",
            "/runs/",
            "/live/",
            "/%2e%2e/app.py",
            "//etc/hostname",
        ),
    ):
        yield Attack("blocked route", f"GET {path}", path=path)
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "PROPFIND", "CONNECT"):
        for path in ("/", UPLOAD, LIVE):
            yield Attack("wrong method", f"{method} {path}", method, path)
    for path in CHANGES:
        yield Attack("wrong method", f"GET {path}", "GET", path)


def _bodies() -> Iterator[Attack]:
    deep, wide = b"[" * 100_000 + b"]" * 100_000, b'{"data":["' + b"x" * 300_000 + b'"]}'
    nested = b'{"data":' + b'{"a":' * 990 + b"1" + b"}" * 990 + b"}"
    for route in (*CALLS, MODELS, MCP, "/gradio_api/cancel", "/gradio_api/reset"):
        bodies = {"deep": deep, "deep, small": deep[99_000:101_000], "large": wide}
        bodies |= {"nested": nested, "no JSON": b"{", "not UTF-8": b'{"a":"\xff"}', "empty": b""}
        for name, body in bodies.items():
            # JSON that is no message of its protocol is answered with an error of the protocol.
            is_told = route == MCP and name in ("large", "nested")
            title = f"{route} {name}"
            yield Attack("hostile body", title, "POST", route, JSON, body, may_answer=is_told)
    yield Attack("hostile body", f"{MCP} 4 MB", "POST", MCP, JSON, b" " * (2**22 + 1))
    many = b"".join(FIELD + b"x\r\n" for _ in range(1000)) + b"--b--\r\n"
    forms = {
        "1,000 files": many,
        "no file": b"--b--\r\n",
        "without an end": FIELD + b"RIFF",
        "another field": FILE.replace(b'"files"', b'"other"'),
        "a text of 1 MB": FILE.replace(b'; filename="a.wav"', b"").replace(b"RIFF", b"x" * 2**20),
        "26 MB": FIELD + b"\0" * (26 * 2**20) + b"\r\n--b--\r\n",
    }
    for name, body in forms.items():
        yield Attack("hostile body", f"upload: {name}", "POST", UPLOAD, FORM, body)
    yield Attack("hostile body", "upload: no form", "POST", UPLOAD, JSON, FILE)
    announced = {**FORM, "Content-Length": str(10**13)}
    yield Attack("hostile body", "upload: 10 TB announced", "POST", UPLOAD, announced, FILE)


def _sessions() -> Iterator[Attack]:
    for session in ("", "../a", "a" * 65, "a b", "a\r\nX-Injected: 1", "%00"):
        quoted = session.replace(" ", "%20").replace("\r\n", "%0d%0a")
        yield Attack(
            "another's session", f"heartbeat {session!r}", path=f"/gradio_api/heartbeat/{quoted}"
        )
        path = f"/gradio_api/call/compare/{quoted}"
        yield Attack("another's session", f"result {session!r}", path=path)
    for wrong in (7, "a b", {"a": 1}, ["a"], "a" * 65):
        body = json.dumps({"data": [], "fn_index": 0, "session_hash": wrong}).encode()
        yield Attack("another's session", f"join {wrong!r:.20}", "POST", JOIN, JSON, body)
    path = f"{COMPARE}/{'0' * 32}"
    yield Attack("another's session", "a guessed event", path=path)


def _malformed() -> Iterator[Attack]:
    local = "Host: localhost\r\n"
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    requests = {
        "two hosts": f"GET / HTTP/1.1\r\n{local}Host: {EVIL}\r\n\r\n",
        "no host": "GET / HTTP/1.1\r\n\r\n",
        "no host in HTTP/1.0": "GET / HTTP/1.0\r\n\r\n",
        "whole address": f"GET http://{EVIL}/ HTTP/1.1\r\nHost: {EVIL}\r\n\r\n",
        "two origins": f"GET / HTTP/1.1\r\n{local}Origin: http://localhost\r\nOrigin: null\r\n\r\n",
        "a WebSocket": f"GET {JOIN} HTTP/1.1\r\n{local}{upgrade}{key}\r\n",
        "two lengths": f"POST {JOIN} HTTP/1.1\r\n{local}"
        "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "a negative length": f"POST {JOIN} HTTP/1.1\r\n{local}Content-Length: -1\r\n\r\n",
        "a header without a name": f"GET / HTTP/1.1\r\n{local}: a\r\n\r\n",
        "a space before a colon": f"GET / HTTP/1.1\r\n{local}Origin : null\r\n\r\n",
        "a folded header": f"GET / HTTP/1.1\r\n{local} {EVIL}\r\n\r\n",
        "a NUL": f"GET / HTTP/1.1\r\n{local}A: \0\r\n\r\n",
        "a header of 1 MB": f"GET / HTTP/1.1\r\n{local}A: {'a' * 2**20}\r\n\r\n",
        "an address of 100 kB": f"GET /{'a' * 100_000} HTTP/1.1\r\n{local}\r\n",
        "10,000 headers": f"GET / HTTP/1.1\r\n{local}{'A: a' + chr(13) + chr(10)}" * 10_000
        + "\r\n",
        "HTTP/0.9": "GET /\r\n\r\n",
        "HTTP/2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "no HTTP": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
        "header injection": f"GET /config%0d%0aX-Injected:%201 HTTP/1.1\r\n{local}\r\n",
        "Transfer-Encoding and a length": f"POST {JOIN} HTTP/1.1\r\n{local}Content-Length: 4\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    }
    for name, request in requests.items():
        yield Attack("malformed request", name, request=request.encode("latin-1"))
