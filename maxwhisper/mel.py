"""What the log-mel transform needs before any graph runs: filterbank, DFT basis, framing; in numpy.

Owns the constants of the transform and the layout `graphs/mel.py` expects. Knows nothing of MAX.
The slow, obvious version of the whole transform is `reference.log_mel_spectrogram`.
"""

import functools

import numpy as np
import numpy.typing as npt

from maxwhisper.dims import HOP_LENGTH, N_FFT, SAMPLE_RATE
from maxwhisper.engine import Waveform

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


def hop_blocks(waveform: Waveform, padding: int) -> Float32:
    """Cut a waveform into hops for the log-mel graph: (n_frames + 2, 160).

    `padding` zeros (samples) are appended, then 200 samples are reflected at both ends, as
    `torch.stft(center=True)` does. Frame i is the 400 samples that begin at block i. The frame
    centred on the very end is dropped, as the reference drops it (audio.py:149), so that
    n_frames = (n_samples + padding) // 160.
    """
    padded = np.pad(np.pad(waveform, (0, padding)), N_FFT // 2, mode="reflect")
    n_blocks = (len(waveform) + padding) // HOP_LENGTH + 2
    blocks = np.zeros(n_blocks * HOP_LENGTH, np.float32)
    kept = min(len(padded), len(blocks))
    blocks[:kept] = padded[:kept]
    return blocks.reshape(n_blocks, HOP_LENGTH)
