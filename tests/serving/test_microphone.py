"""Chunks from a browser: the sound goes on from one to the next; anything else is refused."""

import struct

import numpy as np
import pytest

from maxwhisper.audio import from_array
from maxwhisper.errors import AudioError
from maxwhisper.serving.microphone import HEADER_BYTES, Microphone


def chunk(pcm, rate=48_000, channels=1, **changes):
    """A WAV file as MediaRecorder's encoders write it: the lengths are not known yet."""
    fields = {"coding": 1, "bits": 16, "riff": b"RIFF", "data": b"data"} | changes
    block = channels * 2
    return (
        fields["riff"]
        + b"\xff\xff\xff\xffWAVEfmt \x10\0\0\0"
        + struct.pack(
            "<HHIIHH", fields["coding"], channels, rate, rate * block, block, fields["bits"]
        )
        + fields["data"]
        + b"\xff\xff\xff\xff"
        + np.asarray(pcm, "<i2").tobytes()
    )


def tone(n, rate):
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(n) / rate)).astype(np.int16)


def test_chunks_give_what_the_whole_recording_gives():
    pcm, microphone = tone(48_000, 48_000), Microphone()
    parts = [microphone.samples(chunk(part)) for part in np.array_split(pcm, 7)]
    together, whole = np.concatenate(parts), from_array(pcm, 48_000)
    n = len(together)
    assert n > 15_000  # the resampler keeps the last few until more comes
    assert np.abs(together - whole[:n]).max() < 1e-3


def test_channels_are_averaged_and_half_a_sample_is_left_out():
    stereo = np.stack([np.full(1600, 1000), np.full(1600, 3000)], axis=1).ravel()
    samples = Microphone().samples(chunk(stereo, 16_000, 2) + b"\0")
    assert samples.dtype == np.float32
    assert np.allclose(samples, 2000 / 32768, atol=1e-4)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"x" * HEADER_BYTES,
        chunk([1], riff=b"OggS"),
        chunk([1], data=b"LIST"),
        chunk([1], coding=3),
        chunk([1], bits=24),
        chunk([1], channels=0),
        chunk([1], rate=0),
        chunk([1], rate=2_000_000_000),
    ],
)
def test_anything_else_is_refused(bad):
    with pytest.raises(AudioError):
        Microphone().samples(bad)


def test_no_samples_yet_is_no_error():
    assert len(Microphone().samples(chunk([]))) == 0
