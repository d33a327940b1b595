"""Times transferred from one voice to another, where both report their phone times."""

import random
import shutil

import numpy as np
import pytest

from maxwhisper.network.dims import SAMPLE_RATE
from tools.train_demo.voices import SEEN, speak
from tools.train_demo.warping import carried_over


def tones(pitches, lengths):
    """Return a tone of each pitch in Hz for as many samples, and where each ends."""
    times = [np.arange(length) / SAMPLE_RATE for length in lengths]
    sound = [
        sum(np.sin(2 * np.pi * pitch * k * t) / k for k in (1, 2, 3))
        for pitch, t in zip(pitches, times, strict=True)
    ]
    return (6000 * np.concatenate(sound)).astype(np.int16), np.cumsum(lengths)


def test_times_follow_the_sound_and_not_the_clock():
    pitches = (200, 700, 310, 1500, 450)
    model, ends = tones(pitches, (3200, 1600, 4800, 1600, 3200))
    slower, right = tones(pitches, (3200, 4800, 3200, 3200, 6400))
    found = carried_over(ends.tolist(), model, slower)
    assert found == sorted(found)
    assert found[-1] <= len(slower)
    np.testing.assert_allclose(found, right, atol=0.03 * SAMPLE_RATE)
    stretched = ends * len(slower) / len(model)
    assert np.abs(stretched - right).max() > 0.1 * SAMPLE_RATE


@pytest.mark.skipif(not shutil.which("flite"), reason="flite is not installed")
def test_two_speakers_phones_are_laid_on_each_other():
    text = "My brother lives in a small town near the sea."
    slt, awb = (next(v for v in SEEN if v.label == f"flite {name}") for name in ("slt", "awb"))
    [model], [other] = (speak(voice, [text], random.Random(1)) for voice in (slt, awb))
    assert [phone for phone, _ in model.phones] == [phone for phone, _ in other.phones]
    found = carried_over([end for _, end in model.phones], model.samples, other.samples)
    errors_s = np.abs(np.array(found) - [end for _, end in other.phones]) / SAMPLE_RATE
    assert np.median(errors_s) < 0.03
    assert np.quantile(errors_s, 0.9) < 0.12
