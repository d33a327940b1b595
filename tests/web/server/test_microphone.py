"""Microphone chunks are resampled without gaps; invalid chunks are refused."""

import numpy as np
import pytest

from maxwhisper.audio.arrays import from_array
from maxwhisper.errors import AudioError
from maxwhisper.web.server.microphone import Microphone


def tone(n, rate):
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(n) / rate)).astype("<i2")


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_chunks_give_the_same_samples_as_the_whole_recording(rate):
    pcm, microphone = tone(rate, rate), Microphone()
    parts = [microphone.samples(p.tobytes(), rate) for p in np.array_split(pcm, 7)]
    together, whole = np.concatenate(parts), from_array(pcm, rate)
    assert together.dtype == np.float32
    assert len(together) > 15_000  # the resampler keeps the last few for the next chunk
    assert np.abs(together - whole[: len(together)]).max() < 1e-3


@pytest.mark.parametrize(("pcm", "rate"), [(b"x", 48_000), (b"xx", 0), (b"xx", 2_000_000_000)])
def test_an_invalid_chunk_is_refused(pcm, rate):
    with pytest.raises(AudioError):
        Microphone().samples(pcm, rate)


def test_a_changed_rate_is_refused():
    microphone = Microphone()
    microphone.samples(b"", 48_000)
    with pytest.raises(AudioError, match="at 48000 Hz, got 2 bytes at 44100"):
        microphone.samples(b"xx", 44_100)
