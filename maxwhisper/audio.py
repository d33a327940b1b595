"""Audio in: any common file, bytes or array becomes one float32 mono 16 kHz waveform.

Owns the three doors: `decode` here, `decode_in_child` for what strangers upload, `from_array`. Out:
a `Waveform` of shape (n,), n >= 1, finite; from files also within -1..1. Long ones are arrays over
a file (`samples.py`). Every failure is one `AudioError`. Knows no container format (`container.py`
does), no model and no page.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from maxwhisper.container import read_sound
from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.errors import AudioError
from maxwhisper.mixdown import LOUDEST, Mixdown, check_rate
from maxwhisper.samples import read_samples

if TYPE_CHECKING:  # the decoding child imports this file: it should load no checkpoint code
    from maxwhisper.engine import Waveform

_CHILD = (sys.executable, "-m", "maxwhisper.audio_child")
_ARRAY_BLOCK = 60 * SAMPLE_RATE  # samples: a caller's array is gone through 4 MB at a time
_LOOK_S = 0.1  # how soon a child is ended that nobody waits for any more
_CHILD_KEEPS = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "PYTHONPATH")  # no secrets go along


def decode(source: str | Path | bytes, *, max_seconds: float | None = None) -> Waveform:
    """Decode a recording to float32 mono 16 kHz, shape (n,), within -1..1.

    What is done to the sound: see `mixdown.Mixdown`; to damaged files: `container.read_sound`.
    `max_seconds` is enforced while decoding, on the samples found, whatever the file states.
    More than 30 min of sound are kept in a temporary file, and the array is a window on it: read it
    with `samples.read_samples` where memory counts.

    Raises `AudioError` only; its codes: missing_file, empty_file, not_audio, no_audio_stream,
    no_samples, truncated, bad_sample_rate, too_many_channels, too_long, bad_audio.
    """
    with _open_file(source) as file:
        return read_sound(file, max_seconds)


def _never() -> bool:
    return False


def decode_in_child(
    path: str | Path,
    *,
    max_seconds: float | None,
    timeout_s: float = 15.0,
    cancelled: Callable[[], bool] = _never,
) -> Waveform:
    """`decode(path)` in a process of its own, with limits on memory, files and time.

    What strangers upload is decoded here: a crash of the decoder, a hang or a bomb ends the child,
    not the caller; so does `cancelled`. The child may write no file, so more than 30 min of sound
    are too_long. Raises `AudioError`; besides the codes of `decode`: timeout, decoder_crashed,
    cancelled.
    """
    package_root = str(Path(__file__).resolve().parents[1])
    env = {name: os.environ[name] for name in _CHILD_KEEPS if name in os.environ}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, env.get("PYTHONPATH")]))
    # One thread each: a thread pool per core would reserve more address space than the limit.
    env |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    request = [str(Path(path).absolute()), str(max_seconds), str(math.ceil(timeout_s))]
    answer, status = _answer_of([*_CHILD, *request], env, timeout_s, cancelled)
    header = answer[: answer.find(b"\n") + 1]
    try:
        report: dict[str, Any] = json.loads(header) if status == 0 else {}
    except ValueError:  # not JSON: it stopped before or while answering
        report = {}
    if "code" in report:
        raise AudioError(report["code"], report["message"])
    if len(answer) - len(header) != np.float32().itemsize * report.get("samples", -1):
        raise AudioError(
            "decoder_crashed",
            f"expected the decoder to finish, got exit status {status}: "
            "convert the file to wav or flac",
        )
    return np.frombuffer(answer, np.float32, offset=len(header)).copy()


def _answer_of(
    command: list[str], env: dict[str, str], timeout_s: float, cancelled: Callable[[], bool]
) -> tuple[bytes, int]:
    """What a child wrote, and its exit status. Ends it, and raises `AudioError`, when it takes too
    long or is not wanted any more."""
    started_s = time.monotonic()
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, env=env, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet
    ) as child:
        try:
            while True:
                # What came until the timeout is kept for the next look.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return child.communicate(timeout=_LOOK_S)[0], child.returncode
                if cancelled():
                    raise AudioError("cancelled", "stopped while the recording was read")
                taken_s = time.monotonic() - started_s
                if taken_s > timeout_s:
                    raise AudioError(
                        "timeout",
                        f"expected to read the file within {timeout_s:g} s, stopped unfinished "
                        f"after {taken_s:.1f} s: cut a long recording into parts; with a short one "
                        "it is this machine that is busy, try again later",
                    )
        finally:
            child.kill()


def from_array(samples: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> Waveform:
    """Check an array of mono samples, (n,), and bring it to 16 kHz float32.

    Floats are in about -1..1, int16 fills its range and is divided by 32768. An array that is a
    `Waveform` already comes back itself. No samples are no error here, as they are in a file: there
    will be no segments, as in the reference. Raises `AudioError` for another shape or type, and for
    NaN, Inf and absurd values.
    """
    array = np.asarray(samples)
    if array.ndim != 1:
        raise AudioError(
            "bad_audio",
            f"expected mono samples of shape (n,), got {array.shape}: average the channels first",
        )
    if array.dtype.kind != "f" and array.dtype != np.int16:
        raise AudioError(
            "bad_audio",
            f"expected int16 samples, or floats in -1..1, got {array.dtype}: scale them first",
        )
    check_rate(sample_rate)
    is_waveform = array.dtype == np.float32 and sample_rate == SAMPLE_RATE
    mixdown = Mixdown(sample_rate, channels=1)
    for start in range(0, len(array), _ARRAY_BLOCK):
        block = read_samples(array, start, start + _ARRAY_BLOCK)
        sane = np.abs(block) <= LOUDEST  # NaN is not
        if not sane.all():
            where = int(np.argmin(sane))
            raise AudioError(
                "bad_audio",
                f"expected samples in about -1..1, got {block[where]} at {start + where}: "
                "remove it first",
            )
        if not is_waveform:
            mixdown.add(block[None])
    return array if is_waveform else mixdown.finish()


def _open_file(source: str | Path | bytes) -> BinaryIO:
    """An open, non-empty, seekable file. Opened here, so that no name reaches FFmpeg as a URL."""
    if isinstance(source, bytes):
        file: BinaryIO = io.BytesIO(source)
    else:
        path = Path(source)
        if path.is_dir():
            raise AudioError(
                "missing_file", f"expected an audio file, got the folder {str(path)!r}: name a file"
            )
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
