"""Who may use the page: its own hosts, origins and proxies, over raw HTTP."""

import http.client
import json
import socket
from urllib.parse import urlsplit

import pytest

from maxwhisper.web.server.origins import OwnHosts
from tests.fakes.page import served_page

LIVE = "/live/01234567-89ab-cdef-0123-456789abcdef"
CHANGES = [
    "/gradio_api/upload",
    "/gradio_api/queue/join",
    "/gradio_api/cancel",
    "/gradio_api/reset",
    "/gradio_api/call/compare",
    LIVE,
]
FORM = {"content-type": "multipart/form-data; boundary=b"}
FIELD = b'content-disposition: form-data; name="files"; filename="a.wav"'
FILE = b"--b\r\n" + FIELD + b"\r\n\r\nRIFF\r\n--b--\r\n"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """(address without scheme, uploads) of a page at localhost with one public name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAXWHISPER_HOSTS", "whisper.example.org, other.example.org")
        with served_page(patch, tmp_path_factory.mktemp("page")) as (address, uploads, *_):
            yield urlsplit(address).netloc, uploads


def request(authority, method, path, headers, body=b""):
    """(status, headers with names in lower case, body)."""
    connection = http.client.HTTPConnection(authority, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in ({"host": authority} | headers).items():
            connection.putheader(name, value)
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, named, answer.read()
    finally:
        connection.close()


FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:1"},
    {"origin": "http://127.0.0.1"},
    {"origin": "https://whisper.example.org.evil.example"},
    {"origin": "https://evil.example/whisper.example.org"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},  # a form that is sent here
]


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("host", ["", "whisper.example.org"])
def test_another_sites_script_changes_nothing(page, path, headers, host):
    authority, uploads = page
    before = sorted(uploads.root.rglob("*"))
    sent = headers | FORM | ({"host": host} if host else {})
    status, named, body = request(authority, "POST", path, sent, FILE)
    assert (status, body) == (
        403,
        b"Another site's page may not use this one. Open this page itself.",
    )
    assert not [name for name in named if name.startswith("access-control-")]
    assert sorted(uploads.root.rglob("*")) == before


@pytest.mark.parametrize("path", ["/", "/config", *CHANGES])
@pytest.mark.parametrize("host", ["", "whisper.example.org"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_a_preflight_allows_nothing(page, path, host, origin):
    asked = {"origin": origin, "access-control-request-method": "POST"}
    sent = asked | ({"host": host} if host else {})
    status, named, _ = request(page[0], "OPTIONS", path, sent)
    assert status == 403
    assert not [name for name in named if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/", "/config", "/healthz", "/readyz", *CHANGES])
@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "0.0.0.0", "a b"),
        *("192.0.2.1", "[2001:db8::1]", "localhost:7860@evil.example", "evil.example:7860", ""),
    ],
)
def test_a_rebound_name_reaches_nothing(page, path, host):
    """DNS rebinding: the victim's browser sends the attacker's name as the host."""
    method = "POST" if path in CHANGES else "GET"
    sent = {"host": host, "origin": f"http://{host}"}
    status, _, body = request(page[0], method, path, sent)
    assert status == 421
    assert b"This page has another address." in body


@pytest.mark.parametrize(
    "headers",
    [
        {},  # curl, gradio_client
        {"sec-fetch-site": "none"},  # an address that was typed
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},  # a link, a Space's frame
        {"host": "whisper.example.org"},
        {"host": "WHISPER.example.org:443"},
        {"host": "localhost:7860"},
        {"host": "[::1]:7860"},
    ],
)
def test_the_page_opens(page, headers):
    assert request(page[0], "GET", "/", headers)[0] == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("", "own"),
        ("localhost:9", "http://localhost:9"),
        ("whisper.example.org", "https://whisper.example.org"),
        ("whisper.example.org", "https://whisper.example.org:443"),
    ],
)
def test_the_page_itself_may_send(page, host, origin):
    host = host or page[0]
    sent = {"host": host, "origin": f"http://{host}" if origin == "own" else origin}
    status, named, body = request(
        page[0], "POST", LIVE, {**sent, "sec-fetch-site": "same-origin"}, b""
    )
    assert (status, body) == (200, b"unknown")
    assert not [name for name in named if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/config", "/gradio_api/queue/data?session_hash=a"])
def test_another_site_reads_nothing_but_the_page(page, path):
    sent = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert request(page[0], "GET", path, sent)[0] == 403
    assert request(page[0], "GET", path, sent | {"sec-fetch-mode": "navigate"})[0] == 403


SPOOFED = ["x-forwarded-host", "x-forwarded-server", "x-forwarded-prefix", "x-forwarded-port"]
SPOOFED += ["forwarded", "x-original-url", "x-original-host", "x-rewrite-url", "x-host"]
SPOOFED += ["x-gradio-server"]


@pytest.mark.parametrize("name", SPOOFED)
@pytest.mark.parametrize("path", ["/", "/config"])
def test_no_header_changes_the_address_in_the_page(page, name, path):
    plain = request(page[0], "GET", path, {})
    spoofed = request(page[0], "GET", path, {name: "http://evil.example"})
    assert b"evil.example" not in spoofed[2]
    assert spoofed[0] == plain[0] == 200


def test_a_trusted_proxy_may_name_a_host_of_ours(page):
    """The proxy is on localhost, which is trusted unless `FORWARDED_ALLOW_IPS` says otherwise."""
    by_proxy = {"x-forwarded-host": "whisper.example.org", "x-forwarded-proto": "https"}
    config = json.loads(request(page[0], "GET", "/config", by_proxy)[2])
    assert config["root"] == "https://whisper.example.org"
    own = by_proxy | {"origin": "https://whisper.example.org"}
    assert request(page[0], "POST", LIVE, own)[0] == 200


def test_two_hosts_are_none(page):
    answer = raw(page[0], "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
    assert answer.startswith("HTTP/1.1 400")


def test_a_websocket_is_refused(page):
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    path = "/gradio_api/queue/join"
    answer = raw(page[0], f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{upgrade}{key}\r\n")
    assert answer.startswith(("HTTP/1.1 403", "HTTP/1.1 404"))


def raw(authority, text):
    """The first line of the answer to the bytes of a request."""
    host, _, port = authority.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(text.encode())
        return connection.recv(100).decode()


@pytest.mark.parametrize(
    ("listening", "host", "is_own"),
    [
        ("127.0.0.1", "127.0.0.1:7860", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "192.168.0.7:7860", False),
        ("0.0.0.0", "192.168.0.7:7860", True),  # an address cannot be rebound
        ("0.0.0.0", "[2001:db8::1]:7860", True),
        ("0.0.0.0", "evil.example", False),
        ("box.example.org", "box.example.org:7860", True),
        ("0.0.0.0", "a-space.hf.space", True),
        ("0.0.0.0", "another-space.hf.space", False),
        ("0.0.0.0", "::1", False),
        ("0.0.0.0", "999.1.1.1", False),
    ],
)
def test_own_hosts(listening, host, is_own):
    own = OwnHosts.from_environment(listening, {"SPACE_HOST": "a-space.hf.space"})
    assert own.include(host) == is_own


def test_the_name_of_a_tunnel_is_own():
    own = OwnHosts("127.0.0.1")
    assert not own.include("0123456789abcdef01.gradio.live")
    own.add("0123456789abcdef01.gradio.live")
    assert own.include("0123456789abcdef01.gradio.live")
    assert not own.include("ffffffffffffffffff.gradio.live")
