"""The served page over raw HTTP: what a stranger with curl can reach."""

import asyncio
import json
import time
import uuid

import httpx
import pytest

from maxwhisper.web.server.asgi import Refusal
from maxwhisper.web.server.perimeter import MAX_UPLOAD_BYTES, _bounded
from maxwhisper.web.server.uploads import MAX_FILE_MB
from tests.fakes.page import served_page, write_wav


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(patch, tmp_path_factory.mktemp("page")) as (address, uploads, pool, _),
    ):
        yield httpx.Client(base_url=address, timeout=30), uploads, pool


def handler(client, name):
    """Index of the event handler called `name`."""
    names = [d["api_name"] for d in client.get("/config").json()["dependencies"]]
    return names.index(name)


def call(client, name, data):
    """Join the queue as the page does. Returns the status, or the handler's last message."""
    session = uuid.uuid4().hex
    body = {"data": data, "fn_index": handler(client, name), "session_hash": session}
    joined = client.post("/gradio_api/queue/join", json=body)
    if joined.status_code != 200:
        return joined.status_code
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as lines:
        for line in lines.iter_lines():
            if line.startswith("data:") and '"process_completed"' in line:
                return json.loads(line.removeprefix("data:"))
    raise AssertionError("the stream ended without a result")


def audio(path):
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def upload(client, path):
    with path.open("rb") as file:
        answer = client.post("/gradio_api/upload", files={"files": ("voice.wav", file)})
    return answer.json()[0]


def test_page_and_health_answer(page):
    client, _, _ = page
    assert client.get("/").status_code == 200
    assert client.head("/").status_code == 200
    assert client.get("/healthz").text == "ok"


def test_upload_is_accepted_as_a_recording(page, tmp_path):
    client, _, _ = page
    path = upload(client, write_wav(tmp_path / "voice.wav"))
    result = call(client, "receive", [audio(path), None])
    assert result["success"], result


@pytest.mark.parametrize(
    "path", ["/etc/hostname", "/proc/self/environ", "app.py", "../../etc/hostname", "/a\0b"]
)
def test_server_file_as_recording_is_refused(page, path):
    client, uploads, _ = page
    before = sorted(uploads.root.rglob("*"))
    assert call(client, "receive", [audio(path), None]) == 403
    assert sorted(uploads.root.rglob("*")) == before


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x.wav", "https://example.com/x.wav", "file:///etc/hostname"]
)
def test_address_as_recording_is_refused(page, url):
    client, _, _ = page
    assert call(client, "receive", [audio(url), None]) == 403


def test_gradios_own_check_works_behind_ours(page, monkeypatch):
    """Fails if a gradio upgrade, or a mount, disables its check of uploaded files."""
    from maxwhisper.web.server.perimeter import Perimeter

    monkeypatch.setattr(Perimeter, "_check_file", lambda *_: None)
    client, _, _ = page
    result = call(client, "receive", [audio("/etc/hostname"), None])
    assert not result["success"]
    assert result["output"]["error"] is None  # no path, no traceback
    assert client.get("/gradio_api/file=/etc/hostname").status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/hostname",
        "/gradio_api/file=http://127.0.0.1:9/",
        "/gradio_api/file=%2Fetc%2Fhostname",
    ],
)
def test_file_route_serves_uploads_only(page, path):
    assert page[0].get(path).status_code == 403


def test_an_uploaded_file_can_be_played(page, tmp_path):
    client, _, _ = page
    path = upload(client, write_wav(tmp_path / "voice.wav"))
    assert client.get(f"/gradio_api/file={path}").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/run/start"),
        ("POST", "/gradio_api/run/0"),
        ("POST", "/gradio_api/api/receive"),
        ("POST", "/gradio_api/call/receive"),
        ("POST", "/gradio_api/call/v2/receive"),
        ("POST", "/gradio_api/call/v2/compare"),
        ("GET", "/gradio_api/call/receive/0123"),
        ("GET", "/runs/0123456789abcdef/run.json"),
        ("GET", "/runs/../uploads/run.zip"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/stream/x"),
        ("POST", "/gradio_api/vibe-edit/"),
        ("POST", "/gradio_api/run-history/connect"),
        ("POST", "/login"),
        ("GET", "/gradio_api/runs"),
        ("GET", "/gradio_api/deep_link"),
        ("GET", "/gradio_api/proxy=https://example.com/"),
        ("GET", "/gradio_api/dev/reload"),
        ("GET", "/gradio_api/openapi.json"),
        ("GET", "/gradio_api/file/etc/hostname"),
        ("GET", "/monitoring"),
        ("GET", "/monitoring/summary"),
        ("GET", "/docs"),
        ("GET", "/static/../../../../etc/hostname"),
        ("PUT", "/gradio_api/upload"),
        ("DELETE", "/"),
    ],
)
def test_route_not_on_the_list_is_not_found(page, method, path):
    answer = page[0].request(method, path, json={} if method != "GET" else None)
    assert (answer.status_code, answer.text) == (404, "not found")


