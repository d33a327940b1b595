"""The committed clips match clips.json, are small, and have plausible times."""

import hashlib
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from maxwhisper.audio.load import decode
from maxwhisper.transcribe.stream import Stream
from maxwhisper.transcript import Transcript
from tests.fakes import engines as fake_engines
from tests.fakes.scripted_transcriber import ScriptedTranscriber, ScriptedVoice

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CLIPS = {clip["file"]: clip for clip in json.loads((EXAMPLES / "clips/clips.json").read_text())}
WITHOUT_SPEECH = {"silence.flac", "tones.flac"}


def test_the_clips_are_all_there_and_small() -> None:
    files = {path.name: path for path in (EXAMPLES / "clips").glob("*.flac")}
    assert files.keys() == CLIPS.keys()
    assert {"plain.flac", "numbers.flac", "noisy.flac", "two_voices.flac", "talk.flac"} <= set(
        CLIPS
    )
    assert sum(path.stat().st_size for path in files.values()) <= 3_000_000


@pytest.mark.parametrize("name", CLIPS)
def test_clip_is_what_its_record_says(name: str) -> None:
    data = (EXAMPLES / "clips" / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == CLIPS[name]["sha256"]
    waveform = decode(data)
    assert len(waveform) == CLIPS[name]["duration_s"] * CLIPS[name]["sample_rate"]
    assert CLIPS[name]["licence"].startswith("Apache-2.0")
    assert (CLIPS[name]["text"] == "") == (name in WITHOUT_SPEECH)
    assert ("the right transcript is empty" in CLIPS[name]["description"]) == (
        name in WITHOUT_SPEECH
    ), "the description says what to look for"
    if name != "silence.flac":
        assert 0.1 < np.abs(waveform).max() < 0.3


def test_talk_is_the_benchmark_clip() -> None:
    waveform = decode(EXAMPLES / "clips" / "talk.flac")
    assert len(waveform) == 2_584_000
    assert CLIPS["talk.flac"]["text"].split() == (EXAMPLES / "talk.txt").read_text().split()


def test_silence_is_silent() -> None:
    assert not decode(EXAMPLES / "clips" / "silence.flac").any()


def test_noise_lies_10_db_below_the_speech() -> None:
    """Compare the power between words with that in words, scaled by the share of speech."""
    waveform = decode(EXAMPLES / "clips" / "noisy.flac")
    speaking = np.zeros(len(waveform), bool)
    for word in CLIPS["noisy.flac"]["words"]:
        speaking[int(16_000 * word["start"]) : int(16_000 * word["end"])] = True
    noise = np.mean(waveform[~speaking] ** 2)
    speech = np.mean(waveform[speaking] ** 2) - noise
    snr_db = 10 * np.log10(speech * speaking.mean() / noise)
    assert snr_db == pytest.approx(10, abs=1)


@pytest.mark.parametrize("name", sorted(CLIPS.keys() - WITHOUT_SPEECH))
@pytest.mark.parametrize("kind", ["utterances", "words"])
def test_times_increase_inside_the_clip(name: str, kind: str) -> None:
    timed = CLIPS[name][kind]
    if kind == "words" and CLIPS[name]["voice"].startswith("espeak-ng"):
        assert timed == []  # its command line gives no times
        return
    text = " ".join(one["text" if kind == "utterances" else "word"] for one in timed)
    assert text == CLIPS[name]["text"]
    assert all(one["start"] < one["end"] for one in timed)
    assert all(one["end"] <= then["start"] + 1e-9 for one, then in pairwise(timed))
    assert timed[0]["start"] >= 0
    assert timed[-1]["end"] <= CLIPS[name]["duration_s"]


@pytest.mark.parametrize("name", ["plain.flac", "two_voices.flac", "talk.flac"])
def test_word_times_are_where_the_sound_is(name: str) -> None:
    """The words cover the energy of the clip; shifted times would leave some of it outside."""
    energy = decode(EXAMPLES / "clips" / name) ** 2
    inside = sum(
        float(energy[int(16_000 * word["start"]) : int(16_000 * word["end"])].sum())
        for word in CLIPS[name]["words"]
    )
    spoken_s = sum(word["end"] - word["start"] for word in CLIPS[name]["words"])
    print(f"{name}: {inside / energy.sum():.1%} of the energy in {spoken_s:.1f} s of words")
    assert inside > 0.97 * energy.sum()
    assert spoken_s < 0.9 * CLIPS[name]["duration_s"]


def test_make_clips_says_what_is_missing(tmp_path: Path) -> None:
    env = {**os.environ, "PATH": str(tmp_path)}
    command = [sys.executable, str(EXAMPLES / "make_clips.py")]
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "apt-get install espeak-ng flite" in result.stderr
    assert "Traceback" not in result.stderr


def test_compare_engines_goes_through_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("maxwhisper.engine.ENGINES", fake_engines.ENGINES)
    runpy.run_path(str(EXAMPLES / "compare_engines.py"))["main"]()
    printed = capsys.readouterr().out
    assert printed.count("on cpu\n    and so my fellow Americans") == 3
    assert "missing: missing cannot run here" in printed


def test_transcribe_file_prints_text_and_times(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Model:
        def transcribe(self, path: str) -> Transcript:
            return fake_engines.FakeEngine("a").transcribe(decode(path), None)

    monkeypatch.setattr("maxwhisper.load", Model)
    monkeypatch.setattr("sys.argv", ["transcribe_file.py", str(EXAMPLES / "clips/plain.flac")])
    runpy.run_path(str(EXAMPLES / "transcribe_file.py"))
    assert "0.00 to   10.04 s  and so my fellow Americans" in capsys.readouterr().out


def test_the_websocket_server_answers_as_a_stream() -> None:
    testclient = pytest.importorskip("starlette.testclient")
    program = runpy.run_path(str(EXAMPLES / "websocket_server.py"), run_name="example")

    class Model:
        def stream(self) -> Stream:
            return Stream(ScriptedTranscriber([]), None, ScriptedVoice([]))

    client = testclient.TestClient(program["app"](Model()))
    with client.websocket_connect("/?rate=48000") as socket:
        for start in range(0, 96_000, 9_001):  # a second of 16-bit samples, cut anywhere
            socket.send_bytes(bytes(min(9_001, 96_000 - start)))
            update = socket.receive_json()
        assert update["received_s"] == pytest.approx(1.0, abs=0.1)
        socket.send_bytes(b"")
        assert socket.receive_json()["duration"] == pytest.approx(1.0, abs=1e-3)
    with client.websocket_connect("/?rate=1") as socket:
        socket.send_bytes(bytes(100))
        assert "sample rate" in socket.receive_json()["error"]


def test_the_microphone_is_read_in_blocks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Recorder:
        def __init__(self, rate: int, callback: Callable[..., None], **how: object) -> None:
            self.callback, self.how = callback, how

        def __enter__(self) -> None:
            assert self.how == {"channels": 1, "dtype": "int16"}
            for _ in range(10):
                self.callback(memoryview(bytes(9_600)), 4800, None, None)

        def __exit__(self, *_: object) -> None:
            pass

    class Model:
        def stream(self) -> Stream:
            return Stream(ScriptedTranscriber([]), None, ScriptedVoice([]))

    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(RawInputStream=Recorder))
    monkeypatch.setattr("maxwhisper.load", Model)
    monkeypatch.setattr("builtins.input", lambda _: "")
    monkeypatch.setattr("sys.argv", ["microphone.py"])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "microphone.py"), run_name="__main__")
    assert (tmp_path / "microphone.srt").read_text() == ""
