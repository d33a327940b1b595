"""Raw sockets against a real server: nobody holds a connection without using it."""

import asyncio
import contextlib
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
import uvicorn

from maxwhisper.web.server.connections import ConnectionLimits, Connections, allowed_total
from maxwhisper.web.server.headers import PLAIN_HEADERS
from tests.fakes.engine_processes import wait_until
from tests.fakes.page import served_page

LIMITS = ConnectionLimits(
    header_s=0.6,
    body_window_s=1.0,
    body_bytes_per_s=1000,
    body_s=6.0,
    reading_s=0.6,
    closing_s=0.6,
    total=20,
    per_visitor=8,
)
LATE_S = 8.0  # on a busy machine; without the limits, connections stay for ever
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class App:
    """`/events` streams for ever, `/large` answers 64 MB, `/early` without reading the body; any
    other path answers with the length of the body."""

    def __init__(self):
        self.cut = 0  # requests whose body ended early

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        start = {"type": "http.response.start", "status": 200, "headers": []}
        if scope["path"] in ("/events", "/large"):
            await send(start)
            block = b"." * (100 if scope["path"] == "/events" else 2**20)
            for _ in range(64):
                await send({"type": "http.response.body", "body": block, "more_body": True})
                await asyncio.sleep(0.05 if scope["path"] == "/events" else 0)
            await send({"type": "http.response.body", "body": b""})
            return
        n_bytes, more = 0, scope["path"] != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.cut += 1
                return
            n_bytes, more = n_bytes + len(message["body"]), message["more_body"]
        await send(start)
        await send({"type": "http.response.body", "body": b"got %d" % n_bytes})


