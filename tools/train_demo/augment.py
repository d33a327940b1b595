"""Simulate rooms, microphones and transmission, and generate sounds without speech.

Pure functions of samples (n,) float32 at 16 kHz and a `numpy.random.Generator`: the same generator
gives the same sound. Only `change_speed` moves speech in time. Knows nothing of texts or windows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.signal import oaconvolve

from maxwhisper.network.dims import SAMPLE_RATE

Samples = npt.NDArray[np.float32]
Rng = np.random.Generator

SILENCE_DB = -45.0  # below the loudest 20 ms: such frames do not count as speech


def change_speed(samples: Samples, factor: float) -> Samples:
    """Play faster (> 1) or slower. The length is divided by factor; pitch and formants are
    multiplied by it, as for another speaker. The synthesiser varies rate and pitch
    independently."""
    if factor == 1 or not len(samples):
        return samples
    return soxr.resample(samples, round(SAMPLE_RATE * factor), SAMPLE_RATE, quality="LQ")


def speech_power(samples: Samples) -> float:
    """Return the mean square of the 20 ms frames that are not silent; 0 if all are silent."""
    n = len(samples) // 320 * 320
    powers = np.square(samples[:n].reshape(-1, 320), dtype=np.float64).mean(axis=1)
    if not n or powers.max() == 0:
        return 0.0
    return float(powers[powers > powers.max() * 10 ** (SILENCE_DB / 10)].mean())


def add_noise(samples: Samples, noise: Samples, snr_db: float) -> Samples:
    """Add `noise` (n,) so that speech is `snr_db` above it. Silent samples are returned
    unchanged."""
    noise_power = float(np.mean(np.square(noise, dtype=np.float64)))
    power = speech_power(samples)
    if noise_power == 0 or power == 0:
        return samples
    gain = np.sqrt(power / noise_power / 10 ** (snr_db / 10))
    return (samples + gain * noise).astype(np.float32)


def reverberate(samples: Samples, rng: Rng) -> Samples:
    """Add a room: a tail of decaying noise after the direct sound, which stays in place.

    60 dB decay in 0.15 to 0.7 s, direct sound 0 to 15 dB above the tail, first echo after 2 to 15
    ms: from a furnished study to a classroom.
    """
    decay_s = rng.uniform(0.15, 0.7)
    n = int(decay_s * SAMPLE_RATE)
    tail = rng.standard_normal(n, dtype=np.float32) * 10 ** (-3 * np.arange(n) / n)
    tail[: int(rng.uniform(0.002, 0.015) * SAMPLE_RATE)] = 0
    tail *= 10 ** (-rng.uniform(0, 15) / 20) / np.sqrt(np.square(tail).sum())
    tail[0] = 1
    wet = oaconvolve(samples, tail.astype(np.float32))[: len(samples)]
    return wet.astype(np.float32)


def band_pass(samples: Samples, low_hz: float, high_hz: float) -> Samples:
    """Remove everything outside the band; the edges are a quarter octave wide."""
    edge = 0.25  # octaves

    def gain(hz: Samples) -> npt.NDArray[Any]:
        octaves = np.log2(hz)
        rise = np.clip((octaves - np.log2(low_hz)) / edge + 1, 0, 1)
        return rise * np.clip((np.log2(high_hz) - octaves) / edge + 1, 0, 1)

    return _filtered(samples, gain)


def _filtered(samples: Samples, gain: Callable[[Samples], npt.NDArray[Any]]) -> Samples:
    """Multiply the spectrum by `gain` of the frequency in Hz (1 Hz at least).

    Uses float32 and a length that transforms fast: four times as fast as numpy on 30 s.
    """
    n = next_fast_len(len(samples), real=True)
    hz = np.maximum(rfftfreq(n, 1 / SAMPLE_RATE), 1).astype(np.float32)
    filtered: Samples = irfft(rfft(samples, n) * gain(hz).astype(np.float32), n)[: len(samples)]
    return filtered


def telephone(samples: Samples, rng: Rng) -> Samples:
    """Limit to 300 to 3400 Hz and quantise by the 8-bit μ-law of G.711."""
    narrow = band_pass(samples, 300, 3400)
    peak = float(np.abs(narrow).max()) or 1.0
    mu = 255.0
    companded = np.sign(narrow) * np.log1p(mu * np.abs(narrow / peak)) / np.log1p(mu)
    coarse = np.round(companded * 127) / 127
    return (np.sign(coarse) * np.expm1(np.abs(coarse) * np.log1p(mu)) / mu * peak).astype(
        np.float32
    )


def codec(samples: Samples, rng: Rng) -> Samples:
    """Limit the band like a lossy codec at a low rate: remove everything above 3.4 to 7.5 kHz."""
    return band_pass(samples, 20, rng.uniform(3400, 7500))


def microphone(samples: Samples, rng: Rng) -> Samples:
    """Apply a coloured frequency response: a tilt of up to 1.5 dB per octave, and a high-pass."""
    tilt_db = rng.uniform(-1.5, 1.5)

    def gain(hz: Samples) -> npt.NDArray[Any]:
        return 10 ** (tilt_db / 20 * np.log2(np.maximum(hz, 20) / 1000))

    return band_pass(_filtered(samples, gain), rng.uniform(30, 200), 8000)


def clip(samples: Samples, rng: Rng) -> Samples:
    """Overdrive: clip the loudest 0.1 to 2 % of the samples."""
    limit = float(np.quantile(np.abs(samples), 1 - rng.uniform(0.001, 0.02)))
    return np.clip(samples, -limit, limit) if limit > 0 else samples


def coloured_noise(n: int, rng: Rng) -> Samples:
    """Return white to brown noise: power falls with frequency, to the power 0 to 2, above 20 Hz."""
    exponent = rng.uniform(0, 2) / 2
    white = rng.standard_normal(n, dtype=np.float32)
    return _filtered(white, lambda hz: np.maximum(hz, 20) ** -exponent)


def hum(n: int, rng: Rng) -> Samples:
    """Return the hum of mains and fans: harmonics of 40 to 200 Hz with a little noise."""
    t = np.arange(n, dtype=np.float32) / SAMPLE_RATE
    base = rng.choice((50.0, 60.0, 100.0, 120.0, rng.uniform(40, 200)))
    sound = 0.05 * rng.standard_normal(n, dtype=np.float32)
    for k in range(1, 8):
        phase = np.float32(2 * np.pi * base * k) * t + np.float32(rng.uniform(0, 6.28))
        sound += np.float32(rng.uniform(0, 1) / k) * np.sin(phase)
    return sound


def knocks(n: int, rng: Rng) -> Samples:
    """Return the sound of keys, steps and cups: decaying bursts at random times."""
    sound = np.zeros(n, np.float32)
    for start in rng.integers(0, n, max(1, int(rng.uniform(0.5, 6) * n / SAMPLE_RATE))):
        length = min(n - start, int(rng.uniform(0.01, 0.1) * SAMPLE_RATE))
        decay = np.exp(-6 * np.arange(length) / max(length, 1))
        burst = coloured_noise(max(length, 2), rng)[:length]
        sound[start : start + length] += (burst / (np.abs(burst).max() + 1e-9) * decay).astype(
            np.float32
        )
    return sound + 0.001 * coloured_noise(n, rng)


def music(n: int, rng: Rng) -> Samples:
    """Return notes of a scale, one to three at a time, plucked or held."""
    scale = rng.uniform(110, 330) * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
    beat = int(rng.uniform(0.15, 0.8) * SAMPLE_RATE)
    partials = 1 / np.arange(1, 7) ** rng.uniform(0.7, 2.5)
    decay = rng.choice((0.0, 2.0, 5.0))  # per second
    sound = np.zeros(n, np.float32)
    for start in range(0, n, beat):
        t = np.arange(min(beat, n - start), dtype=np.float32) / SAMPLE_RATE
        envelope = np.minimum(1, t / 0.01) * np.exp(-decay * t)
        for pitch in rng.choice(scale, rng.integers(1, 4)):
            tone = sum(a * np.sin(2 * np.pi * pitch * k * t) for k, a in enumerate(partials, 1))
            sound[start : start + len(t)] += tone * envelope
    return sound


NOISES: tuple[Callable[[int, Rng], Samples], ...] = (coloured_noise, hum, knocks, music)


def noise(n: int, rng: Rng) -> Samples:
    """Return any sound without speech, (n,); coloured noise in half of the calls."""
    make = coloured_noise if rng.random() < 0.5 else NOISES[rng.integers(len(NOISES))]
    return make(n, rng)


def babble(voices: list[Samples], n: int, rng: Rng) -> Samples:
    """Return several voices at once, played backwards so that they contain no words, (n,)."""
    sound = np.zeros(n, np.float32)
    for voice in voices:
        start = int(rng.integers(0, max(1, len(voice))))
        sound += np.resize(np.roll(voice[::-1], start), n)
    return sound


def distort(samples: Samples, rng: Rng, background: Samples | None = None) -> Samples:
    """Simulate one random path from mouth to file: room, background, microphone, transmission,
    level.

    About a quarter of the calls change only the level, so that clean speech stays the most common
    case. `background` replaces the generated noise. Peaks end at -34 to 0 dBFS.
    """
    if rng.random() < 0.3:
        samples = reverberate(samples, rng)
    if rng.random() < 0.5:
        sound = noise(len(samples), rng) if background is None else background
        samples = add_noise(samples, sound, rng.uniform(0, 30))
    if rng.random() < 0.25:
        samples = microphone(samples, rng)
    kind = rng.random()
    if kind < 0.08:
        samples = telephone(samples, rng)
    elif kind < 0.18:
        samples = codec(samples, rng)
    if rng.random() < 0.05:
        samples = clip(samples, rng)
    return at_level(samples, rng.uniform(0.02, 1.0))


def at_level(samples: Samples, peak: float) -> Samples:
    loudest = float(np.abs(samples).max()) if len(samples) else 0.0
    return samples * np.float32(peak / loudest) if loudest else samples
