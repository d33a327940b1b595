"""Samples that a program holds, of any type, shape and rate, to float32 mono 16 kHz.

Owns `from_array` for a whole recording and `LiveSamples` for one in progress. In: arrays of numpy
or another library, or raw bytes. Out: a `Waveform`. Every failure is an `AudioError` in our words.
Knows no file.
"""

from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import soxr

from maxwhisper.audio.container import MAX_CHANNELS
from maxwhisper.audio.resample import Mixdown, check_rate, check_samples
from maxwhisper.audio.samples import read_samples
from maxwhisper.audio.waveform import Waveform
from maxwhisper.errors import AudioError, quoted
from maxwhisper.network.dims import SAMPLE_RATE

_BLOCK = 60 * SAMPLE_RATE  # samples: a caller's array is checked 4 MB at a time
_EXPECTED = "Expected samples as an array of floats or integers, (n,) or (channels, n)"
_SMALLEST_SCALE = 2.0**32  # 64-bit integers below it are those of a smaller type


def from_array(samples: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> Waveform:
    """Convert an array of samples, (n,) or (channels, n), to a waveform.

    Takes numpy arrays, lists, and what can become a numpy array: a torch tensor with a gradient or
    on a GPU, for example. Floats are expected in about -1..1 and become float32. Integers are
    divided by the full scale of their type; silence of unsigned ones is in the middle. Channels are
    averaged. An array that already is a `Waveform` is returned as is. An empty array is allowed,
    unlike an empty file: it yields no segments, as in the reference.

    Raises `AudioError`; its codes: bad_audio for another shape or type, and for NaN, Inf and values
    above `LOUDEST`; bad_sample_rate; too_many_channels.
    """
    array = as_samples(samples)
    check_rate(sample_rate)
    is_waveform = array.ndim == 1 and array.dtype == np.float32 and sample_rate == SAMPLE_RATE
    mixdown = Mixdown(sample_rate, channels=len(array) if array.ndim == 2 else 1)
    for start in range(0, array.shape[-1], _BLOCK):
        block = read_samples(array, start, start + _BLOCK)
        check_samples(block, start)
        if not is_waveform:
            mixdown.add(np.atleast_2d(block))
    return array if is_waveform else mixdown.finish()


class LiveSamples:
    """A recording in progress: chunks of any type and rate in, 16 kHz out, without gaps."""

    def __init__(self) -> None:
        self._rate = SAMPLE_RATE
        self._resampler: soxr.ResampleStream | None = None
        self._half = b""  # the first byte of a sample whose second one has not arrived

    def add(self, chunk: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> Waveform:
        """The samples (n,) at 16 kHz that a chunk completes.

        A chunk is what `from_array` takes, or bytes: little-endian int16 mono, cut anywhere. The
        rate may change. Raises as `from_array` does; the chunk is then left out.
        """
        check_rate(sample_rate)
        half = self._half
        if is_bytes(chunk):
            data = half + bytes(chunk)
            half = data[len(data) // 2 * 2 :]
            chunk = np.frombuffer(data, "<i2", count=len(data) // 2)
        array = as_samples(chunk)
        samples = read_samples(array, 0, array.shape[-1])
        check_samples(samples, 0)
        self._half = half
        if samples.ndim == 2:
            samples = samples.mean(axis=0)
        before = np.zeros(0, np.float32) if sample_rate == self._rate else self.finish()
        if sample_rate != SAMPLE_RATE:
            if self._resampler is None:
                self._resampler = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32")
            samples = self._resampler.resample_chunk(samples)
        self._rate = sample_rate
        return np.concatenate([before, samples])

    def finish(self) -> Waveform:
        """The samples that the resampler has kept back; none the second time."""
        resampler, self._resampler = self._resampler, None
        nothing = np.zeros(0, np.float32)
        return nothing if resampler is None else resampler.resample_chunk(nothing, last=True)


def as_samples(samples: Any) -> npt.NDArray[Any]:
    """Samples as a numpy array, (n,) or (channels, n) with several channels, of any type that
    `read_samples` reads. Raises `AudioError`."""
    array = as_array(samples)
    if array.ndim == 2 and len(array) == 1:
        array = array[0]
    if array.ndim not in (1, 2):
        batch = ": take audio[0] of a batch" if array.ndim > 2 else ""
        raise AudioError("bad_audio", f"{_EXPECTED}, got shape {array.shape}{batch}.")
    if array.ndim == 2 and array.shape[0] > array.shape[1] > 0:
        raise AudioError(
            "bad_audio",
            f"{_EXPECTED}, got shape {array.shape}: for (n, channels) give its .T.",
        )
    if array.ndim == 2 and len(array) > MAX_CHANNELS:
        raise AudioError(
            "too_many_channels",
            f"This array has {len(array)} channels; at most {MAX_CHANNELS} are supported. If its "
            "rows are recordings, give them to transcribe_many.",
        )
    _check_type(array)
    return array


def as_array(samples: Any) -> npt.NDArray[Any]:
    """Anything like an array as numpy's, whichever library it is from. Raises `AudioError`."""
    for name in ("detach", "cpu"):  # a torch tensor with a gradient, or on a GPU
        method = getattr(samples, name, None)
        samples = method() if callable(method) else samples
    try:
        try:
            return np.asarray(samples)
        except TypeError:
            return np.asarray(samples.float())  # numpy has no bfloat16
    except Exception as error:  # whatever the other library raises
        what = type(samples).__name__ if hasattr(samples, "dtype") else quoted(samples)
        raise AudioError("bad_audio", f"{_EXPECTED}, got {what}.") from error


def is_bytes(audio: object) -> TypeGuard[bytes | bytearray | memoryview]:
    """True for bytes, and for a view of them rather than of samples."""
    if isinstance(audio, memoryview):
        return audio.format in ("B", "b", "c")
    return isinstance(audio, bytes | bytearray)


def _check_type(array: npt.NDArray[Any]) -> None:
    """Raise `AudioError` for a type that holds no samples, or whose full scale is another one's."""
    if array.dtype.kind not in "fiu" and array.size:
        raise AudioError("bad_audio", f"{_EXPECTED}, got values of type {array.dtype}.")
    if array.dtype.kind in "iu" and array.itemsize == 8 and array.size:
        middle = 0 if array.dtype.kind == "i" else 2**63
        loudest = max(abs(int(array.max()) - middle), abs(int(array.min()) - middle))
        if 0 < loudest < _SMALLEST_SCALE or (middle and int(array.max()) < _SMALLEST_SCALE):
            raise AudioError(
                "bad_audio",
                f"Expected {array.dtype} samples that use its 64 bits, got at most {array.max()}: "
                "convert them to the type that they were recorded in, such as .astype(np.int16).",
            )
