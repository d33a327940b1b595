"""No answer names a folder of the server; the public names work in its place."""

import json
import uuid
from pathlib import Path

import httpx
import pytest

from maxwhisper.web.server.upload_names import stored_path
from tests.fakes.page import served_page, write_wav


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """(client, uploads, texts of all answers, name of an upload). Its folder has a space, a letter
    outside of ASCII and a quote, which URLs and JSON escape."""
    folder = tmp_path_factory.mktemp("page") / 'a "folder" für uploads'
    folder.mkdir()
    texts = []

    def note(answer):
        if not answer.headers["content-type"].startswith(("audio", "text/event-stream")):
            texts.append(answer.read().decode())

    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(patch, folder) as (address, uploads, *_),
        httpx.Client(base_url=address, timeout=30, event_hooks={"response": [note]}) as client,
    ):
        yield client, uploads, texts


def upload(client, folder, name="voice.wav"):
    sent = {"files": (name, write_wav(folder / "voice.wav").read_bytes())}
    return client.post("/gradio_api/upload", files=sent).json()[0]


def call(client, name, data):
    """Everything that the stream says about one event."""
    handlers = [d["api_name"] for d in client.get("/config").json()["dependencies"]]
    session = uuid.uuid4().hex
    body = {"data": data, "fn_index": handlers.index(name), "session_hash": session}
    assert client.post("/gradio_api/queue/join", json=body).status_code == 200
    said = []
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as lines:
        for line in lines.iter_lines():
            said.append(line)
            if '"process_completed"' in line:
                break
    return "\n".join(said)


def recording(path, **more):
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def assert_hidden(text, uploads):
    for folder in (uploads.root, uploads.root.parent, Path(__file__).parents[3]):
        assert str(folder) not in text
        assert json.dumps(str(folder))[1:-1] not in text
        assert httpx.URL(path=str(folder)).raw_path.decode() not in text
    assert "für" not in text


def test_an_upload_has_a_public_name_that_plays_and_races(page, tmp_path):
    client, uploads, texts = page
    name = upload(client, tmp_path)
    assert name.startswith("/uploads/")
    assert name.endswith("/voice.wav")
    assert stored_path(uploads.root, name).is_file()
    assert client.get(f"/gradio_api/file={name}").content[:4] == b"RIFF"
    ranged = client.get(f"/gradio_api/file={name}", headers={"range": "bytes=4-9"})
    assert (ranged.status_code, len(ranged.content)) == (206, 6)
    said = call(client, "receive", [recording(name), None])
    assert '"success":true' in said
    clip = call(client, "partial", [None])  # the first clip's button
    assert "/gradio_api/file=/uploads/" in clip, "the player gets a public address"
    assert_hidden(said + clip, uploads)
    for text in texts:
        assert_hidden(text, uploads)


def test_the_name_of_a_file_keeps_its_letters(page, tmp_path):
    client, uploads, _ = page
    name = upload(client, tmp_path, "Müller & Söhne.wav")
    assert stored_path(uploads.root, name).is_file()
    assert client.get(f"/gradio_api/file={name}").status_code == 200
    assert '"success":true' in call(client, "receive", [recording(name), None])


def test_a_missing_file_is_named_as_the_visitor_named_it(page):
    client, uploads, _ = page
    answer = client.get("/gradio_api/file=/uploads/absent/voice.wav")
    assert answer.status_code in (403, 404)
    assert_hidden(answer.text, uploads)
    assert len(answer.content) == int(answer.headers["content-length"])


def test_an_address_beside_a_path_is_not_opened(page, tmp_path):
    client, *_ = page
    name = upload(client, tmp_path)
    data = [recording(name, url="http://127.0.0.1:9/secret.wav"), None]
    said = call(client, "receive", data)
    assert '"success":true' in said
    assert "127.0.0.1:9/" not in said


def test_the_servers_own_path_is_no_name(page, tmp_path):
    client, uploads, _ = page
    stored = stored_path(uploads.root, upload(client, tmp_path))
    assert client.get(f"/gradio_api/file={stored}").status_code == 403
    body = {"data": [recording(str(stored))], "fn_index": 3, "session_hash": "abc"}
    assert client.post("/gradio_api/queue/join", json=body).status_code == 403


@pytest.mark.parametrize(
    "name",
    [
        *("", "/", "/uploads", "/uploads/../x", "/uploads/a/../../x", "uploads/a", "/etc/hostname"),
        *(
            "/uploads/http://x/",
            "/uploads/\0",
            "/uploads/" + "x" * 5000,
            "/uploadsx/a",
            "/UPLOADS/a",
        ),
    ],
)
def test_nothing_outside_has_a_name(tmp_path, name):
    assert stored_path(tmp_path, name) is None or "x" * 5000 in name


def test_a_link_out_of_the_folder_has_no_name(tmp_path):
    (tmp_path / "link").symlink_to("/etc")
    assert stored_path(tmp_path, "/uploads/link/hostname") is None
