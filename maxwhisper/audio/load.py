"""Load audio: a common media file becomes one float32 mono 16 kHz waveform.

Owns the entry points: `decode`, `read` for those who show its warning themselves, and
`decode_in_child` for untrusted uploads. In: a file, or its bytes. Out: a `Waveform` of shape (n,),
n >= 1, finite, within -1..1. Long waveforms are arrays over a file (`samples.py`). Every failure is
an `AudioError`. This module knows no container format (`container.py` does), no model and no page.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from maxwhisper.audio.container import Recording, read_audio
from maxwhisper.audio.waveform import Waveform
from maxwhisper.errors import AudioError, AudioWarning, quoted

File = str | os.PathLike[str] | bytes | bytearray | memoryview

_CHILD = (sys.executable, "-m", "maxwhisper.audio.isolated")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_POLL_S = 0.1  # how soon a cancelled child is ended
_CHILD_ENV = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "PYTHONPATH")  # no secrets reach the child


def decode(source: File, *, max_seconds: float | None = None) -> Waveform:
    """Decode a recording to float32 mono 16 kHz, shape (n,), within -1..1.

    `resample.Mixdown` describes the signal processing, `container.read_audio` the treatment of
    damaged files. `max_seconds` is enforced on the decoded samples while decoding, whatever length
    the file states. More than 30 min of audio is kept in a temporary file, and the array is mapped
    onto it; `samples.read_samples` reads it with bounded memory.

    Warns with an `AudioWarning` if part of the recording could not be decoded. Raises `AudioError`
    only; its codes: missing_file, empty_file, not_audio, no_audio_stream, unknown_codec,
    no_samples, truncated, bad_sample_rate, too_many_channels, too_many_samples, too_long,
    bad_audio.
    """
    recording = read(source, max_seconds=max_seconds)
    if recording.warning:
        warnings.warn(recording.warning, AudioWarning, stacklevel=2)
    return recording.waveform


def read(source: File, *, max_seconds: float | None = None) -> Recording:
    """`decode`, with the warning as a value."""
    with _open_file(source) as file:
        return read_audio(file, max_seconds)


def _never() -> bool:
    """Report that the caller has not cancelled."""
    return False


def decode_in_child(
    path: str | Path,
    *,
    max_seconds: float | None,
    timeout_s: float = 15.0,
    cancelled: Callable[[], bool] = _never,
) -> Recording:
    """Run `read(path)` in a child process with limits on memory, files and time.

    Use this for untrusted uploads: a crash of the decoder, a hang or a decompression bomb ends the
    child, not the caller. `cancelled` is polled and ends the child too. The child may write no
    file, so more than 30 min of audio is too_long. Raises `AudioError` with the codes of `decode`
    and timeout, decoder_crashed, cancelled.
    """
    package_root = str(Path(__file__).resolve().parents[2])
    env = {name: os.environ[name] for name in _CHILD_ENV if name in os.environ}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, env.get("PYTHONPATH")]))
    # One thread per library: a pool per core would reserve more address space than the limit.
    env |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    request = [str(Path(path).absolute()), str(max_seconds), str(math.ceil(timeout_s))]
    answer, status = _run_child([*_CHILD, *request], env, timeout_s, cancelled)
    header = answer[: answer.find(b"\n") + 1]
    try:
        report: dict[str, Any] = json.loads(header) if status == 0 else {}
    except ValueError:  # not JSON: the child stopped before or during its answer
        report = {}
    if "code" in report:
        raise AudioError(report["code"], report["message"])
    if len(answer) - len(header) != np.float32().itemsize * report.get("samples", -1):
        raise AudioError(
            "decoder_crashed",
            f"The decoder crashed with exit status {status}. Convert the file to wav or flac.",
        )
    waveform = np.frombuffer(answer, np.float32, offset=len(header)).copy()
    return Recording(waveform, report["warning"])


def _run_child(
    command: list[str], env: dict[str, str], timeout_s: float, cancelled: Callable[[], bool]
) -> tuple[bytes, int]:
    """Return a child's output and exit status.

    Kills the child and raises `AudioError` after `timeout_s` or when `cancelled()` is true.
    """
    started_s = time.monotonic()
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, env=env, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet
    ) as child:
        try:
            while True:
                # communicate() keeps the output read so far for its next call.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return child.communicate(timeout=_POLL_S)[0], child.returncode
                if cancelled():
                    raise AudioError("cancelled", "Cancelled while the recording was read.")
                taken_s = time.monotonic() - started_s
                if taken_s > timeout_s:
                    raise AudioError(
                        "timeout",
                        f"Reading the file was stopped after {taken_s:.1f} s; the limit is "
                        f"{timeout_s:g} s. Split a long recording into parts. If it is short, the "
                        "machine is busy: try again later.",
                    )
        finally:
            child.kill()


def _open_file(source: File) -> BinaryIO:
    """Open a non-empty, seekable file. Opening it here keeps FFmpeg from reading a name as a
    URL."""
    if isinstance(source, str | os.PathLike):
        file = _open_path(os.path.expanduser(os.fspath(source)))
    else:
        file = io.BytesIO(source)
    if not file.read(1):
        file.close()
        raise AudioError("empty_file", "This file is empty (0 bytes). Record it again.")
    file.seek(0)
    return file


def _open_path(name: str) -> BinaryIO:
    if _URL.match(name):
        raise AudioError(
            "missing_file",
            f"URLs are not supported, got {quoted(name)}. Download the file, and give its path.",
        )
    path = Path(name)
    try:
        if path.is_dir():
            raise AudioError(
                "missing_file", f"{quoted(name)} is a folder. Name an audio file in it."
            )
        if not path.is_file():
            raise AudioError("missing_file", f"There is no file at {quoted(name)}. Check the path.")
        return path.open("rb")
    except OSError as error:  # not readable, or a name that no file can have
        raise AudioError(
            "missing_file",
            f"{quoted(name)} cannot be read: {error.strerror or error}. Check the path.",
        ) from error
