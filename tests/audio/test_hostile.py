"""Bad and hostile recordings raise one typed error, open and fetch nothing, and bound memory."""

import io
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maxwhisper.audio.load import decode, read
from maxwhisper.errors import AudioError
from tests.fakes.audio_files import encode, silent_flac, tone, wav


def image(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "orange").save(file, kind)
    return file.getvalue()


def first_half(data: bytes) -> bytes:
    return data[: len(data) // 2]


# name -> (how to make the file, the error's code, a pattern in its message)
BAD_FILES = {
    "empty": (lambda: b"", "empty_file", "0 bytes"),
    "text": (lambda: b"hello, world. " * 500, "not_audio", "is a text file, not audio. Choose"),
    "html": (lambda: b"<!doctype html><html></html>" * 50, "not_audio", "is a text file"),
    "noise": (lambda: np.random.default_rng(1).bytes(100_000), "not_audio", "no readable audio"),
    "png": (lambda: image("png"), "not_audio", "is a PNG picture"),
    "jpeg": (lambda: image("jpeg"), "not_audio", "is a JPEG picture"),
    "webp": (lambda: image("webp"), "not_audio", "is a WebP picture"),
    "video without sound": (
        lambda: encode("mp4", "", with_picture=True, with_sound=False),
        "no_audio_stream",
        "no sound, only video",
    ),
    "header only": (lambda: wav()[:44], "no_samples", "contains 0"),
    "no samples": (lambda: wav(np.zeros(0, np.float32)), "no_samples", "no samples"),
    "flac without samples": (lambda: encode("flac", "flac", seconds=0), "no_samples", "no samples"),
    "half a header": (lambda: wav()[:20], "truncated", "begins like audio"),
    "cut wav": (lambda: first_half(wav()), "truncated", "states 96000 bytes"),
    "cut flac": (lambda: first_half(encode("flac", "flac")), "truncated", r"states 6\.0 s"),
    "cut aiff": (lambda: first_half(encode("aiff", "pcm_s16be")), "truncated", r"states 6\.0 s"),
    "cut webm": (lambda: first_half(encode("webm", "libopus")), "truncated", r"states 6\.0 s"),
    "m4a without its index": (
        lambda: first_half(encode("ipod", "aac")),
        "truncated",
        "begins like audio",
    ),
    "1 Hz": (lambda: wav(rate=1), "bad_sample_rate", r"got 1\."),
    "2 GHz": (lambda: wav(rate=2_000_000_000), "bad_sample_rate", "got 2000000000"),
    "32 channels": (lambda: wav(np.zeros((32, 999), np.float32)), "too_many_channels", "has 32"),
    "200 channels": (lambda: wav(np.zeros((200, 99), np.float32)), "too_many_channels", "has 200"),
    "0 channels": (
        lambda: wav()[:22] + b"\0\0" + wav()[24:],
        "bad_audio",
        "rate and channels",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file(name: str, tmp_path: Path) -> None:
    make, code, words = BAD_FILES[name]
    path = tmp_path / "upload.wav"
    path.write_bytes(make())
    for source in (path, path.read_bytes()):
        with pytest.raises(AudioError, match=words) as caught:
            decode(source)
        assert caught.value.code == code
        ours, _, decoders = str(caught.value).partition(" (Decoder message: ")
        advice = r" (Choose|Record|Copy|Export|Mix|Split) [^.]+(\([^)]+\)[^.]*)?\.( .+\.)?"
        assert re.fullmatch(r"[A-Z].+\." + advice, ours), "what is wrong, then what to do"
        assert "Invalid data" not in ours
        assert decoders.endswith(")") or not decoders


@pytest.mark.parametrize("name", ["nowhere.wav", ".", "http://127.0.0.1/a.wav", "pipe:0", "a\0b"])
def test_missing_file(name: str) -> None:
    with pytest.raises(AudioError) as caught:
        decode(name)
    assert caught.value.code == "missing_file"


def test_flipped_bytes_never_escape_as_another_error() -> None:
    """30 damaged copies of each of six formats give a waveform or an `AudioError`."""
    random = np.random.default_rng(7)
    outcomes = {"decoded": 0, "refused": 0}
    for container, codec in (
        *(("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame")),
        *(("ogg", "libopus"), ("webm", "libopus"), ("ipod", "aac")),
    ):
        whole = np.frombuffer(encode(container, codec, seconds=1), np.uint8)
        for _ in range(30):
            damaged = whole.copy()
            damaged[random.integers(0, len(whole), 20)] ^= random.integers(1, 256, dtype=np.uint8)
            try:
                waveform = read(damaged.tobytes(), max_seconds=60).waveform
                assert np.isfinite(waveform).all()
                outcomes["decoded"] += 1
            except AudioError:
                outcomes["refused"] += 1
    print(outcomes)
    assert min(outcomes.values()) > 0


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a local web server and the list of requests that reached it."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def playlists(address: str, neighbour: Path) -> dict[str, str]:
    """Return files that refer to other files or addresses, one for each demuxer that opens some."""
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    return {
        "hls to an address": hls.format(f"{address}/sound.mp3"),
        "hls to a neighbour": hls.format(neighbour),
        "hls to itself": hls.format("upload.m3u8"),
        "hls master": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{address}/inner.m3u8\n",
        "ffconcat to a neighbour": f"ffconcat version 1.0\nfile {neighbour.name}\n",
        "ffconcat to itself": "ffconcat version 1.0\nfile upload.wav\n",
        "ffconcat to an address": f"ffconcat version 1.0\nfile {address}/sound.wav\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=audio 5004 RTP/AVP 0\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        f"<BaseURL>{address}/</BaseURL></MPD>",
    }


@pytest.mark.parametrize("upload", ["upload.wav", "upload.m3u8", "upload"])
@pytest.mark.parametrize("name", playlists("", Path()))
def test_playlist_opens_nothing(
    name: str, upload: str, canary: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, seen = canary
    neighbour = tmp_path / "neighbour.wav"
    neighbour.write_bytes(wav())
    path = tmp_path / upload
    path.write_text(playlists(address, neighbour)[name])
    for source in (path, path.read_bytes()):
        start = time.perf_counter()
        with pytest.raises(AudioError) as caught:
            decode(source)
        assert caught.value.code == "not_audio"
        assert time.perf_counter() - start < 1
    assert seen == []


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bomb") / "hour.flac"
    path.write_bytes(silent_flac(hours=1))
    assert path.stat().st_size < 1_000_000
    return path


def test_duration_bomb_is_stopped_early(bomb: Path) -> None:
    """An hour in 0.6 MB with a limit of 10 s is refused quickly and in little memory."""
    pytest.importorskip("resource", reason="peak memory is read from resource.getrusage")
    script = """
import resource, sys, time
from maxwhisper.audio.load import decode, read
from maxwhisper.errors import AudioError
peak_kib = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, start = peak_kib(), time.perf_counter()
try:
    decode(sys.argv[1], max_seconds=10)
except AudioError as error:
    print(error.code, time.perf_counter() - start, peak_kib() - before)
"""
    command = [sys.executable, "-c", script, str(bomb)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    child = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    code, seconds, extra_kib = child.stdout.split()
    print(f"an hour in 0.6 MB: {code} after {seconds} s and {extra_kib} KiB")
    assert code == "too_long"
    assert float(seconds) < 2
    assert float(extra_kib) < 50 * 1024


def test_limit_counts_samples_not_the_header() -> None:
    data = wav(tone(16_000, 3.0), stated_bytes=0xFFFF_FFFF)  # "4 GiB", holds 3 s
    assert len(decode(data, max_seconds=3.0)) == 48_000
    with pytest.raises(AudioError, match=r"longer than 2\.9 s") as caught:
        decode(data, max_seconds=2.9)
    assert caught.value.code == "too_long"


def test_limit_counts_channels_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many channels at a high rate need much memory even for a fraction of a second."""
    monkeypatch.setattr("maxwhisper.audio.resample._MAX_WORK_BYTES", 1 << 20)
    data = wav(np.zeros((16, 40_000), np.float32), rate=384_000)  # 0.1 s, 2.4 MiB of float32
    with pytest.raises(AudioError, match="16 channels at 384000 Hz fill 1 MiB") as caught:
        decode(data, max_seconds=600)
    assert caught.value.code == "too_many_samples"
