"""Store the samples of a recording: in memory if it is short, in a temporary file if it is long.

Owns where samples are stored and how they are read block by block. In: chunks of samples, in order.
Out: a `Waveform`, an ordinary array in both cases. Ten hours take 2.3 GB on disk and almost nothing
in memory. Knows no audio format.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import weakref
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from maxwhisper.audio.waveform import Waveform
from maxwhisper.errors import AudioError
from maxwhisper.network.dims import SAMPLE_RATE

IN_MEMORY_SAMPLES = 30 * 60 * SAMPLE_RATE  # 30 min: 115 MB as float32


class _Mapping(mmap.mmap):
    """A mapped file of `SampleStore`. It is shared with the file, so released pages keep their
    content. Another process may map the file too, whose descriptor is `descriptor`."""

    descriptor: int


class SampleStore:
    """Collect float32 samples: `append` chunks, then call `finish` once.

    The file is in the system's temporary folder, which `TMPDIR` overrides. If that folder is itself
    in memory, so are the samples. The file has no name, so nothing is left behind after a crash.
    """

    def __init__(self) -> None:
        self._n_samples = 0
        self._chunks: list[npt.NDArray[np.float32]] = []
        self._file: IO[bytes] | None = None

    def append(self, chunk: npt.NDArray[np.float32]) -> None:
        """Add samples (n,). Raises `AudioError` too_long if no file for them can be written."""
        self._n_samples += len(chunk)
        self._chunks.append(np.ascontiguousarray(chunk))
        if self._n_samples <= IN_MEMORY_SAMPLES:
            return
        try:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 (finish maps it)
            for samples in self._chunks:
                self._file.write(samples.data)
            self._file.flush()  # a full disk raises here
        except OSError as error:
            minutes = IN_MEMORY_SAMPLES // SAMPLE_RATE // 60
            raise AudioError(
                "too_long",
                f"More than {minutes} min of audio needs a temporary file, which cannot be written "
                f"({error}). Split the recording, or set TMPDIR to a folder with free space.",
            ) from error
        self._chunks.clear()

    def finish(self, n_samples: int) -> Waveform:
        """Return the first `n_samples`, (n_samples,), padded with zeros if there are fewer."""
        self.append(np.zeros(max(0, n_samples - self._n_samples), np.float32))
        if self._file is None:
            return np.concatenate(self._chunks)[:n_samples]
        return map_samples(self._file.fileno(), n_samples)


def map_samples(descriptor: int, n_samples: int) -> Waveform:
    """The samples (n_samples,) in a file without a name. The caller may close `descriptor`."""
    mapping = _Mapping(descriptor, 0)
    mapping.descriptor = os.dup(descriptor)
    weakref.finalize(mapping, os.close, mapping.descriptor)
    return np.ndarray((n_samples,), np.float32, buffer=mapping)


def descriptor_of(waveform: Waveform) -> int | None:
    """The file that a long recording is mapped onto; None for one in memory."""
    mapping = _mapping_of(waveform)
    return None if mapping is None else mapping.descriptor


def read_samples(waveform: npt.NDArray[np.generic], start: int, stop: int) -> Waveform:
    """Return a float32 copy of samples start..stop, (n,) or (channels, n).

    Integers are divided by the full scale of their type, int16 by 32768; silence of unsigned ones
    is in the middle. Reading a mapped file leaves its pages in memory. This function releases them,
    so reading a long recording block by block takes no more memory than one block.
    """
    block = _scaled(waveform[..., start:stop])
    mapping = _mapping_of(waveform)
    if mapping is not None and sys.platform == "linux":
        mapping.madvise(mmap.MADV_DONTNEED)
    return block


def _mapping_of(waveform: npt.NDArray[np.generic]) -> _Mapping | None:
    owner: object = waveform
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return owner if isinstance(owner, _Mapping) else None


def _scaled(samples: npt.NDArray[np.generic]) -> Waveform:
    """A float32 copy; integers become -1..1."""
    with np.errstate(over="ignore"):  # too large a float64 becomes infinite, and is refused later
        if samples.dtype.kind not in "iu":
            return samples.astype(np.float32)
        full_scale = 2.0 ** (8 * samples.itemsize - 1)  # a power of two, as in the reference
        middle = full_scale if samples.dtype.kind == "u" else 0.0
        exact: npt.NDArray[Any] = samples.astype(
            np.float32 if samples.itemsize <= 2 else np.float64
        )
        scaled = (exact - middle) / full_scale  # exact for 16 bits; openai/whisper audio.py:62
        return scaled.astype(np.float32, copy=False)