def test_file_over_the_limit_is_refused(page):
    client, uploads, _ = page
    before = sorted(uploads.root.rglob("*"))
    big = b"\0" * (MAX_UPLOAD_BYTES - 500_000)  # under our limit on the body, over gradio's
    assert client.post("/gradio_api/upload", files={"files": big}).status_code == 413
    assert sorted(uploads.root.rglob("*")) == before


def test_the_page_knows_the_file_limit_before_an_upload(page):
    assert page[0].get("/config").json()["max_file_size"] == MAX_FILE_MB * 2**20
    assert f'"max_file_size":{MAX_FILE_MB * 2**20}' in page[0].get("/").text.replace(" ", "")


def test_no_event_of_opening_a_page_is_refused(page, monkeypatch):
    client, _, pool = page
    statuses = pool.statuses()
    monkeypatch.setattr(pool, "statuses", lambda: time.sleep(0.5) or statuses)
    events = [
        dependency["id"]
        for dependency in client.get("/config").json()["dependencies"]
        if {trigger for _, trigger in dependency["targets"]} & {"load", "tick"}
    ]
    assert len(events) == 3  # no tick any more: the header hears of changes by /news
    answers = [
        client.post(
            "/gradio_api/queue/join",
            json={"data": [""], "fn_index": event, "session_hash": session},
        ).status_code
        for session in [uuid.uuid4().hex for _ in range(30)]
        for event in events
    ]
    assert answers == [200] * 30 * len(events)


def test_the_perimeter_itself_stops_at_the_limit():
    """Without the application's own limit behind it."""
    n_read = []

    async def endless():
        n_read.append(1)
        return {"type": "http.request", "body": bytes(1024), "more_body": True}

    async def read(receive):
        while len(n_read) < 100:
            await receive()

    with pytest.raises(Refusal) as refused:
        asyncio.run(read(_bounded(endless, 10 * 1024)))
    assert (refused.value.status, len(n_read)) == (413, 11)


def test_body_without_a_length_is_cut_at_the_limit(page):
    def endless():
        for _ in range(1000):
            yield b"\0" * 1_000_000

    headers = {"content-type": "multipart/form-data; boundary=x"}
    try:
        answer = page[0].post("/gradio_api/upload", content=endless(), headers=headers)
    except httpx.WriteError:  # the server closed the connection while we sent: as good
        return
    assert answer.status_code in (400, 413)


@pytest.mark.parametrize(
    ("body", "status"), [(b"{" * 10, 400), (b'"' + b"x" * 300_000 + b'"', 413)]
)
def test_queue_takes_small_json_only(page, body, status):
    assert page[0].post("/gradio_api/queue/join", content=body).status_code == status


@pytest.mark.parametrize(
    "text", [rb"\ud83d", rb"\uDE00 and \ud83d", b"\xed\xa0\xbd", rb'", "\udfff": "'], ids=ascii
)
def test_half_a_character_is_refused_in_any_text(page, text):
    """No file can hold it: a race with it ended in an internal error, and left its recording."""
    body = b'{"data": [{"prompt": "%s"}], "fn_index": 0, "session_hash": "half"}' % text
    for path in ("queue/join", "call/compare"):
        answer = page[0].post(f"/gradio_api/{path}", content=body)
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("A text contains half of a character.")


def test_a_whole_character_is_not_refused(page):
    body = rb'{"data": ["\ud83d\ude00"], "fn_index": 0, "session_hash": "whole"}'
    headers = {"content-type": "application/json"}
    answer = page[0].post("/gradio_api/queue/join", content=body, headers=headers)
    assert answer.status_code == 200


def test_text_is_compressed_and_neither_sound_nor_a_stream(page, tmp_path):
    client, _, _ = page
    for path in ("/", "/config", "/theme.css"):
        with client.stream("GET", path) as answer:
            sent = sum(map(len, answer.iter_raw()))
        assert answer.headers["content-encoding"] == "gzip", path
        assert sent < len(client.get(path).content) / 2
        plain = client.get(path, headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
    recording = upload(client, write_wav(tmp_path / "voice.wav"))
    assert "content-encoding" not in client.get(f"/gradio_api/file={recording}").headers
    with client.stream("GET", "/gradio_api/heartbeat/abc") as stream:
        assert "content-encoding" not in stream.headers


def test_the_config_contains_only_the_page(page):
    config = page[0].get("/config").json()
    assert config["enable_queue"] is True
    assert config["analytics_enabled"] is False
    assert not config.get("footer_links")


def test_a_run_without_a_recording_is_a_visitors_error(page):
    client, _, _ = page
    kept = [True, None]
    settings = ["tiny", "en", "transcribe", 1, 0.0, True, False, True, "", 1, False]
    data = [None, "", 1, *kept, *settings]
    result = call(client, "start", data)
    assert result["success"], "said in the banner, and only there"
    assert "Choose a recording first: upload one, record one" in str(result["output"]["data"][0])
