"""Samples of recordings of any length: in memory while short, in a file of their own when long.

Owns where they are kept, and the one way to read them block by block. In: chunks of samples, in
order. Out: a `Waveform`, an ordinary array in both cases; ten hours are 2.3 GB on disk and next to
nothing in memory. Knows no audio format.
"""

from __future__ import annotations

import mmap
import sys
import tempfile
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.errors import AudioError

if TYPE_CHECKING:  # the decoding child imports this file: it should load no checkpoint code
    from maxwhisper.engine import Waveform

IN_MEMORY_SAMPLES = 30 * 60 * SAMPLE_RATE  # 30 min: 115 MB as float32
_INT16_SCALE = np.float32(1 / 32768)  # a power of two: exact, as in openai/whisper audio.py:62


class _Mapping(mmap.mmap):
    """A mapped file of ours. It is shared with the file, so pages given back are not lost."""


class SampleStore:
    """float32 samples that arrive in chunks: `append` them, then `finish` once.

    The file lies in the system's temporary folder (`TMPDIR` names another one; where that folder is
    itself kept in memory, so are the samples). It has no name: nothing is left behind, whatever
    happens.
    """

    def __init__(self) -> None:
        self._n_samples = 0
        self._chunks: list[npt.NDArray[np.float32]] = []
        self._file: IO[bytes] | None = None

    def append(self, chunk: npt.NDArray[np.float32]) -> None:
        """Add samples (n,). Raises `AudioError` too_long where no file for them can be written."""
        self._n_samples += len(chunk)
        self._chunks.append(np.ascontiguousarray(chunk))
        if self._n_samples <= IN_MEMORY_SAMPLES:
            return
        try:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 (finish maps it)
            for samples in self._chunks:
                self._file.write(samples.data)
            self._file.flush()  # a full disk is noticed here
        except OSError as error:
            minutes = IN_MEMORY_SAMPLES // SAMPLE_RATE // 60
            raise AudioError(
                "too_long",
                f"expected at most {minutes} min, or a temporary folder with room for more, got "
                f"{error}: cut the recording, or set TMPDIR",
            ) from error
        self._chunks.clear()

    def finish(self, n_samples: int) -> Waveform:
        """The first `n_samples`, (n_samples,), with zeros after them if there are fewer."""
        self.append(np.zeros(max(0, n_samples - self._n_samples), np.float32))
        if self._file is None:
            return np.concatenate(self._chunks)[:n_samples]
        mapping = _Mapping(self._file.fileno(), 0)
        return np.ndarray((n_samples,), np.float32, buffer=mapping)


def read_samples(waveform: npt.NDArray[np.generic], start: int, stop: int) -> Waveform:
    """A float32 copy of samples start..stop; int16 is divided by 32768.

    Reading a mapped file leaves its pages in memory. Here they are given back, so that going
    through a long recording with this function takes no more memory than one block.
    """
    samples = waveform[start:stop]
    block = samples.astype(np.float32)
    if samples.dtype == np.int16:
        block *= _INT16_SCALE
    owner: object = waveform
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, _Mapping) and sys.platform == "linux":
        owner.madvise(mmap.MADV_DONTNEED)
    return block
