"""Visitors' recordings: each file is decoded when it arrives, and deleted when it is used.

Owns one private folder per page process, where gradio stores every upload. The folder is emptied at
start and at exit, and a background thread deletes files past their time to live. The samples of the
last few recordings stay in memory for a repeated run, for the same time.
"""

import contextlib
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from maxwhisper.audio.container import Recording, refuse_non_audio
from maxwhisper.audio.load import decode_in_child
from maxwhisper.audio.signatures import HEAD_BYTES
from maxwhisper.audio.waveform import Waveform
from maxwhisper.engines.status import Cancelled, RunCancelled
from maxwhisper.errors import AudioError, OutputError
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.web.server.fair_use import LimitExceeded
from maxwhisper.web.server.visitor import LOCALHOST

MAX_AUDIO_S = 600.0  # of one recording, counted while decoding
MAX_FILE_MB = 25  # as uploaded
MIN_AUDIO_S = 0.1  # every word is longer
TIME_TO_LIVE_S = 1800.0  # longer than the longest wait in a full queue
SWEEP_EVERY_S = 60.0
MAX_FOLDER_BYTES = 2 * 1024**3  # 80 files of the largest size
MAX_VISITOR_BYTES = MAX_FOLDER_BYTES // 16  # 5 files of the largest size; 16 visitors fill it
KEEP_FREE_BYTES = 64 * 1024**2  # of the disk: for the races that are saved meanwhile
MAX_IN_MEMORY = 4  # decoded recordings: 600 s are 38 MB
MAX_CHECKS = 2  # recordings decoded at once on arrival; races decode beside them
_PREFIX = "maxwhisper-uploads-"
NO_ROOM = "The server has no room for another recording now. Try again in a few minutes."
log = logging.getLogger(__name__)


class NoRoom(OutputError):
    """The folder or its disk is full."""


def make_upload_folder(parent: Path | None = None) -> Path:
    """Create this process's empty folder, readable by its user only, and delete the folders of
    killed processes."""
    parent = parent or Path(tempfile.gettempdir())
    for leftover in parent.glob(f"{_PREFIX}*"):
        pid = leftover.name.removeprefix(_PREFIX)
        if pid.isdigit() and (int(pid) == os.getpid() or not _is_running(int(pid))):
            shutil.rmtree(leftover, ignore_errors=True)
    folder = parent / f"{_PREFIX}{os.getpid()}"
    folder.mkdir(mode=0o700)  # fails if the name exists, which another user could own
    return folder.resolve()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass(frozen=True)
class _Decoded:
    recording: Recording
    at_s: float  # monotonic
    is_upload: bool


