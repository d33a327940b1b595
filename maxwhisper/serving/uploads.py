"""Where visitors' recordings lie, and how they leave: the file goes as soon as it is decoded.

Owns one private folder per page process. Gradio is told to put every upload there; the folder is
emptied at start and at exit, and a janitor removes whatever is older than its time to live. The
samples of the last few recordings stay in memory for a repeated run, no longer than that.
"""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maxwhisper.audio import decode_in_child
from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.engine import Waveform
from maxwhisper.errors import AudioError

MAX_AUDIO_S = 600.0  # of one recording, counted while decoding
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
                self.sweep()
                also()

        threading.Thread(target=work, name="upload janitor", daemon=True).start()

    def sweep(self) -> None:
        """Forget recordings and remove files past their time to live, and folders left empty."""
        with self._decoded_lock:
            now = time.monotonic()
            old = [p for p, d in self._decoded.items() if now - d.at_s >= self._time_to_live_s]
            for path in old:
                del self._decoded[path]
        oldest = time.time() - self._time_to_live_s
        for folder, _, names in os.walk(self.root, topdown=False):
            for name in names:
                path = Path(folder, name)
                if _changed(path) < oldest:
                    path.unlink(missing_ok=True)
            if Path(folder) != self.root and _changed(Path(folder)) < oldest:
                _remove_if_empty(Path(folder))

    def waveform(self, path: Path, *, is_upload: bool) -> Waveform:
        """Samples of a recording, float32 mono 16 kHz, (n,). The file of an upload is deleted,
        whether it decodes or not. Raises `AudioError`."""
        with self._decoded_lock:
            known = self._decoded.get(path)
        if known is not None:
            if is_upload:  # the same recording, sent once more
                self.delete(path)
            return known.waveform
        source = self.check_inside(path) if is_upload else path
        try:
            waveform = decode_in_child(source, max_seconds=MAX_AUDIO_S)
        except AudioError as error:
            if error.code == "too_long":  # of a page: who visits one cannot allow more
                raise _too_long() from error
            raise
        finally:
            if is_upload:
                self.delete(source)
        seconds = waveform.size / SAMPLE_RATE
        if seconds < MIN_AUDIO_S:
            raise AudioError(
                "too_short",
                f"expected at least {MIN_AUDIO_S} s of sound, got {seconds:.3f} s: "
                "record a little longer",
            )
        with self._decoded_lock:
            self._decoded[path] = _Decoded(waveform, time.monotonic())
            while len(self._decoded) > KEPT_IN_MEMORY:
                del self._decoded[next(iter(self._decoded))]
        return waveform

    def forget(self, path: Path) -> None:
        """Keep the samples of a recording no longer."""
        with self._decoded_lock:
            self._decoded.pop(path, None)

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

    def delete(self, path: Path) -> None:
        """Remove one upload and the folder Gradio made for it."""
        path.unlink(missing_ok=True)
        if path.parent != self.root:
            _remove_if_empty(path.parent)

    def wipe(self) -> None:
        """Stop the janitor and remove everything."""
        self._closing.set()
        shutil.rmtree(self.root, ignore_errors=True)


def _too_long() -> AudioError:
    return AudioError(
        "too_long",
        f"expected at most {MAX_AUDIO_S / 60:.0f} minutes of sound, got more: cut the recording, "
        "or run it on your own machine, as the tab “Use it” shows",
    )


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
