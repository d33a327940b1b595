"""Every form of a recording gives the same samples; what is none is told what was expected."""

import asyncio
import io
import json
import socket
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from maxwhisper.audio.inputs import to_waveform
from maxwhisper.audio.load import decode
from maxwhisper.errors import AudioError, OptionError
from tests.fakes.audio_files import tone, wav

RATE = 44_100
LEFT, RIGHT = tone(RATE, 0.5), tone(RATE, 0.5, 1000)
STEREO = np.stack([LEFT, RIGHT])
WAV = wav(STEREO, rate=RATE, as_float=True)
WANT = decode(WAV)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "talk.wav").write_bytes(WAV)
    return tmp_path


def test_files(home):
    with (home / "talk.wav").open("rb") as file:
        for audio in (
            "~/talk.wav",
            Path("~/talk.wav"),
            str(home / "talk.wav"),
            PurePosixPath(home / "talk.wav"),
            WAV,
            bytearray(WAV),
            memoryview(WAV),
            file,
            io.BytesIO(WAV),
        ):
            np.testing.assert_array_equal(to_waveform(audio), WANT)


def test_samples():
    for audio, rate in (
        (STEREO, RATE),
        ((RATE, STEREO), None),
        ((RATE, STEREO.T), None),  # as Gradio and scipy have it
        ((np.int64(RATE), STEREO.tolist()), None),
        ({"array": STEREO, "sampling_rate": RATE, "path": None}, None),
        ((LEFT + RIGHT) / 2, RATE),
    ):
        np.testing.assert_allclose(to_waveform(audio, rate), WANT, atol=1e-6)
    samples = tone(16_000, 1.0)
    assert to_waveform(samples) is samples


def test_a_url_is_refused_without_a_request(monkeypatch):
    def connect(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(socket.socket, "connect", connect)
    for url in ("https://example.org/talk.mp3", "s3://bucket/talk.mp3", "FILE:///talk.wav"):
        with pytest.raises(AudioError, match=r"URLs are not supported, got .* Download the file"):
            to_waveform(url)


class Upload:
    """An upload of a web framework, whose read() is to be awaited."""

    async def read(self):
        return WAV


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (None, "Expected a recording: a path, bytes, .* got None"),
        (5, "Expected a recording: .* got 5"),
        (0.5, "Expected a recording: .* got 0.5"),
        (True, "Expected a recording: .* got True"),
        ((STEREO, RATE), r"Expected \(rate, array\), got another tuple"),
        ({"raw": LEFT, "sampling_rate": RATE}, "with array and sampling_rate, got raw, sampling"),
        ({"array": None, "sampling_rate": RATE}, "Expected a recording"),
        ({}, "got nothing"),
        (STEREO.T, r"give its \.T"),
        (io.StringIO("talk"), "opened as text: use 'rb'"),
        (Upload(), "await it, and give the bytes"),
        (object(), "Expected"),
        (b"", "empty"),
        (b"text", "audio"),
        (io.BytesIO(), "empty"),
        ("~no_such_user/talk.wav", "There is no file"),
        ("talk\0.wav", "talk"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_no_recording(audio, words):
    with pytest.raises(AudioError, match=words) as caught:
        to_waveform(audio)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_what_an_upload_gives_can_be_awaited():
    np.testing.assert_array_equal(to_waveform(asyncio.run(Upload().read())), WANT)


@pytest.mark.parametrize(
    "audio",
    [WAV, "talk.wav", io.BytesIO(WAV), (RATE, LEFT), {"array": LEFT, "sampling_rate": RATE}],
    ids=["bytes", "path", "file", "pair", "mapping"],
)
def test_a_rate_is_stated_once(audio):
    with pytest.raises(OptionError, match="sample_rate is for arrays without one"):
        to_waveform(audio, 8_000)


@pytest.mark.parametrize("rate", ["44100", 44_100.0, True, json])
def test_a_rate_is_a_whole_number(rate):
    with pytest.raises(OptionError, match="sample_rate must be of type"):
        to_waveform(LEFT, rate)
    with pytest.raises(OptionError, match="the sample rate must be of type int"):
        to_waveform({"array": LEFT, "sampling_rate": rate})
