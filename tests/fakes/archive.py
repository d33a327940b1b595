"""An engine for archives without a network, and recordings for it.

Its text says which samples it got, so a result that belongs to another recording shows up.
"""

import hashlib
import json
import os
import time
import wave
from itertools import islice
from pathlib import Path

import numpy as np

from maxwhisper.errors import NumericError
from maxwhisper.runtime.device import _n_threads
from maxwhisper.transcript import Segment, Transcript, Word
from tests.fakes.engines import SAMPLE_RATE, FakeEngine

LOUD = 20_000  # of 32768: the engine fails with a NaN


def text_of(samples):
    """What `Teller` says of a recording: three words."""
    digest = hashlib.sha256(np.round(samples * 32768).astype("<i2").tobytes()).hexdigest()
    return f" {digest[:6]} {digest[6:12]} {digest[12:18]}"


def transcript_of(samples):
    """A segment with words for each second of a recording."""
    segments = []
    for number, first in enumerate(range(0, len(samples), SAMPLE_RATE)):
        text = text_of(samples[first : first + SAMPLE_RATE])
        words = tuple(
            Word(f" {word}", number + i / 4, number + (i + 1) / 4, 0.5)
            for i, word in enumerate(text.split())
        )
        segments.append(
            Segment(
                number, 100 * number, number, number + 1, text, (1, 2), 0.0, -0.5, 1.0, 0.1, words
            )
        )
    text = "".join(segment.text for segment in segments)
    return Transcript(text, "en", tuple(segments), len(samples) / SAMPLE_RATE, {"total": 0.1})


class Teller(FakeEngine):
    """Transcribes any number of recordings, the last of each batch first. `sleep_s` is for each."""

    def __init__(self, name="maxwhisper", sleep_s=0.0):
        super().__init__(name, sleep_s=sleep_s)
        self.n_heard = 0

    def transcribe(
        self, waveform, options, on_segment=None, *, batch_size=None, vad=None, on_text=None
    ):
        self.n_heard += 1
        time.sleep(self.sleep_s)
        if len(waveform) and np.abs(waveform).max() * 32768 >= LOUD:
            raise NumericError("the network returned NaN")
        return transcript_of(waveform)

    def transcribe_each(self, audios, options, on_segment=None, *, batch_size=8, vad=None):
        numbered = enumerate(audios)
        while batch := list(islice(numbered, batch_size)):
            for number, waveform in reversed(batch):
                try:
                    yield number, self.transcribe(waveform, options)
                except NumericError as error:
                    yield number, error


def create_teller(checkpoint, **settings):
    """With FAKE_PIDS, the name of a folder, the process leaves its number there; with FAKE_NOTES,
    what it was made with."""
    if "FAKE_PIDS" in os.environ:
        Path(os.environ["FAKE_PIDS"], str(os.getpid())).touch()
    if os.environ.get("FAKE_NOTES"):
        note = {
            "device": settings["device"],
            "dtype": settings["dtype"],
            "threads": _n_threads(),
        }
        Path(os.environ["FAKE_NOTES"], str(os.getpid())).write_text(json.dumps(note))
    return Teller(sleep_s=float(os.environ.get("FAKE_SLEEP_S", "0")))


class Broken(Teller):
    """Has a bug."""

    def transcribe_each(self, audios, options, *, batch_size=8, vad=None):
        next(iter(audios))
        raise RuntimeError("a bug")
        yield


def create_broken(checkpoint, **_settings):
    return Broken()


ENGINES = {
    "maxwhisper": "tests.fakes.archive:create_teller",
    "openai-whisper": "tests.fakes.engines:create_sequential",
    "faster-whisper": "tests.fakes.engines:create_plain",
}


def write_wav(path, seconds, seed, loudness=3000):
    """Noise that no other seed has."""
    samples = np.random.default_rng(seed).integers(
        -loudness, loudness, round(seconds * SAMPLE_RATE), endpoint=True
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def make_archive(folder, count, broken=()):
    """`count` recordings of 0.1 to 2 s in two folders; those with a number in `broken` are not
    audio."""
    for number in range(count):
        path = folder / ("a" if number % 2 else "b/deep") / f"{number:04d}.wav"
        write_wav(path, 0.1 + number % 20 / 10, number)
        if number in broken:
            path.write_bytes(b"no recording at all")
    return folder
