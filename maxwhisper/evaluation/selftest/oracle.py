"""A log-mel spectrogram that shares nothing with the code under test: an oracle for the self-test.

In: samples. Out: the log-mel and the name of what computed it. Constants are written anew, from
openai/whisper audio.py:110-157. Only the filterbank is the package's own where librosa is not
installed.
"""

import numpy as np
import numpy.typing as npt
from scipy.signal.windows import hann

from maxwhisper.decoding.protocols import Float32
from maxwhisper.network.mel_filters import mel_filters


def log_mel_spectrogram(waveform: Float32, n_mels: int) -> tuple[Float32, str]:
    """(n,) samples at 16 kHz -> (n // 160, n_mels), and the libraries that computed it."""
    samples = waveform.astype(np.float64)
    try:
        import librosa
    except ImportError:
        power, filters, oracle = _power(samples), mel_filters(n_mels), "scipy's window"
    else:
        spectrum = librosa.stft(samples, n_fft=400, hop_length=160, pad_mode="reflect")
        power, oracle = np.abs(spectrum[:, :-1].T) ** 2, "librosa"
        filters = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=n_mels)
    logs = np.log10(np.maximum(power @ filters.T.astype(np.float64), 1e-10))
    return ((np.maximum(logs, logs.max() - 8.0) + 4.0) / 4.0).astype(np.float32), oracle


def _power(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n,) -> (n // 160, 201) powers of the frames."""
    padded = np.pad(samples, 200, mode="reflect")
    starts = 160 * np.arange(len(samples) // 160)
    frames = padded[starts[:, None] + np.arange(400)] * hann(400, sym=False)
    power: npt.NDArray[np.float64] = np.abs(np.fft.rfft(frames)) ** 2
    return power