class Uploads:
    """The folder `root`, its cleaning thread, and the last decoded recordings."""

    def __init__(
        self,
        root: Path,
        time_to_live_s: float = TIME_TO_LIVE_S,
        max_bytes: int = MAX_FOLDER_BYTES,
    ) -> None:
        self.root = root
        self._time_to_live_s = time_to_live_s
        self._max_bytes = max_bytes
        # Visitor and bytes of each upload that is being received; who sent a file, by inode: all
        # names of a file have the same one.
        self._reserved: list[tuple[str, int]] = []
        self._senders: dict[int, str] = {}
        self._reserved_lock = threading.Lock()
        self._closing = threading.Event()
        self._decoded: dict[Path, _Decoded] = {}  # oldest first
        self._decoded_lock = threading.Lock()
        self._checks = threading.BoundedSemaphore(MAX_CHECKS)

    def start_sweeping(
        self, every_s: float = SWEEP_EVERY_S, also: Callable[[], None] = lambda: None
    ) -> None:
        """Call `sweep` and `also` now and every `every_s` in a background thread, until `wipe`."""

        def work() -> None:
            while not self._closing.is_set():
                for task in (self.sweep, also):
                    try:
                        task()
                    except Exception:  # the thread must go on, or files would stay forever
                        log.exception("upload sweeper: internal error")
                self._closing.wait(every_s)

        threading.Thread(target=work, name="upload sweeper", daemon=True).start()

    def sweep(self) -> None:
        """Drop recordings and delete files past their time to live, and empty folders."""
        with self._decoded_lock:
            now = time.monotonic()
            old = [p for p, d in self._decoded.items() if now - d.at_s >= self._time_to_live_s]
            for path in old:
                del self._decoded[path]
        oldest = time.time() - self._time_to_live_s
        found = [
            Path(folder, name)
            for folder, folders, files in os.walk(self.root)
            for name in (*folders, *files)
        ]
        old = [path for path in found if _changed(path) < oldest]  # deleting changes folder times
        for path in sorted(old, reverse=True):  # files before their folder
            if path.is_dir():
                _remove_if_empty(path)
            else:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def reserve(self, n_bytes: int, visitor: str) -> Iterator[None]:
        """Keep room for a file of at most `n_bytes` while it is received. Raises `NoRoom`, and
        `LimitExceeded` if the visitor's own files take too much of it."""
        reserved = (visitor, n_bytes)
        with self._reserved_lock:
            self._check_room(n_bytes, visitor)
            self._reserved.append(reserved)
        try:
            yield
        finally:
            with self._reserved_lock:
                self._reserved.remove(reserved)

    def _check_room(self, n_bytes: int, visitor: str) -> None:
        """Raise what `reserve` does."""
        sizes = _sizes(self.root)
        self._senders = {inode: who for inode, who in self._senders.items() if inode in sizes}
        own = sum(sizes[inode] for inode, who in self._senders.items() if who == visitor)
        own += sum(each for who, each in self._reserved if who == visitor)
        if visitor != LOCALHOST and own + n_bytes > MAX_VISITOR_BYTES:
            raise LimitExceeded(
                f"Your recordings that wait on this server take {own / 2**20:.0f} MB, and each "
                f"visitor may have {MAX_VISITOR_BYTES / 2**20:.0f} MB. Run or remove one, or come "
                f"back in {self._time_to_live_s / 60:.0f} minutes.",
                self._time_to_live_s,
            )
        room = min(
            self._max_bytes - sum(sizes.values()),
            shutil.disk_usage(self.root).free - KEEP_FREE_BYTES,
        )
        if sum(each for _, each in self._reserved) + n_bytes > room:
            raise NoRoom(NO_ROOM)

    def sent(self, file: Path, visitor: str) -> None:
        """Count a file that was received, until it is deleted, as one of this visitor's."""
        with self._reserved_lock, contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            self._senders[file.stat().st_ino] = visitor

    def check(self, own: Path) -> str:
        """Decode an adopted upload as soon as it is here: a bad one is refused before anybody waits
        for it. Returns what of it could not be decoded, "" if nothing is missing. The file stays
        until `waveform`. Raises `AudioError` and deletes the file, unless the machine was too busy
        to tell."""
        try:
            with self._checks:
                return self._read(self.check_inside(own), own, is_upload=True).warning
        except AudioError as error:
            if error.code == "timeout":  # `waveform` tries once more
                return ""
            raise

    def recording(
        self, path: Path, *, is_upload: bool, cancelled: Cancelled = lambda: False
    ) -> Recording:
        """Samples of a recording and what of it could not be decoded. The file of an upload is
        deleted, whether it decodes or not. Raises `AudioError`, or `RunCancelled` when stopped.
        After a stop or a timeout the file stays for another run."""
        known = self._known(path)
        if known is None:
            source = self.check_inside(path) if is_upload else path
            known = self._read(source, path, is_upload=is_upload, cancelled=cancelled)
        if is_upload and path.is_file():
            self.delete(self.check_inside(path))
        return known

    def waveform(
        self, path: Path, *, is_upload: bool, cancelled: Cancelled = lambda: False
    ) -> Waveform:
        """The samples of `recording`, float32 mono 16 kHz, (n,)."""
        return self.recording(path, is_upload=is_upload, cancelled=cancelled).waveform

    def _known(self, path: Path) -> Recording | None:
        with self._decoded_lock:
            decoded = self._decoded.get(path)
        return decoded.recording if decoded is not None else None

    def _read(
        self,
        source: Path,
        path: Path,
        *,
        is_upload: bool,
        cancelled: Cancelled = lambda: False,
    ) -> Recording:
        """Decode the file `source` and remember it as `path`. An upload that cannot be decoded is
        deleted."""
        try:
            recording = _decode(source, cancelled)
        except AudioError as error:
            if is_upload and error.code != "timeout":
                self.delete(source)
            raise
        with self._decoded_lock:
            self._decoded[path] = _Decoded(recording, time.monotonic(), is_upload)
            while len(self._decoded) > MAX_IN_MEMORY:  # first what can be decoded again
                again = (
                    p for p, d in self._decoded.items() if not d.is_upload or _is_spare(p, path)
                )
                del self._decoded[next(again, next(iter(self._decoded)))]
        return recording

    def duration_s(self, path: Path) -> float | None:
        """Seconds of a decoded recording; None where its samples are not in memory."""
        known = self._known(path)
        return None if known is None else known.waveform.size / SAMPLE_RATE

    def is_available(self, path: Path) -> bool:
        """True if a recording can be run: its samples are in memory, or its file exists."""
        with self._decoded_lock:
            return path in self._decoded or path.is_file()

    def keep(self, path: Path) -> None:
        """Keep the file of a recording that waits for its turn: the sweeper deletes old ones."""
        with contextlib.suppress(OSError):  # decoded before
            os.utime(path)

    def forget(self, path: Path) -> None:
        """Drop the samples of a recording."""
        with self._decoded_lock:
            self._decoded.pop(path, None)

    def store(self, data: BinaryIO, n_bytes: int, visitor: str) -> Path:
        """Write a recording that came inside a message, as a file for `adopt`. Raises what
        `reserve` does."""
        with self.reserve(n_bytes, visitor):
            stored = Path(tempfile.mkdtemp(dir=self.root), "recording")
            try:
                with stored.open("wb") as file:
                    shutil.copyfileobj(data, file)
            except OSError as error:  # the disk is full all the same
                log.error("cannot store a recording: %s", error)
                shutil.rmtree(stored.parent, ignore_errors=True)
                raise NoRoom(NO_ROOM) from None
            self.sent(stored, visitor)
        return stored

    def adopt(self, path: str | Path) -> Path:
        """Give an upload a path of its own: gradio stores equal files of several visitors under one
        path, and no visitor may delete the others' file. Raises `AudioError` as `check_inside`
        does, and deletes the file if its first bytes are not those of a recording."""
        shared = self.check_inside(path)
        try:
            with shared.open("rb") as file:
                refuse_non_audio(file.read(HEAD_BYTES))
        except AudioError:  # an equal file of another visitor is refused too
            shared.unlink(missing_ok=True)
            if shared.parent != self.root:
                _remove_if_empty(shared.parent)
            raise
        own = Path(tempfile.mkdtemp(dir=self.root), shared.relative_to(self.root))
        own.parent.mkdir(parents=True, exist_ok=True)
        own.hardlink_to(shared)
        return own

    def check_inside(self, path: str | Path) -> Path:
        """Return `path` resolved. Raises `AudioError` unless it is a file in this folder: a request
        can name any file of the server."""
        resolved = Path(path).resolve()
        if not resolved.is_relative_to(self.root):
            raise AudioError("not_an_upload", "This is not an upload. Upload a file, or record.")
        if not resolved.is_file():
            raise AudioError("upload_gone", "This recording was deleted. Upload it again.")
        return resolved

    def delete(self, own: Path) -> None:
        """Delete an adopted upload and gradio's file of it, unless another visitor has sent that
        file again."""
        folder, *rest = own.relative_to(self.root).parts
        shared = self.root.joinpath(*rest)
        with contextlib.suppress(FileNotFoundError):  # swept meanwhile
            if shared.samefile(own):
                shared.unlink()
                _remove_if_empty(shared.parent)
        shutil.rmtree(self.root / folder, ignore_errors=True)

    def wipe(self) -> None:
        """Stop sweeping and delete everything."""
        self._closing.set()
        shutil.rmtree(self.root, ignore_errors=True)


