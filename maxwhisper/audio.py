"""Audio in: any common file, bytes or array becomes one float32 mono 16 kHz waveform.

Owns the three doors: `decode` here, `decode_in_child` for what strangers upload, `from_array`. Out:
a `Waveform` of shape (n,), n >= 1, finite; from files also within -1..1. Every failure is one
`AudioError`. Knows no container format (`container.py` does), no model and no page.
"""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from maxwhisper.container import read_sound
from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.errors import AudioError
from maxwhisper.mixdown import Mixdown, check_rate

if TYPE_CHECKING:  # the decoding child imports this file: it should load no checkpoint code
    from maxwhisper.engine import Waveform

_CHILD = (sys.executable, "-m", "maxwhisper.audio_child")
_CHILD_KEEPS = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "PYTHONPATH")  # no secrets go along


def decode(source: str | Path | bytes, *, max_seconds: float | None = None) -> Waveform:
    """Decode a recording to float32 mono 16 kHz, shape (n,), within -1..1.

    What is done to the sound: see `mixdown.Mixdown`; to damaged files: `container.read_sound`.
    `max_seconds` is enforced while decoding, on the samples found, whatever the file states.

    Raises `AudioError` only; its codes: missing_file, empty_file, not_audio, no_audio_stream,
    no_samples, truncated, bad_sample_rate, too_many_channels, too_long, bad_audio.
    """
    with _open_file(source) as file:
        return read_sound(file, max_seconds)


def decode_in_child(
    path: str | Path, *, max_seconds: float | None, timeout_s: float = 15.0
) -> Waveform:
    """`decode(path)` in a process of its own, with limits on memory, files and time.

    What strangers upload is decoded here: a crash of the decoder, a hang or a bomb ends the child,
    not the caller. Raises `AudioError`; besides the codes of `decode`: timeout, decoder_crashed.
    """
    package_root = str(Path(__file__).resolve().parents[1])
    env = {name: os.environ[name] for name in _CHILD_KEEPS if name in os.environ}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, env.get("PYTHONPATH")]))
    # One thread each: a thread pool per core would reserve more address space than the limit.
    env |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    request = [str(Path(path).absolute()), str(max_seconds), str(math.ceil(timeout_s))]
    try:
        child = subprocess.run(
            [*_CHILD, *request],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AudioError(
            "timeout", f"expected to decode within {timeout_s:g} s, stopped: send a shorter file"
        ) from error
    header, _, samples = child.stdout.partition(b"\n")
    try:
        report: dict[str, Any] = json.loads(header) if child.returncode == 0 else {}
    except ValueError:  # not JSON: it stopped before or while answering
        report = {}
    if "code" in report:
        raise AudioError(report["code"], report["message"])
    if len(samples) != np.float32().itemsize * report.get("samples", -1):
        raise AudioError(
            "decoder_crashed",
            f"expected the decoder to finish, got exit status {child.returncode}: "
            "convert the file to wav or flac",
        )
    return np.frombuffer(samples, np.float32).copy()


def from_array(samples: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> Waveform:
    """Check an array of mono samples, (n,) floats in about -1..1, and bring it to 16 kHz float32.

    No samples are no error here, as they are in a file: there will be no segments, as in the
    reference. Raises `AudioError` for another shape or type, and for NaN or Inf.
    """
    array = np.asarray(samples)
    if array.ndim != 1:
        raise AudioError(
            "bad_audio",
            f"expected mono samples of shape (n,), got {array.shape}: average the channels first",
        )
    if array.dtype.kind != "f":
        raise AudioError(
            "bad_audio",
            f"expected float samples in -1..1, got {array.dtype}: divide int16 by 32768 first",
        )
    check_rate(sample_rate)
    waveform = array.astype(np.float32)
    if array.size == 0:
        return waveform
    if not np.isfinite(waveform).all():
        where = int(np.argmin(np.isfinite(waveform)))
        raise AudioError(
            "bad_audio", f"expected finite samples, got {array[where]} at {where}: remove it first"
        )
    mixdown = Mixdown(sample_rate, channels=1)
    mixdown.add(waveform[None])
    return mixdown.finish()


def _open_file(source: str | Path | bytes) -> BinaryIO:
    """An open, non-empty, seekable file. Opened here, so that no name reaches FFmpeg as a URL."""
    if isinstance(source, bytes):
        file: BinaryIO = io.BytesIO(source)
    else:
        path = Path(source)
        if not path.is_file():
            raise AudioError(
                "missing_file",
                f"expected an audio file at {str(path)!r}, found none: check the path "
                "(addresses are not fetched, download them first)",
            )
        try:
            file = path.open("rb")
        except OSError as error:
            raise AudioError("missing_file", f"expected a readable file: {error}") from error
    if not file.read(1):
        file.close()
        raise AudioError("empty_file", "expected audio, got a file of 0 bytes: record it again")
    file.seek(0)
    return file
