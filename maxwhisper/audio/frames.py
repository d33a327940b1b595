"""Frame a waveform for the log-mel graph, with the padding of `torch.stft`.

In: a waveform of any length. Out: the hops of the requested frames only.
"""

import numpy as np
import numpy.typing as npt

from maxwhisper.audio.samples import read_samples
from maxwhisper.audio.waveform import Waveform
from maxwhisper.network.dims import HOP_LENGTH, N_FFT

Float32 = npt.NDArray[np.float32]


def hop_blocks(waveform: Waveform, padding: int, start: int, stop: int) -> Float32:
    """Return the hops that the log-mel graph needs for frames start..stop, (stop - start + 2, 160).

    The full padded signal is n_samples + `padding` zeros, with 200 samples reflected at both ends,
    as in `torch.stft(center=True)`. Only the requested part is built. Frame i is the 400 samples
    that begin at hop i. `n_frames` returns how many frames exist.
    """
    begin = start * HOP_LENGTH - N_FFT // 2
    end = (stop + 2) * HOP_LENGTH - N_FFT // 2
    first, last = max(begin, 0), min(end, len(waveform) + padding)
    inside = np.zeros(last - first, np.float32)
    content = read_samples(waveform, first, last)
    inside[: len(content)] = content
    return np.pad(inside, (first - begin, end - last), mode="reflect").reshape(-1, HOP_LENGTH)


def n_frames(waveform: Waveform, padding: int) -> int:
    """Return the number of log-mel frames of a waveform followed by `padding` zeros (samples).

    The frame centred on the end is dropped, as in the reference (audio.py:149).
    """
    return (len(waveform) + padding) // HOP_LENGTH
