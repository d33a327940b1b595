"""Distortions: reproducible, at the promised level, in place."""

import numpy as np
import pytest

from maxwhisper.network.dims import SAMPLE_RATE
from tools.train_demo import augment

N = 2 * SAMPLE_RATE


@pytest.fixture
def speech():
    """A second of tone after half a second of silence, and silence after it."""
    samples = np.zeros(N, np.float32)
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    samples[8000:24000] = 0.3 * np.sin(2 * np.pi * 440 * t)
    return samples


def rng(seed=0):
    return np.random.default_rng(seed)


def test_distort_depends_on_the_seed_alone(speech):
    for seed in range(12):
        first, again = (augment.distort(speech, rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert first.dtype == np.float32
        assert first.shape == speech.shape
        assert np.isfinite(first).all()
        assert np.abs(first).max() <= 1.0001
    assert not np.array_equal(augment.distort(speech, rng(0)), augment.distort(speech, rng(1)))


@pytest.mark.parametrize("snr_db", [0, 10, 30])
@pytest.mark.parametrize("make", augment.NOISES)
def test_noise_is_added_at_the_ratio_asked_for(speech, make, snr_db):
    noisy = augment.add_noise(speech, make(N, rng()), snr_db)
    noise_power = np.mean((noisy - speech).astype(np.float64) ** 2)
    speech_power = np.mean(speech[8000:24000].astype(np.float64) ** 2)
    assert 10 * np.log10(speech_power / noise_power) == pytest.approx(snr_db, abs=0.1)


def test_silence_has_no_speech_to_add_noise_to():
    silence = np.zeros(N, np.float32)
    np.testing.assert_array_equal(augment.add_noise(silence, augment.hum(N, rng()), 10), silence)
    np.testing.assert_array_equal(augment.at_level(silence, 0.5), silence)


def test_reverberation_keeps_the_direct_sound_in_place(speech):
    wet = augment.reverberate(speech, rng())
    assert np.abs(wet[:8000]).max() < 1e-5
    assert np.abs(wet[24000:]).max() > 0.01  # the tail


def test_telephone_band(speech):
    white = rng().standard_normal(N).astype(np.float32)
    power = np.abs(np.fft.rfft(augment.telephone(white, rng()))) ** 2
    hz = np.fft.rfftfreq(N, 1 / SAMPLE_RATE)
    inside = power[(hz > 400) & (hz < 3000)].mean()
    for outside in (power[hz < 200], power[hz > 4500]):
        assert 10 * np.log10(inside / outside.mean()) > 20


def test_speed_changes_length_and_pitch(speech):
    fast = augment.change_speed(speech, 1.25)
    assert len(fast) == pytest.approx(N / 1.25, abs=2)
    peak_hz = np.argmax(np.abs(np.fft.rfft(fast))) * SAMPLE_RATE / len(fast)
    assert peak_hz == pytest.approx(550, abs=2)


def test_clipping_flattens_the_loudest(speech):
    clipped = augment.clip(speech, rng())
    assert np.abs(clipped).max() < np.abs(speech).max()
    assert (np.abs(clipped) == np.abs(clipped).max()).sum() > 10
