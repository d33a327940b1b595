"""Where visitors' recordings lie, and how they leave: the file goes as soon as it is decoded.

Owns one private folder per page process. Gradio is told to put every upload there; the folder is
emptied at start and at exit, and a janitor removes whatever is older than its time to live. The
samples of the last few recordings stay in memory for a repeated run, no longer than that.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maxwhisper.audio import decode_in_child
from maxwhisper.container import refuse_other
from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.engine import Waveform
from maxwhisper.errors import AudioError
from maxwhisper.serving.status import Cancelled, RunCancelled
from maxwhisper.signatures import HEAD_BYTES

MAX_AUDIO_S = 600.0  # of one recording, counted while decoding
MAX_FILE_MB = 25  # as it is sent
MIN_AUDIO_S = 0.1  # shorter than any word
TIME_TO_LIVE_S = 1800.0  # longer than the longest wait in a full queue
SWEEP_EVERY_S = 60.0
KEPT_IN_MEMORY = 4  # decoded recordings: 600 s are 38 MB
_PREFIX = "maxwhisper-uploads-"


def make_upload_folder(parent: Path | None = None) -> Path:
    """Create this process's empty folder, readable by its user alone, and remove the folders that
    killed processes left beside it."""
    parent = parent or Path(tempfile.gettempdir())
    for leftover in parent.glob(f"{_PREFIX}*"):
        pid = leftover.name.removeprefix(_PREFIX)
        if pid.isdigit() and (int(pid) == os.getpid() or not _is_running(int(pid))):
            shutil.rmtree(leftover, ignore_errors=True)
    folder = parent / f"{_PREFIX}{os.getpid()}"
    folder.mkdir(mode=0o700)  # fails if somebody else owns that name: then nothing is stored there
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
    waveform: Waveform
    at_s: float  # monotonic
    is_upload: bool  # its file is gone


class Uploads:
    """The folder `root`, its janitor, and the few decoded recordings."""

    def __init__(self, root: Path, time_to_live_s: float = TIME_TO_LIVE_S) -> None:
        self.root = root
        self._time_to_live_s = time_to_live_s
        self._closing = threading.Event()
        self._decoded: dict[Path, _Decoded] = {}  # oldest first
        self._decoded_lock = threading.Lock()

    def start_janitor(
        self, every_s: float = SWEEP_EVERY_S, also: Callable[[], None] = lambda: None
    ) -> None:
        """Sweep old files in the background until `wipe`, and do what is to be done `also`."""

        def work() -> None:
            while not self._closing.wait(every_s):
                for task in (self.sweep, also):
                    try:
                        task()
                    except Exception:  # files would stay for ever without this thread
                        print("upload janitor: internal error", file=sys.stderr)
                        traceback.print_exc()

        threading.Thread(target=work, name="upload janitor", daemon=True).start()

    def sweep(self) -> None:
        """Forget recordings and remove files past their time to live, and folders left empty."""
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
        old = [path for path in found if _changed(path) < oldest]  # before anything is touched
        for path in sorted(old, reverse=True):  # what is in a folder before the folder
            if path.is_dir():
                _remove_if_empty(path)
            else:
                path.unlink(missing_ok=True)

    def waveform(
        self, path: Path, *, is_upload: bool, cancelled: Cancelled = lambda: False
    ) -> Waveform:
        """Samples of a recording, float32 mono 16 kHz, (n,). The file of an upload is deleted,
        whether it decodes or not. Raises `AudioError`, or `RunCancelled` when stopped: then, and
        when the machine was too busy to read it in time, the file stays, for another run."""
        with self._decoded_lock:
            known = self._decoded.get(path)
        if known is not None:
            return known.waveform
        source = self.check_inside(path) if is_upload else path
        try:
            waveform = _decode(source, cancelled)
        except AudioError as error:
            if is_upload and error.code != "timeout":
                self.delete(source)
            raise
        if is_upload:
            self.delete(source)
        with self._decoded_lock:
            self._decoded[path] = _Decoded(waveform, time.monotonic(), is_upload)
            while len(self._decoded) > KEPT_IN_MEMORY:  # clips first: they can be read again
                clips = (p for p, decoded in self._decoded.items() if not decoded.is_upload)
                del self._decoded[next(clips, next(iter(self._decoded)))]
        return waveform

    def is_there(self, path: Path) -> bool:
        """True for a recording that can be run: its samples are in memory, or its file is there."""
        with self._decoded_lock:
            return path in self._decoded or path.is_file()

    def forget(self, path: Path) -> None:
        """Keep the samples of a recording no longer."""
        with self._decoded_lock:
            self._decoded.pop(path, None)

    def adopt(self, path: str | Path) -> Path:
        """A visitor's own name of an upload: gradio gives all who send the same file one path, and
        none of them may delete it for the others. Raises `AudioError` as `check_inside` does, and
        for what is no recording by its first bytes: a visitor need not run it to be told."""
        shared = self.check_inside(path)
        with shared.open("rb") as file:
            refuse_other(file.read(HEAD_BYTES))
        own = Path(tempfile.mkdtemp(dir=self.root), shared.relative_to(self.root))
        own.parent.mkdir(parents=True, exist_ok=True)
        own.hardlink_to(shared)
        return own

    def check_inside(self, path: str | Path) -> Path:
        """Return `path` resolved. Raises `AudioError` unless it is a file in this folder: a payload
        can name any file of the server."""
        resolved = Path(path).resolve()
        if not resolved.is_relative_to(self.root):
            raise AudioError(
                "not_an_upload", "expected an uploaded recording: upload one, or record"
            )
        if not resolved.is_file():
            raise AudioError("upload_gone", "this recording was already deleted: upload it again")
        return resolved

    def delete(self, own: Path) -> None:
        """Remove one adopted upload, and the file that gradio stored, unless somebody else has sent
        that one anew."""
        folder, *rest = own.relative_to(self.root).parts
        shared = self.root.joinpath(*rest)
        with contextlib.suppress(FileNotFoundError):  # by the janitor meanwhile
            if shared.samefile(own):
                shared.unlink()
                _remove_if_empty(shared.parent)
        shutil.rmtree(self.root / folder, ignore_errors=True)

    def wipe(self) -> None:
        """Stop the janitor and remove everything."""
        self._closing.set()
        shutil.rmtree(self.root, ignore_errors=True)


def _decode(path: Path, cancelled: Cancelled) -> Waveform:
    """Samples of a file within the page's limits. Raises `AudioError` or `RunCancelled`."""
    try:
        waveform = decode_in_child(path, max_seconds=MAX_AUDIO_S, cancelled=cancelled)
    except AudioError as error:
        if error.code == "cancelled":
            raise RunCancelled from error
        if error.code == "too_long":  # of a page: who visits one cannot allow more
            raise AudioError(
                "too_long",
                f"expected at most {MAX_AUDIO_S / 60:.0f} minutes of sound, got more: cut the "
                "recording, or run it on your own machine, as the tab “Use it” shows",
            ) from error
        raise
    seconds = waveform.size / SAMPLE_RATE
    if seconds < MIN_AUDIO_S:
        raise AudioError(
            "too_short",
            f"expected at least {MIN_AUDIO_S} s of sound, got {seconds:.3f} s: "
            "record a little longer",
        )
    return waveform


def _changed(path: Path) -> float:
    """Seconds since the epoch; now for a file that another thread has just removed. Not the time of
    modification: a copied clip keeps that of the original."""
    try:
        return path.stat().st_ctime
    except FileNotFoundError:
        return time.time()


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # not empty, or gone: both are fine
        return
