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


@functools.cache
def mel_filters(n_mels: int) -> Float32:
    """Slaney-style mel filterbank, (n_mels, 201), 0..8 kHz, area-normalised.

    Computed by librosa, which also made the table that openai-whisper ships (audio.py:92-107).
    """
    import librosa

    return librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=n_mels).astype(np.float32)


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
