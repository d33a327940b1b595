"""What to transcribe: the recordings that a command line names, and their samples.

In: files, folders, globs, and `-` for standard input. Out: a `Source` for each recording, and
groups of decoded ones. A name that leads to no recording is a source with an error, so that it is
reported beside the others and does not stop them.
"""

import glob
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from maxwhisper.errors import AudioError
from maxwhisper.network.dims import SAMPLE_RATE

if TYPE_CHECKING:
    from maxwhisper.audio.container import Recording

STDIN = "-"
LAST_FILE_S = 1.0  # how long an interrupt waits for the file that is being decoded
# Endings of the formats that `audio.container` reads.
ENDINGS = (
    *(".3gp", ".aac", ".aif", ".aifc", ".aiff", ".amr", ".asf", ".caf", ".flac", ".m4a", ".m4b"),
    *(".m4v", ".mka", ".mkv", ".mov", ".mp3", ".mp4", ".oga", ".ogg", ".ogv", ".opus", ".w64"),
    *(".wav", ".wave", ".webm", ".wma", ".wmv"),
)


@dataclass(frozen=True)
class Source:
    """A recording by name. `subfolder` is where it was below a folder of the command line."""

    name: str
    subfolder: Path = Path()
    error: AudioError | None = None

    @property
    def folder(self) -> Path:
        """Where it is; the current folder for standard input."""
        return Path() if self.name == STDIN else Path(self.name).parent

    @property
    def stem(self) -> str:
        return "stdin" if self.name == STDIN else Path(self.name).stem

    def read(self) -> "Recording":
        """Decode it. Raises `AudioError`."""
        from maxwhisper.audio.load import read

        if self.error is not None:
            raise self.error
        return read(_all_of_standard_input() if self.name == STDIN else self.name)


@dataclass(frozen=True)
class Heard:
    """A source and its samples, or the error instead of them."""

    source: Source
    recording: "Recording | None"
    error: AudioError | None = None

    @property
    def audio_s(self) -> float:
        return 0.0 if self.recording is None else len(self.recording.waveform) / SAMPLE_RATE


def standard_input() -> BinaryIO:
    """The bytes of standard input. Raises `AudioError` if it is closed."""
    if sys.stdin is None:
        raise AudioError("missing_file", "standard input is closed: name a file")
    return sys.stdin.buffer


def _all_of_standard_input() -> bytes:
    """Without its buffer, whose lock no thread may hold when the process ends."""
    buffered = standard_input()
    data: bytes = getattr(buffered, "raw", buffered).read()
    return data


def find_sources(names: Sequence[str]) -> list[Source]:
    """The recordings of the names, each once, in their order; those of a folder are sorted.

    A folder stands for all files below it with one of `ENDINGS`, but for hidden ones. Symbolic
    links to folders are not followed.
    """
    found: dict[str, Source] = {}
    for name in names:
        for source in _named(name):
            found.setdefault(source.name, source)
    return list(found.values())


def _named(name: str) -> Iterator[Source]:
    path = name if os.path.lexists(name) else os.path.expanduser(name)
    if name == STDIN:
        yield Source(name)
    elif os.path.isdir(path):
        yield from _below(path)
    elif glob.has_magic(path) and not os.path.lexists(path):
        matches = sorted(glob.glob(path, recursive=True))
        for match in matches:
            yield from _below(match) if os.path.isdir(match) else (Source(match),)
        if not matches:
            yield _none(name, f"expected files that match {name!r}, got none")
    else:
        yield Source(path)


def _below(folder: str) -> Iterator[Source]:
    unreadable: list[OSError] = []
    n_found = 0
    for parent, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in ENDINGS and not name.startswith("."):
                n_found += 1
                yield Source(os.path.join(parent, name), Path(parent).relative_to(folder))
    for error in unreadable:
        yield _none(str(error.filename), f"cannot read the folder: {error.strerror}")
    if not n_found and not unreadable:
        yield _none(folder, "no recording in this folder: name a file of another ending itself")


def _none(name: str, reason: str) -> Source:
    return Source(name, error=AudioError("missing_file", reason))


def read_ahead(sources: Sequence[Source], group_s: float) -> Iterator[list[Heard]]:
    """Groups of decoded recordings, in order; a group ends when it has `group_s` of audio.

    The next group is decoded in a thread while the caller works on one, so that at most two groups
    are in memory.
    """
    stopped = threading.Event()
    waiting = iter(sources)

    def read_group() -> list[Heard]:
        group: list[Heard] = []
        while not stopped.is_set() and (source := next(waiting, None)) is not None:
            group.append(_heard(source))
            if sum(heard.audio_s for heard in group) >= group_s:
                break
        return group

    try:
        group, thread = _in_thread(read_group)
        while heard := group.result():
            group, thread = _in_thread(read_group)
            yield heard
    finally:
        stopped.set()
        thread.join(LAST_FILE_S)


def _in_thread(work: Callable[[], list[Heard]]) -> "tuple[Future[list[Heard]], threading.Thread]":
    """Start the work in a thread that ends with the process: it may wait for standard input."""
    future: Future[list[Heard]] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, name="decode-ahead", daemon=True)
    thread.start()
    return future, thread


def _heard(source: Source) -> Heard:
    try:
        return Heard(source, source.read())
    except AudioError as error:
        return Heard(source, None, error)
