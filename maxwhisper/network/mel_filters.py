"""Constants of the log-mel transform: mel filterbank, window and DFT basis, in numpy.

Out: arrays in the layout that `graphs/mel.py` expects. `reference.log_mel_spectrogram` is the slow
and simple version of the whole transform.
"""

import functools

import numpy as np
import numpy.typing as npt

from maxwhisper.network.dims import N_FFT, SAMPLE_RATE

Float32 = npt.NDArray[np.float32]

N_BINS = N_FFT // 2 + 1  # 201 frequency bins, 0..8 kHz in steps of 40 Hz
LOG_FLOOR = 1e-10  # smaller powers are clamped to this (openai/whisper audio.py:154)
DYNAMIC_RANGE = 8.0  # log10 units kept below the loudest bin of the whole recording (audio.py:155)


# The mel scale of Slaney's Auditory Toolbox: linear up to 1 kHz, then 27 mels per factor of 6.4.
HZ_PER_MEL = 200 / 3
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / HZ_PER_MEL
LOG_STEP = np.log(6.4) / 27


@functools.cache
def mel_filters(n_mels: int, n_fft: int = N_FFT) -> Float32:
    """Return the Slaney-style mel filterbank, (n_mels, n_fft // 2 + 1), 0..8 kHz, area-normalised.

    It equals librosa's bit for bit, which produced the table that openai-whisper ships
    (audio.py:92-107); tests/network/test_mel_filters.py compares them. Importing librosa would take
    seconds and 90 MB.
    """
    corners = _hz(np.linspace(0.0, _mel(SAMPLE_RATE / 2), n_mels + 2))
    bins = np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE)
    rising = (bins - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - bins) / (corners[2:] - corners[1:-1])[:, None]
    triangles = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    area = 2.0 / (corners[2:] - corners[:-2])
    return (triangles * area[:, None]).astype(np.float32)


def _mel(hz: float) -> float:
    """Convert a frequency at or above `BREAK_HZ` to mels."""
    return float(BREAK_MEL + np.log(hz / BREAK_HZ) / LOG_STEP)


def _hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Convert mels to frequencies in Hz."""
    above = BREAK_HZ * np.exp(LOG_STEP * (mels - BREAK_MEL))
    return np.where(mels >= BREAK_MEL, above, HZ_PER_MEL * mels)


@functools.cache
def hann_window() -> npt.NDArray[np.float64]:
    """Return the periodic Hann window, (400,), as `torch.hann_window` does; not the symmetric
    one."""
    return 0.5 * (1 - np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT))


@functools.cache
def dft_basis() -> Float32:
    """Return the windowed real DFT as one matrix, (400, 402): 201 cosine columns, then 201 sine
    columns."""
    phase = 2 * np.pi / N_FFT * np.outer(np.arange(N_FFT), np.arange(N_BINS))
    basis = np.concatenate([np.cos(phase), -np.sin(phase)], axis=1)
    return (hann_window()[:, None] * basis).astype(np.float32)