@contextlib.contextmanager
def serving(limits=LIMITS, **more):
    """Yields (address, app, connections) of a server in a thread."""
    app, connections = App(), Connections(limits, **more)
    config = uvicorn.Config(
        app, port=0, log_level="error", http=connections.protocol, ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname(), app, connections
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def server():
    with serving(visitor_of=lambda _: None) as parts:
        yield parts


@pytest.fixture
def connect(server):
    """connect() opens a connection; at the end, all are closed and none is counted."""
    address, _, connections = server
    with contextlib.ExitStack() as opened:
        yield lambda: opened.enter_context(socket.create_connection(address, LATE_S))
    wait_until(lambda: len(connections) == 0, timeout_s=LATE_S)


def rest_of(peer):
    """Everything until the server closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := peer.recv(65_536):
            received += data
    return received


def drip(peer, data, every_s=0.1):
    """Send one byte after the other until the server closes; returns what it answered."""
    peer.settimeout(every_s)
    deadline, received = time.monotonic() + LATE_S, b""
    for byte in data * 1000:
        assert time.monotonic() < deadline, "still open"
        try:
            if not (more := peer.recv(65_536)):
                break
            received += more
        except TimeoutError:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                peer.send(bytes([byte]))
        except ConnectionResetError:
            break
    return received


def post(path=b"/", length=100_000):
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path, length)


def test_a_silent_connection_ends(connect):
    assert rest_of(connect()) == b""


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nX-Drip: "])
def test_a_header_that_never_ends_ends(connect, start):
    peer = connect()
    peer.sendall(start)
    answered = drip(peer, b"x")
    assert answered.startswith(b"HTTP/1.1 408 Request Timeout")
    assert b"x-content-type-options: nosniff" in answered


def test_what_is_no_http_is_refused_with_the_headers_of_every_answer(connect):
    peer = connect()
    peer.sendall(b"no request\r\n\r\n")
    answered = rest_of(peer)
    assert answered.startswith(b"HTTP/1.1 400 Bad Request")
    for name, _ in PLAIN_HEADERS:
        assert b"\r\n%s: " % name in answered
    assert answered.endswith(b"\r\n\r\nBad Request. Send valid HTTP.")


def test_the_header_of_the_next_request_has_a_deadline_too(connect):
    peer = connect()
    peer.sendall(GET)
    received = b""
    while b"got 0" not in received:
        received += peer.recv(65_536)
    assert b" 408 " in drip(peer, b"x")


def test_a_connection_between_requests_ends(connect):
    peer = connect()
    peer.sendall(GET)
    received = rest_of(peer)
    assert b"got 0" in received
    assert b"408" not in received


@pytest.mark.parametrize("chunked", [False, True])
def test_a_dripping_body_ends_and_the_app_is_told(connect, server, chunked):
    peer, cut = connect(), server[1].cut
    if chunked:
        peer.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    else:
        peer.sendall(post())
    assert b" 408 " in drip(peer, b"1\r\nx\r\n")
    wait_until(lambda: server[1].cut == cut + 1)


def test_a_body_that_pauses_ends_however_fast_it_began(connect):
    peer = connect()
    peer.sendall(post(length=1_000_000) + bytes(900_000))
    assert b" 408 " in rest_of(peer)


def test_a_slow_but_steady_body_is_read_to_its_end(connect):
    """For several windows; one of the pieces is enough for a window."""
    peer = connect()
    peer.sendall(post(length=60_000))
    for _ in range(30):
        time.sleep(0.1)
        peer.sendall(bytes(2000))
    assert b"got 60000" in rest_of(peer)


def test_a_whole_body_has_a_deadline_however_steady(connect):
    peer = connect()
    peer.sendall(post(length=10**9))
    started = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < started + 3 * LATE_S:
            peer.sendall(bytes(2000))
            time.sleep(0.1)
    assert 5 < time.monotonic() - started < 3 * LATE_S


def test_the_rest_of_a_refused_body_is_not_awaited_for_ever(connect):
    peer = connect()
    peer.sendall(post(b"/early", length=10**12))
    received, deadline = b"", time.monotonic() + LATE_S
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < deadline:
            peer.sendall(bytes(1000))
            time.sleep(0.05)
    assert time.monotonic() < deadline, "still open"
    with contextlib.suppress(ConnectionError):
        received = peer.recv(65_536)
    assert received == b"" or b"got 0" in received


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"])
def test_an_answer_that_nobody_reads_ends(server, connect, more):
    peer = connect()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n" + more + b"\r\n")
    wait_until(lambda: len(server[2]) == 1)
    wait_until(lambda: len(server[2]) == 0, timeout_s=LATE_S)


def test_a_stream_of_events_outlives_every_limit(connect):
    peer = connect()
    peer.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    started = time.monotonic()
    assert rest_of(peer).count(b"." * 100) == 64
    assert time.monotonic() - started > 3


def test_a_websocket_is_an_ordinary_request(connect):
    peer = connect()
    peer.sendall(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert rest_of(peer).startswith(b"HTTP/1.1 200")


PATIENT = ConnectionLimits(total=20, per_visitor=8)


def stream(peer):
    peer.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    assert peer.recv(1000).startswith(b"HTTP/1.1 200")


def test_silent_connections_make_room_and_busy_ones_stay():
    with contextlib.ExitStack() as opened, serving(PATIENT, visitor_of=lambda _: None) as parts:
        address, _, connections = parts

        def connect():
            return opened.enter_context(socket.create_connection(address, LATE_S))

        silent = [connect() for _ in range(20)]
        wait_until(lambda: len(connections) == 20)
        busy = []
        for _ in range(20):
            busy.append(connect())
            stream(busy[-1])
        assert len(connections) == 20
        assert all(rest_of(peer) == b"" for peer in silent), "the oldest go first"
        refused = rest_of(connect())
        assert refused.startswith(b"HTTP/1.1 503 Service Unavailable")
        assert b"\r\nRetry-After: 10\r\n" in refused
        assert all(peer.recv(1000) for peer in busy)
        busy.pop().close()
        wait_until(lambda: len(connections) == 19)
        stream(connect())


def test_a_visitor_has_a_share_of_the_connections():
    """127.0.0.2 is a visitor here, 127.0.0.3 a proxy."""

    def visitor_of(host):
        return None if host == "127.0.0.3" else host

    with contextlib.ExitStack() as opened, serving(PATIENT, visitor_of=visitor_of) as parts:
        address, _, connections = parts

        def connect(host):
            peer = socket.create_connection(address, LATE_S, source_address=(host, 0))
            return opened.enter_context(peer)

        mine = [connect("127.0.0.2") for _ in range(8)]
        assert rest_of(connect("127.0.0.2")).startswith(b"HTTP/1.1 429 Too Many Requests")
        for host in ("127.0.0.3",) * 10 + ("127.0.0.4",):
            stream(connect(host))
        mine.pop().close()
        wait_until(lambda: len(connections) == 18)
        stream(connect("127.0.0.2"))


def test_the_bound_in_all_leaves_files_for_the_rest(monkeypatch):
    import resource

    asked = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    for soft, hard, total in [
        (1024, 4096, 1000),
        (1024, 1024, 768),
        (100, 100, 16),
        (9999, -1, 1000),
    ]:
        monkeypatch.setattr(resource, "getrlimit", lambda _, now=(soft, hard): now)
        assert allowed_total(1000) == total
    assert asked == [(1256, 4096), (1024, 1024), (100, 100)]


def test_the_page_holds_its_connections_to_the_limits(tmp_path, monkeypatch):
    with (
        served_page(monkeypatch, tmp_path, connections=LIMITS) as (address, uploads, _, _),
        contextlib.ExitStack() as opened,
    ):
        url = urlsplit(address)
        silent, dripping, cut = (
            opened.enter_context(socket.create_connection((url.hostname, url.port), LATE_S))
            for _ in range(3)
        )
        cut.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: %s\r\nContent-Length: 100000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
            b'Content-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\nRIFF'
            % url.netloc.encode()
        )
        wait_until(lambda: any(path.is_file() for path in uploads.root.iterdir()))
        assert drip(dripping, GET[:-2] + b"x").startswith(b"HTTP/1.1 408")
        assert rest_of(silent) == b""
        assert rest_of(cut).startswith(b"HTTP/1.1 408")
        wait_until(lambda: not any(path.is_file() for path in uploads.root.iterdir()))
