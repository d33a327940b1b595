"""The served page over raw HTTP: what a stranger with curl can reach, and what not."""

import json
import time
import uuid

import httpx
import pytest
from fake_page import served_page, write_wav

from maxwhisper.serving.perimeter import MAX_UPLOAD_BYTES
from maxwhisper.serving.uploads import MAX_FILE_MB
from maxwhisper.ui.page import MAX_EVENTS


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(patch, tmp_path_factory.mktemp("page")) as (address, uploads, pool, _),
    ):
        yield httpx.Client(base_url=address, timeout=30), uploads, pool


def handler(client, name):
    """Index of the event handler called `name`, as the page's own script finds it."""
    names = [d["api_name"] for d in client.get("/config").json()["dependencies"]]
    return names.index(name)


def call(client, name, data):
    """Join the queue as the page does; returns the status, or the handler's last message."""
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
    result = call(client, "receive", [audio(path)])
    assert result["success"], result


@pytest.mark.parametrize(
    "path", ["/etc/hostname", "/proc/self/environ", "app.py", "../../etc/hostname", "/a\0b"]
)
def test_server_file_as_recording_is_refused(page, path):
    client, uploads, _ = page
    before = sorted(uploads.root.rglob("*"))
    assert call(client, "receive", [audio(path)]) == 403
    assert sorted(uploads.root.rglob("*")) == before


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x.wav", "https://example.com/x.wav", "file:///etc/hostname"]
)
def test_address_as_recording_is_refused(page, url):
    client, _, _ = page
    assert call(client, "receive", [audio(url)]) == 403


def test_gradios_own_check_still_stands_behind_ours(page, monkeypatch):
    """Fails if an upgrade of gradio, or a mount, ever disarms its check of uploaded files."""
    from maxwhisper.serving.perimeter import Perimeter

    monkeypatch.setattr(Perimeter, "_check_file", lambda *_: None)
    client, _, _ = page
    result = call(client, "receive", [audio("/etc/hostname")])
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


def test_uploaded_file_can_be_heard_again(page, tmp_path):
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


def test_the_page_knows_the_limit_before_a_file_is_sent(page):
    assert page[0].get("/config").json()["max_file_size"] == MAX_FILE_MB * 2**20
    assert f'"max_file_size":{MAX_FILE_MB * 2**20}' in page[0].get("/").text.replace(" ", "")


def test_pages_that_look_how_engines_are_do_not_fill_the_queue_of_clicks(page, monkeypatch):
    client, _, pool = page
    statuses = pool.statuses()
    monkeypatch.setattr(pool, "statuses", lambda: time.sleep(0.5) or statuses)
    sessions = [uuid.uuid4().hex for _ in range(3 * MAX_EVENTS)]
    index = handler(client, "refresh")
    joins = [{"data": [""], "fn_index": index, "session_hash": s} for s in sessions]
    answers = [client.post("/gradio_api/queue/join", json=body).status_code for body in joins]
    assert set(answers) == {200}


def test_body_without_a_length_is_cut_at_the_limit(page):
    def endless():
        for _ in range(1000):
            yield b"\0" * 1_000_000

    headers = {"content-type": "multipart/form-data; boundary=x"}
    try:
        answer = page[0].post("/gradio_api/upload", content=endless(), headers=headers)
    except httpx.WriteError:  # the server hung up while we were still sending: as good
        return
    assert answer.status_code in (400, 413)


@pytest.mark.parametrize(
    ("body", "status"), [(b"{" * 10, 400), (b'"' + b"x" * 300_000 + b'"', 413)]
)
def test_queue_takes_small_json_only(page, body, status):
    assert page[0].post("/gradio_api/queue/join", content=body).status_code == status


def test_config_tells_nothing_but_the_page(page):
    config = page[0].get("/config").json()
    assert config["enable_queue"] is True
    assert config["analytics_enabled"] is False
    assert not config.get("footer_links")


def test_run_without_a_recording_is_an_answer_not_a_crash(page):
    client, _, _ = page
    data = [None, "", 1, True, "tiny", "en", "transcribe", 1, 0.0, True, False, True, ""]
    result = call(client, "start", data)
    assert not result["success"]
    assert result["output"]["error"] == "Choose a recording first: upload, record, or take a clip."