def _decode(path: Path, cancelled: Cancelled) -> Recording:
    """A file within the page's limits. Raises `AudioError` or `RunCancelled`."""
    try:
        recording = decode_in_child(path, max_seconds=MAX_AUDIO_S, cancelled=cancelled)
    except AudioError as error:
        if error.code == "cancelled":
            raise RunCancelled from error
        if error.code == "too_long":  # the library's advice, a higher limit, is not for visitors
            raise AudioError(
                "too_long",
                f"This recording is longer than {MAX_AUDIO_S / 60:.0f} minutes. Cut it, or run it "
                "on your own machine: the tab “Use it” shows how.",
            ) from error
        raise
    seconds = recording.waveform.size / SAMPLE_RATE
    if seconds < MIN_AUDIO_S:
        raise AudioError(
            "too_short",
            f"This recording has {seconds:.3f} s of audio; the minimum is {MIN_AUDIO_S} s. "
            "Record a little longer.",
        )
    return recording


def _sizes(folder: Path) -> dict[int, int]:
    """The bytes of each file in `folder` by its inode: a file with several names counts once."""
    files = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                found = Path(parent, name).stat()
                files[found.st_ino] = found.st_size
    return files


def _changed(path: Path) -> float:
    """Time of the last status change, in seconds since the epoch; now for a file just deleted. The
    modification time does not serve: a copied clip keeps that of its original."""
    try:
        return path.stat().st_ctime
    except FileNotFoundError:
        return time.time()


def _is_spare(path: Path, kept: Path) -> bool:
    """True if the samples of `path` can be decoded again; those of `kept` are needed now."""
    return path != kept and path.is_file()


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # not empty, or already deleted
        return
