"""What the log-mel transform needs before any graph runs: filterbank, DFT basis, framing; in numpy.

Owns the constants of the transform and the layout `graphs/mel.py` expects. Knows nothing of MAX.
The slow, obvious version of the whole transform is `reference.log_mel_spectrogram`.
"""

import functools

import numpy as np
import numpy.typing as npt

from maxwhisper.dims import HOP_LENGTH, N_FFT, SAMPLE_RATE
from maxwhisper.engine import Waveform
from maxwhisper.samples import read_samples

Float32 = npt.NDArray[np.float32]

N_BINS = N_FFT // 2 + 1  # 201 frequency bins, 0..8 kHz in steps of 40 Hz
LOG_FLOOR = 1e-10  # power below this is not told apart (openai/whisper audio.py:154)
DYNAMIC_RANGE = 8.0  # log10 units kept below the loudest bin of the whole recording (audio.py:155)


# Slaney's mel scale, of his Auditory Toolbox: even up to 1 kHz, then 27 mels for a factor of 6.4.
HZ_PER_MEL = 200 / 3
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / HZ_PER_MEL
LOG_STEP = np.log(6.4) / 27


@functools.cache
def mel_filters(n_mels: int) -> Float32:
    """Slaney-style mel filterbank, (n_mels, 201), 0..8 kHz, area-normalised.

    Bit for bit what librosa gives, which made the table that openai-whisper ships
    (audio.py:92-107); tests/test_mel.py compares them. Importing librosa itself costs seconds and
    90 MB.
    """
    corners = _hz(np.linspace(0.0, _mel(SAMPLE_RATE / 2), n_mels + 2))
    bins = np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    rising = (bins - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - bins) / (corners[2:] - corners[1:-1])[:, None]
    triangles = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    area = 2.0 / (corners[2:] - corners[:-2])
    return (triangles * area[:, None]).astype(np.float32)


def _mel(hz: float) -> float:
    """Frequency at or above the break, in mels."""
    return float(BREAK_MEL + np.log(hz / BREAK_HZ) / LOG_STEP)


def _hz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above = BREAK_HZ * np.exp(LOG_STEP * (mels - BREAK_MEL))
    return np.where(mels >= BREAK_MEL, above, HZ_PER_MEL * mels)


@functools.cache
def hann_window() -> npt.NDArray[np.float64]:
    """Periodic Hann window, (400,): what `torch.hann_window` gives, not the symmetric one."""
    return 0.5 * (1 - np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT))


@functools.cache
def dft_basis() -> Float32:
    """Windowed real DFT as one matrix, (400, 402): 201 cosine columns, then 201 sine columns."""
    phase = 2 * np.pi / N_FFT * np.outer(np.arange(N_FFT), np.arange(N_BINS))
    basis = np.concatenate([np.cos(phase), -np.sin(phase)], axis=1)
    return (hann_window()[:, None] * basis).astype(np.float32)


def hop_blocks(waveform: Waveform, padding: int, start: int, stop: int) -> Float32:
    """Hops for the log-mel graph, of frames start..stop: (stop - start + 2, 160).

    Of all that is made of the waveform, n_samples + `padding` zeros with 200 samples reflected at
    both ends, as `torch.stft(center=True)` does, only this part is made. Frame i is the 400 samples
    that begin at hop i. Frames that exist: `n_frames`.
    """
    begin = start * HOP_LENGTH - N_FFT // 2
    end = (stop + 2) * HOP_LENGTH - N_FFT // 2
    first, last = max(begin, 0), min(end, len(waveform) + padding)
    inside = np.zeros(last - first, np.float32)
    content = read_samples(waveform, first, last)
    inside[: len(content)] = content
    return np.pad(inside, (first - begin, end - last), mode="reflect").reshape(-1, HOP_LENGTH)


def n_frames(waveform: Waveform, padding: int) -> int:
    """Frames of the log-mel of a waveform and `padding` zeros (samples).

    The frame centred on the very end is dropped, as the reference drops it (audio.py:149).
    """
    return (len(waveform) + padding) // HOP_LENGTH
