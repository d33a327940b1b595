"""A recording in any form that people have, to float32 mono 16 kHz samples.

Owns what counts as a file and what as samples. In: paths, bytes, files, arrays, pairs and mappings.
Out: a `Waveform`. `load` reads files, `arrays` converts samples.
"""

import inspect
import os
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from maxwhisper.audio.arrays import as_array, from_array, is_bytes
from maxwhisper.audio.load import File, decode
from maxwhisper.audio.waveform import Waveform
from maxwhisper.errors import AudioError, OptionError, quoted
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.options import check_value

_EXPECTED = (
    "Expected a recording: a path, bytes, an open binary file, an array with its sample_rate, "
    "(rate, array), or a mapping with array and sampling_rate"
)


class Readable(Protocol):
    """A binary file that is open."""

    def read(self) -> bytes: ...


Audio = File | Readable | npt.ArrayLike | tuple[int, npt.ArrayLike] | Mapping[str, Any]


def to_waveform(audio: Audio, sample_rate: int | None = None) -> Waveform:
    """Convert a recording in any form that people have to a waveform.

    A file: its path, `~` included, its bytes, or an open binary file. Samples: an array as in
    `arrays.from_array`, at `sample_rate` (16 kHz if it is not given); `(rate, array)` as Gradio and
    scipy have it, also with a shape of (n, channels); or a mapping with `array` and
    `sampling_rate`, as in Hugging Face datasets.

    Raises `AudioError` as `decode` and `from_array` do, and `OptionError` for a `sample_rate` with
    a recording that states its own.
    """
    check_value("sample_rate", sample_rate, int | None)
    if isinstance(audio, str | os.PathLike) or is_bytes(audio):
        _refuse_rate(sample_rate, "a file states its own")
        return decode(audio)
    if callable(read_file := getattr(audio, "read", None)):
        _refuse_rate(sample_rate, "a file states its own")
        return decode(_content(read_file()))
    rate, samples = _with_rate(audio)
    if rate is not None:
        _refuse_rate(sample_rate, f"this recording states {rate}")
        check_value("the sample rate", rate, int)
    if samples is None or (np.isscalar(samples) and not isinstance(samples, str)):
        raise AudioError("bad_audio", f"{_EXPECTED}, got {quoted(audio)}.")
    return from_array(samples, rate or sample_rate or SAMPLE_RATE)


def _with_rate(audio: Any) -> tuple[Any, Any]:
    """The sample rate, if the recording states it, and the samples."""
    if isinstance(audio, Mapping):
        if not {"array", "sampling_rate"} <= set(audio):
            keys = ", ".join(map(str, audio)) or "nothing"
            raise AudioError(
                "bad_audio", f"Expected a mapping with array and sampling_rate, got {keys[:60]}."
            )
        return audio["sampling_rate"], audio["array"]
    if isinstance(audio, tuple) and len(audio) == 2:
        if np.isscalar(audio[0]) and not np.isscalar(audio[1]):
            samples = as_array(audio[1])
            is_interleaved = samples.ndim == 2 and samples.shape[0] > samples.shape[1]
            return audio[0], samples.T if is_interleaved else samples
        if np.isscalar(audio[1]):
            raise AudioError(
                "bad_audio",
                "Expected (rate, array), got another tuple: give the array with sample_rate=rate.",
            )
    return None, audio


def _content(data: Any) -> bytes:
    """What a file's read() gave."""
    if is_bytes(data):
        return bytes(data)
    if isinstance(data, str):
        raise AudioError("bad_audio", "Expected a binary file, got one opened as text: use 'rb'.")
    if inspect.iscoroutine(data):
        data.close()
        raise AudioError(
            "bad_audio", "Expected a file whose read() gives bytes: await it, and give the bytes."
        )
    raise AudioError("bad_audio", f"Expected bytes from a file's read(), got {quoted(data)}.")


def _refuse_rate(sample_rate: int | None, why: str) -> None:
    if sample_rate is not None:
        raise OptionError(
            f"sample_rate is for arrays without one: {why}; leave it out (raw samples in bytes "
            "become an array with np.frombuffer)"
        )
