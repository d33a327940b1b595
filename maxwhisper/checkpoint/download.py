"""Complete a file from the network: resumable, with progress, verified, moved into place.

In: how to open the file at an offset, and the sha256 that its publisher states. Out: the path of a
verified file. Owns the progress of a download. Reads no content, and knows no address but OpenAI's.
"""

import errno
import shutil
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from maxwhisper.cache import sha256_of
from maxwhisper.checkpoint.registry import OfficialModel
from maxwhisper.errors import CheckpointError
from maxwhisper.paths import cannot_keep, locked, make_folder, remove

Progress = Callable[[str], None]  # one line for people, for example "compiling graphs: 41 s"

BLOCK_BYTES = 1 << 17  # a second at 1 Mbit/s, so that slow downloads show progress
TIMEOUT_S = 30  # without receiving a byte
_WAITS_S = (1.0, 2.0, 4.0)  # before a broken connection is opened again, if it brought nothing
_LINE_EVERY_S = 1.0
_REPORT_EVERY_S = 0.25
_SPEED_OVER_S = 10.0  # the speed is that of the last seconds
_MIB = 1 << 20
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)  # of an `OSError`


@dataclass(frozen=True)
class DownloadProgress:
    """How far one download is. A resumed download begins with the bytes that it had."""

    name: str  # of the model: "base"
    done_bytes: int
    total_bytes: int | None  # None if the server does not say
    bytes_per_s: float | None  # over the last ten seconds; None at the beginning

    @property
    def seconds_left(self) -> float | None:
        """Return the time to the end at this speed, None if it is not known."""
        if not self.bytes_per_s or self.total_bytes is None:
            return None
        return (self.total_bytes - self.done_bytes) / self.bytes_per_s

    @property
    def line(self) -> str:
        """Return one line for people: "downloading base: 45 of 139 MiB, 12.3 MiB/s, 8 s left"."""
        total = "" if self.total_bytes is None else f" of {self.total_bytes / _MIB:.0f}"
        parts = [f"downloading {self.name}: {self.done_bytes / _MIB:.0f}{total} MiB"]
        if self.bytes_per_s:
            parts.append(f"{self.bytes_per_s / _MIB:.1f} MiB/s")
        if (left_s := self.seconds_left) is not None:
            parts.append(f"{left_s:.0f} s left" if left_s < 100 else f"{left_s / 60:.0f} min left")
        return ", ".join(parts)


OnDownload = Callable[[DownloadProgress], None]


class Unreachable(CheckpointError):
    """Weights that are not on this disk and cannot be downloaded now."""


class Broken(Exception):
    """A connection that could not be opened, or ended early. Its text is the reason."""


@dataclass(frozen=True)
class Answer:
    """A file that a server sends. Its `blocks` raise `Broken`."""

    start: int  # the first byte that is sent: 0 if the server cannot begin where it was asked to
    total: int | None  # bytes of the whole file
    blocks: Iterator[bytes]


OpenAt = Callable[[int], AbstractContextManager[Answer]]  # at a byte; raises `Broken`


def watch(on_download: OnDownload | None, progress: Progress | None) -> OnDownload:
    """Return `on_download`, or a callback that gives `progress` a line at most once a second."""
    if on_download is not None:
        return on_download
    last_s = -_LINE_EVERY_S

    def report(state: DownloadProgress) -> None:
        nonlocal last_s
        if progress and time.monotonic() - last_s >= _LINE_EVERY_S:
            last_s = time.monotonic()
            progress(state.line)

    return report


class Meter:
    """Counts the bytes of one download and reports them a few times a second, and at the end."""

    def __init__(self, name: str, report: OnDownload) -> None:
        self._name, self._report = name, report
        self._done = 0
        self._total: int | None = None
        self._reported_s = -_REPORT_EVERY_S
        n_kept = round(_SPEED_OVER_S / _REPORT_EVERY_S)
        self._history: deque[tuple[float, int]] = deque(maxlen=n_kept)  # (time in s, bytes done)

    def begin(self, done: int, total: int | None) -> None:
        """Start to count at `done` bytes. Without this call, the first answer says where."""
        self._done, self._total = done, total
        self._history.clear()
        self._history.append((time.monotonic(), done))

    def opened(self, had: int, answer: Answer) -> None:
        """Go on with an answer to a request for the bytes after the first `had` of a file."""
        if self._total is None:
            self.begin(answer.start, answer.total)
        else:
            self.begin(self._done + answer.start - had, self._total)

    def add(self, n_bytes: int) -> None:
        """Count bytes that are on the disk now. Raises what the callback raises."""
        self._done += n_bytes
        now_s = time.monotonic()
        if self._done != self._total and now_s - self._reported_s < _REPORT_EVERY_S:
            return
        self._reported_s = now_s
        began_s, had = self._history[0]
        speed = (self._done - had) / (now_s - began_s) if now_s > began_s else None
        self._history.append((now_s, self._done))
        self._report(DownloadProgress(self._name, self._done, self._total, speed))


