"""Uploads over HTTP: one recording a request; whatever ends otherwise leaves no file."""

import contextlib
import io
import resource
import socket
import threading
import time

import httpx
import pytest

from maxwhisper.web.server import uploads as uploads_module
from maxwhisper.web.server.fair_use import LimitExceeded
from maxwhisper.web.server.uploads import Uploads
from maxwhisper.web.server.visitor import LOCALHOST
from tests.fakes.engine_processes import wait_until
from tests.fakes.page import served_page, write_wav

BOUNDARY = "b" * 30


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(patch, tmp_path_factory.mktemp("page")) as (address, uploads, _, _),
    ):
        yield address, uploads


@pytest.fixture
def page(served):
    """(client, uploads) with an empty folder."""
    address, uploads = served
    with httpx.Client(base_url=address, timeout=30) as client:
        yield client, uploads
    for path in sorted(uploads.root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    return write_wav(tmp_path_factory.mktemp("voice") / "voice.wav").read_bytes()


def files_in(uploads):
    return sorted(path for path in uploads.root.rglob("*") if path.is_file())


def send(client, files, **more):
    return client.post("/gradio_api/upload", files=files, **more)


def part(field, name=None):
    """The header of one part of a form."""
    named = f'; filename="{name}"' if name else ""
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"{named}\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    ).encode()


@contextlib.contextmanager
def raw_upload(client, length):
    """A socket that has sent the header of an upload of `length` bytes."""
    with socket.create_connection((client.base_url.host, client.base_url.port), 10) as peer:
        peer.sendall(
            f"POST /gradio_api/upload HTTP/1.1\r\nHost: {client.base_url.netloc.decode()}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
            f"Content-Length: {length}\r\n\r\n".encode()
        )
        yield peer


def status_of(peer):
    """The status of the answer, read while the body is still owed."""
    return int(peer.recv(65_536).split(b" ", 2)[1])


def test_the_folder_is_empty_after_cut_refused_and_normal_uploads(page, voice):
    client, uploads = page
    for _ in range(50):
        with raw_upload(client, 1_000_000) as peer:
            peer.sendall(part("files", "voice.wav") + bytes(100_000))
    for i in range(50):
        assert send(client, {"recording": (f"{i}.wav", voice + bytes(i))}).status_code == 400
    wait_until(lambda: files_in(uploads) == [], timeout_s=5)
    for i in range(50):
        assert send(client, {"files": ("voice.wav", voice + bytes(i))}).status_code == 200
    assert len(files_in(uploads)) == 50
    janitor = Uploads(uploads.root, time_to_live_s=0.2)
    janitor.start_sweeping(every_s=0.1)
    try:
        wait_until(lambda: list(uploads.root.iterdir()) == [], timeout_s=5)
    finally:
        janitor._closing.set()


def test_a_request_carries_one_recording(page, voice):
    client, uploads = page
    many = [("files", (f"{i}.wav", voice[:1000])) for i in range(1000)]
    assert send(client, many).status_code == 400
    assert send(client, many[:2]).status_code == 400
    assert files_in(uploads) == []
    [path] = send(client, many[:1]).json()
    [found] = files_in(uploads)
    assert f"/uploads/{found.relative_to(uploads.root)}" == path


@pytest.mark.parametrize("field", ["files", "other"])
def test_a_field_of_text_is_refused_before_it_is_read(page, field):
    """25 MB of it would be held in memory."""
    client, uploads = page
    with raw_upload(client, 25_000_000) as peer:
        peer.sendall(part(field) + bytes(100_000))
        assert status_of(peer) == 400
    assert files_in(uploads) == []


def test_a_field_of_text_beside_the_file_is_refused(page, voice):
    client, uploads = page
    assert send(client, {"files": ("a.wav", voice)}, data={"x": "y"}).status_code == 400
    assert files_in(uploads) == []


@pytest.mark.parametrize("charset", ["utf-8", "utf-7", "unknown", "utf-16"])
def test_a_form_without_its_end_leaves_nothing(page, charset):
    client, uploads = page
    kind = f"multipart/form-data; boundary={BOUNDARY}; charset={charset}"
    for body in (part("files", "+2AA-.wav") + bytes(5000), part("files", "a.wav"), b"", b"--x"):
        headers = {"content-type": kind}
        answer = client.post("/gradio_api/upload", content=body, headers=headers)
        assert answer.status_code == 400, body
        assert files_in(uploads) == []


@pytest.mark.parametrize("name", ["..", ".", "/", "x" * 3000 + ".wav", "\u202e\u0000é.wav", "CON"])
def test_any_name_is_stored_inside_the_folder(page, voice, name):
    client, uploads = page
    answer = send(client, {"files": (name, voice)})
    assert answer.status_code == 200
    [stored] = files_in(uploads)
    assert answer.json() == [f"/uploads/{stored.relative_to(uploads.root)}"]
    assert stored.parent.parent == uploads.root
    assert stored.read_bytes() == voice


@pytest.mark.parametrize("length", [26 * 1024 * 1024 + 1, 10**15])
def test_a_length_over_the_limit_is_refused_before_the_body(page, length):
    client, uploads = page
    with raw_upload(client, length) as peer:
        assert status_of(peer) == 413
    assert files_in(uploads) == []


@contextlib.contextmanager
def files_of_at_most(n_bytes):
    """Let the system refuse to write more, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("n_bytes", [10_000_000, 5_000_001, 4_999_999])
def test_a_full_disk_is_said_in_words_and_blocks_nothing(page, voice, n_bytes):
    client, uploads = page
    with files_of_at_most(min(n_bytes - 1, 5_000_000)):
        answer = send(client, {"files": ("voice.wav", voice + bytes(n_bytes - len(voice)))})
        assert answer.status_code == 507
        assert answer.text.startswith("The server has no room for another recording now.")
        assert files_in(uploads) == []
    assert send(client, {"files": ("voice.wav", voice)}).status_code == 200


def test_a_full_folder_refuses_until_there_is_room(page, voice, monkeypatch):
    client, uploads = page
    monkeypatch.setattr(uploads, "_max_bytes", int(2.5 * len(voice)))
    answers = [send(client, {"files": ("v.wav", voice + bytes(i))}) for i in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 507, 507]
    assert len(files_in(uploads)) == 2
    files_in(uploads)[0].unlink()
    assert send(client, {"files": ("again.wav", voice)}).status_code == 200


def test_one_visitor_cannot_take_the_whole_folder(page, voice, monkeypatch):
    client, uploads = page
    monkeypatch.setattr(uploads_module, "MAX_VISITOR_BYTES", int(2.5 * len(voice)))
    one, other = ({"x-forwarded-for": f"203.0.113.{number}"} for number in (1, 2))
    answers = [send(client, {"files": ("v.wav", voice + bytes(i))}, headers=one) for i in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert "Run or remove one, or come back in 30 minutes" in answers[-1].json()["detail"]
    assert len(files_in(uploads)) == 2
    assert send(client, {"files": ("v.wav", voice + b"other")}, headers=other).status_code == 200
    for path in files_in(uploads):
        path.unlink()
    assert send(client, {"files": ("again.wav", voice)}, headers=one).status_code == 200


def test_a_file_under_way_counts_for_its_visitor(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads_module, "MAX_VISITOR_BYTES", 1000)
    uploads = Uploads(tmp_path)
    with uploads.reserve(600, "203.0.113.1"):
        with pytest.raises(LimitExceeded), uploads.reserve(600, "203.0.113.1"):
            pass
        with uploads.reserve(600, "203.0.113.2"), uploads.reserve(10**6, LOCALHOST):
            pass
    stored = uploads.store(io.BytesIO(bytes(600)), 600, "203.0.113.1")
    with pytest.raises(LimitExceeded, match="each visitor may have"):
        uploads.store(io.BytesIO(bytes(600)), 600, "203.0.113.1")
    stored.unlink()
    uploads.store(io.BytesIO(bytes(600)), 600, "203.0.113.1")


def test_uploads_under_way_count_as_full_size(page, voice, monkeypatch):
    client, uploads = page
    monkeypatch.setattr(uploads, "_max_bytes", 2_000_000)
    with raw_upload(client, 1_500_000) as first:
        first.sendall(part("files", "slow.wav"))
        wait_until(lambda: files_in(uploads) != [])
        with raw_upload(client, 1_500_000) as second:
            assert status_of(second) == 507
    wait_until(lambda: files_in(uploads) == [])
    assert send(client, {"files": ("voice.wav", voice)}).status_code == 200


def test_the_disk_keeps_some_room(tmp_path, monkeypatch):
    uploads = Uploads(tmp_path)
    with uploads.reserve(1, LOCALHOST):
        pass
    monkeypatch.setattr(uploads_module, "KEEP_FREE_BYTES", 10**18)
    with pytest.raises(uploads_module.NoRoom, match="no room"), uploads.reserve(1, LOCALHOST):
        pass


def test_the_progress_of_an_upload_is_told(page, voice):
    client, _ = page
    seen = []

    def watch():
        with client.stream("GET", "/gradio_api/upload_progress?upload_id=mine") as lines:
            seen.extend(lines.iter_lines())

    watcher = threading.Thread(target=watch)
    watcher.start()
    time.sleep(0.2)
    send(client, {"files": ("voice.wav", voice)}, params={"upload_id": "mine"})
    watcher.join(10)
    assert any('"done"' in line for line in seen)
    assert client.get("/gradio_api/upload_progress?upload_id=another").status_code == 404


def test_names_of_progress_are_not_kept(page, voice):
    """Gradio keeps every name of up to 16 kB that anybody asks for."""
    from gradio.routes import file_upload_statuses as kept

    client, _ = page
    before = len(kept._signals)
    with contextlib.ExitStack() as opened:
        peers = []
        for i in range(50):
            name = f"{i}" + "x" * 10_000
            peer = socket.create_connection((client.base_url.host, client.base_url.port), 10)
            peers.append(opened.enter_context(peer))
            peer.sendall(
                b"GET /gradio_api/upload_progress?upload_id=%s HTTP/1.1\r\nHost: %s\r\n\r\n"
                % (name.encode(), client.base_url.netloc)
            )
        assert {status_of(peer) for peer in peers} == {404}
    send(client, {"files": ("v.wav", voice)}, params={"upload_id": "x" * 10_000})
    assert len(kept._signals) == before
    assert not any(len(name) > 64 for name in kept._statuses)
