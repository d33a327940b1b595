"""Downloads from a local server: progress, resume, damage, no network, two processes."""

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from maxwhisper.checkpoint import DownloadProgress, download, find, get, load, registry
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS, OfficialModel
from maxwhisper.errors import CheckpointError

CONTENT = bytes(range(256)) * 12_000  # 3 MB, three blocks


@dataclass
class Site:
    """The content of the server and the requests that it received."""

    content: bytes = CONTENT
    cut_after: int | None = None  # bytes after which the connection breaks
    ignore_range: bool = False
    ranges: list = field(default_factory=list)
    url: str = ""


@pytest.fixture
def site(monkeypatch):
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            site.ranges.append(asked)
            start = int(asked[6:-1]) if asked and not site.ignore_range else 0
            if asked and start >= len(site.content):
                self.send_error(416)
                return
            body = site.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: site.cut_after])

        def log_message(self, *arguments):
            """Write no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(registry, "BASE_URL", site.url)
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def model():
    return OfficialModel(
        "net.pt", hashlib.sha256(CONTENT).hexdigest(), OFFICIAL_MODELS["tiny"].dims, ()
    )


def fetch(model, folder, report=lambda state: None, say=lambda line: None):
    return download.fetch(model, folder, report, say)


def test_a_file_is_fetched_once_with_progress(site, model, tmp_path):
    states = []
    path = fetch(model, tmp_path, states.append)
    assert path.read_bytes() == CONTENT
    assert {(state.name, state.total_bytes) for state in states} == {("net.pt", len(CONTENT))}
    assert states[-1].done_bytes == len(CONTENT)
    assert states[-1].line.startswith("downloading net.pt: 3 of 3 MiB")
    assert fetch(model, tmp_path) == path
    assert site.ranges == [None]
    assert not (tmp_path / "net.pt.part").exists()


def test_a_stopped_download_resumes_and_serves_a_later_load(site, model, tmp_path, monkeypatch):
    monkeypatch.setitem(OFFICIAL_MODELS, "tiny", model)

    class Stopped(Exception):
        pass

    def stop(state):
        raise Stopped

    assert find("demo", cache_dir=tmp_path).where == "bundled", "nothing to fetch"
    assert not find("tiny", cache_dir=tmp_path)
    for kind in ("on_download", "progress"):
        with pytest.raises(Stopped):
            get("tiny", cache_dir=tmp_path, **{kind: stop})
    assert not find("tiny", cache_dir=tmp_path)
    place = get("tiny", cache_dir=tmp_path)
    assert (place.name, place.where, place.n_bytes) == ("tiny", "our cache", len(CONTENT))
    assert find("tiny", cache_dir=tmp_path) == place
    assert None not in site.ranges[1:], "it went on where it was stopped"
    get("demo", cache_dir=tmp_path)
    assert len(site.ranges) == 3


def test_the_line_of_a_download_has_speed_and_time_left():
    state = DownloadProgress("base", 45 << 20, 139 << 20, 12.25 * (1 << 20))
    assert state.line == "downloading base: 45 of 139 MiB, 12.2 MiB/s, 8 s left"
    assert DownloadProgress("x", 1 << 20, None, None).line == "downloading x: 1 MiB"
    slow = DownloadProgress("base", 0, 600 << 20, 1 << 20)
    assert (slow.seconds_left, slow.line[-11:]) == (600, "10 min left")


def test_the_speed_is_that_of_this_connection(monkeypatch):
    now = iter((100.0, 100.1, 101.0, 102.0))
    monkeypatch.setattr(download.time, "monotonic", lambda: next(now))
    states = []
    meter = download.Meter("base", states.append)
    meter.begin(1000, 2000)
    for n_bytes in (100, 100, 200):
        meter.add(n_bytes)
    assert [state.done_bytes for state in states] == [1100, 1200, 1400]
    assert [state.bytes_per_s for state in states] == pytest.approx([1000, 200, 200])


def test_a_broken_download_resumes(site, model, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_WAITS_S", (0.0,))
    site.cut_after = 0
    with pytest.raises(CheckpointError, match="it will resume"):
        fetch(model, tmp_path)
    assert site.ranges == [None], "what never began is not tried again"
    site.cut_after = 1_000_000
    assert fetch(model, tmp_path).read_bytes() == CONTENT
    starts = [int(asked[6:-1]) for asked in site.ranges[2:]]
    assert starts == sorted(starts)
    assert all(0 < start <= 1_000_000 * (i + 1) for i, start in enumerate(starts))
    assert not (tmp_path / "net.pt.part").exists()


def test_a_connection_that_brings_nothing_more_is_given_up(site, model, tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(download.time, "sleep", waited.append)

    def report(state):
        site.cut_after = 0

    site.cut_after = 1_000_000
    with pytest.raises(CheckpointError, match=r"the connection ended after \d+ of 3072000 bytes"):
        fetch(model, tmp_path, report)
    assert waited == [1.0, 2.0, 4.0]
    assert len(site.ranges) == 4
    assert not (tmp_path / "net.pt").exists()
    assert 0 < (tmp_path / "net.pt.part").stat().st_size <= 1_000_000


def test_a_server_without_ranges_sends_the_whole_file(site, model, tmp_path):
    (tmp_path / "net.pt.part").write_bytes(b"x" * 1000)
    site.ignore_range = True
    assert fetch(model, tmp_path).read_bytes() == CONTENT


def test_a_complete_part_file_downloads_nothing(site, model, tmp_path):
    (tmp_path / "net.pt.part").write_bytes(CONTENT)
    assert fetch(model, tmp_path).read_bytes() == CONTENT


def test_damaged_content_is_deleted_and_reported(site, model, tmp_path):
    site.content = b"?" + CONTENT[1:]
    with pytest.raises(CheckpointError, match="expected sha256"):
        fetch(model, tmp_path)
    assert not (tmp_path / "net.pt").exists()
    assert not (tmp_path / "net.pt.part").exists()
    site.content = CONTENT
    assert fetch(model, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("damaged", [b"", CONTENT[:-1], b"\1" + CONTENT[1:], CONTENT + b"\0"])
def test_a_damaged_file_on_disk_is_replaced(site, model, tmp_path, damaged):
    (tmp_path / "net.pt").write_bytes(damaged)
    assert fetch(model, tmp_path).read_bytes() == CONTENT


def test_a_folder_in_place_of_a_file_is_replaced(site, model, tmp_path):
    for name in ("net.pt", "net.pt.part", "net.pt.lock"):
        (tmp_path / name / "inside").mkdir(parents=True)
    assert fetch(model, tmp_path).read_bytes() == CONTENT


def test_a_file_in_a_read_only_folder_is_used(site, model, tmp_path, monkeypatch):
    (tmp_path / "net.pt").write_bytes(CONTENT)
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    assert fetch(model, tmp_path) == tmp_path / "net.pt"
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]
    assert site.ranges == []


def test_two_processes_download_once(site, model, tmp_path):
    threads = [threading.Thread(target=fetch, args=(model, tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "net.pt").read_bytes() == CONTENT
    assert site.ranges == [None]


def test_without_a_network_the_error_explains_the_manual_download(monkeypatch, model, tmp_path):
    monkeypatch.setattr(registry, "BASE_URL", "http://127.0.0.1:9")  # a closed port
    with pytest.raises(CheckpointError) as caught:
        fetch(model, tmp_path)
    for part in (model.url, model.sha256, str(tmp_path / "net.pt"), "copy it to"):
        assert part in str(caught.value)


def test_load_takes_an_official_name(site, v2, tmp_path, monkeypatch, assert_same_weights):
    pytest.importorskip("torch")
    from maxwhisper.checkpoint.convert import save_openai_pt

    save_openai_pt(v2, tmp_path / "net.pt")
    site.content = (tmp_path / "net.pt").read_bytes()
    sha256 = hashlib.sha256(site.content).hexdigest()
    small = OfficialModel("tiny.pt", sha256, v2.dims, ((0, 2),))
    monkeypatch.setitem(OFFICIAL_MODELS, "tiny", small)
    loaded = load("tiny", cache_dir=tmp_path)
    assert_same_weights(loaded, v2)
    assert (loaded.name, loaded.alignment_heads) == ("tiny", ((0, 2),))
    assert (tmp_path / "checkpoints" / "tiny.pt").is_file()