def fetch(
    model: OfficialModel, folder: Path, report: OnDownload, say: Progress, name: str = ""
) -> Path:
    """Return the verified file of `model` in `folder`, and download it if it is missing.

    An interrupted download resumes. A second process waits for the first. Raises `CheckpointError`
    if the URL cannot be reached (with instructions for a manual download) or if the content has
    another sha256 than OpenAI published, and any exception of `report`.
    """
    path = folder / model.file_name
    if is_intact(path, model.sha256):
        return path
    make_folder(folder)
    waiting = f"waiting for another process to finish {model.file_name}"
    with locked(folder / f"{model.file_name}.lock", lambda: say(waiting)):
        if is_intact(path, model.sha256):  # another process was faster
            return path
        part = folder / f"{model.file_name}.part"
        try:
            if part.is_dir():  # damage
                remove(part)
            meter = Meter(name or model.file_name, report)
            complete(part, lambda start: _open(model.url, start), meter)
        except Broken as error:
            wrong = " The existing file there has another sha256." if path.exists() else ""
            raise Unreachable(
                f"cannot download {model.url} ({error}). Try again, it will resume; or download "
                f"it on another machine and copy it to {path} (sha256 {model.sha256}).{wrong}"
            ) from error
        except OSError as error:
            raise cannot_keep(model.file_name, folder, error) from error
        found = sha256_of(part)
        if found != model.sha256:
            part.unlink()
            raise CheckpointError(
                f"expected sha256 {model.sha256} of {model.url}, got {found}: the damaged download "
                "was deleted, try again"
            )
        try:
            if path.is_dir():  # damage
                remove(path)
            part.replace(path)
        except OSError as error:
            raise cannot_keep(model.file_name, folder, error) from error
    return path


def is_intact(path: Path, sha256: str) -> bool:
    """Return True if the file exists and has this sha256."""
    try:
        return path.is_file() and sha256_of(path) == sha256
    except OSError:  # it cannot be read
        return False


def complete(part: Path, open_at: OpenAt, meter: Meter) -> None:
    """Append to `part` what is missing of a file. A connection that breaks is opened again, where
    it broke; the first must open at once.

    Raises `Broken` if several in a row bring nothing, `CheckpointError` without room on the disk,
    `OSError` of a write, and any exception of the meter's callback.
    """
    had_at_first = _size(part)
    waits_s = iter(_WAITS_S)
    while True:
        had = _size(part)
        try:
            with open_at(had) as answer:
                _append(part, had, answer, meter)
            return
        except Broken:
            has = _size(part)
            if has > had:
                waits_s = iter(_WAITS_S)
            wait_s = next(waits_s, None) if has > had_at_first else None
            if wait_s is None:
                raise
            time.sleep(wait_s)


def _append(part: Path, had: int, answer: Answer, meter: Meter) -> None:
    if answer.total is not None:
        check_room(part.parent, answer.total - answer.start)
    meter.opened(had, answer)
    done = answer.start
    with part.open("ab" if answer.start else "wb") as file:
        for block in answer.blocks:
            file.write(block)
            done += len(block)
            meter.add(len(block))
    if answer.total is not None and done < answer.total:
        raise Broken(f"the connection ended after {done} of {answer.total} bytes")


@contextmanager
def _open(url: str, start: int) -> Iterator[Answer]:
    """Open an address of OpenAI's at a byte."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:  # range not satisfiable: no byte is missing; the sha256 is checked
            raise Broken(str(error)) from error
        yield Answer(start, start, iter(()))
        return
    except (OSError, HTTPException) as error:
        raise Broken(str(error)) from error
    with response:
        if response.status != 206:  # the server sends the whole file
            start = 0
        n_bytes = response.headers.get("Content-Length")
        yield Answer(start, None if n_bytes is None else start + int(n_bytes), _blocks(response))


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    try:
        while block := response.read(BLOCK_BYTES):
            yield block
    except (OSError, HTTPException) as error:
        raise Broken(str(error)) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def check_room(folder: Path, needed: int) -> None:
    """Raise `CheckpointError` if `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CheckpointError(
            f"expected {needed // _MIB} MiB free in {folder}, found {free // _MIB}: free some "
            "space or set MAXWHISPER_CACHE to another disk"
        )
