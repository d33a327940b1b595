"""What became of every recording: a journal while a run lasts, and a manifest at its end.

The journal is appended to, a line of JSON for each recording, and nothing in it is changed. A
process may be killed at any time: a line that is not whole is cut off, and its recording is done
again. In: entries. Out: the newest entry of every recording. Knows no audio.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from maxwhisper.archive import places
from maxwhisper.errors import OptionError, OutputError, one_line
from maxwhisper.paths import locked, make_folder

DONE, FAILED = "done", "failed"
JOURNAL, MANIFEST, LOCK = "journal.jsonl", "manifest.jsonl", ".lock"
# In an object store, which cannot append, the journal is a folder of files: one is written after
# this many lines or seconds.
REMOTE_LINES, REMOTE_S = 200, 20.0


@dataclass(frozen=True)
class Entry:
    """What became of one recording, whose absolute path or address is `source`.

    `status` is "done" or "failed", and then `code` and `reason` say why. `key` is the hash of
    audio, model and settings, `settings` that of the settings alone. `stamp` is size and time of
    the file: a rerun need not read it again. `seconds` are from the begin of its decoding until its
    files were written, `tries` counts runs that failed before this one, and this one.
    """

    source: str
    status: str = ""
    key: str = ""
    sha256: str = ""
    settings: str = ""
    stamp: str = ""
    code: str = ""
    reason: str = ""
    warning: str = ""
    language: str = ""
    audio_s: float = 0.0
    seconds: float = 0.0
    tries: int = 1
    files: tuple[str, ...] = ()
    part: str = ""  # of the table: the file that has its segments


class Journal:
    """The journal of an output folder; `entries` has the newest of each recording."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.entries: dict[str, Entry] = {}
        self._log = _RemoteLog(output) if places.is_address(output) else _LocalLog(output)
        for line in self._log.lines():
            try:
                entry = msgspec.json.decode(line, type=Entry)
            except msgspec.MsgspecError:
                continue  # damage costs one recording, which is done again
            self.entries[entry.source] = entry

    def add(self, entry: Entry) -> None:
        """Append an entry. Raises `OutputError`."""
        try:
            self._log.append(msgspec.json.encode(entry) + b"\n")
        except OSError as error:
            raise OutputError(f"cannot write the journal: {one_line(error)}") from error
        self.entries[entry.source] = entry

    def finish(self) -> None:
        """Write the manifest: the newest entry of each recording, sorted."""
        self.close()
        lines = [msgspec.json.encode(self.entries[source]) for source in sorted(self.entries)]
        places.write(places.join(self.output, MANIFEST), b"".join(line + b"\n" for line in lines))

    def close(self) -> None:
        """Write what is not written yet."""
        self._log.close()


class _LocalLog:
    def __init__(self, folder: str) -> None:
        make_folder(Path(folder))
        self._path = Path(folder) / JOURNAL

    def lines(self) -> Iterator[bytes]:
        """All whole lines. A line that is cut off is removed, so that the next does not join it."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        try:
            self._file = os.open(self._path, flags, 0o644)
            with self._path.open("rb") as file:
                whole = 0
                for line in file:
                    if line.endswith(b"\n"):
                        whole += len(line)
                        yield line
            os.ftruncate(self._file, whole)
        except OSError as error:
            raise OutputError(f"cannot open {self._path}: {error.strerror}") from error

    def append(self, line: bytes) -> None:
        """One write: it is in the system's memory when this returns, whoever is killed."""
        os.write(self._file, line)

    def close(self) -> None:
        os.fsync(self._file)


class _RemoteLog:
    def __init__(self, address: str) -> None:
        self._folder = places.join(address, JOURNAL)
        self._waiting: list[bytes] = []
        self._written_s = time.monotonic()
        self._n_files = 0

    def lines(self) -> Iterator[bytes]:
        files, folder = places.file_system(self._folder)
        names = sorted(files.find(folder)) if files.exists(folder) else []
        for name in names:
            yield from files.cat_file(name).splitlines(keepends=True)
        self._n_files = len(names)

    def append(self, line: bytes) -> None:
        self._waiting.append(line)
        is_late = time.monotonic() - self._written_s > REMOTE_S
        if is_late or len(self._waiting) >= REMOTE_LINES:
            self.close()

    def close(self) -> None:
        if self._waiting:
            name = f"{self._n_files:08d}.jsonl"
            places.write(places.join(self._folder, name), b"".join(self._waiting))
            self._n_files += 1
        self._waiting, self._written_s = [], time.monotonic()


@contextmanager
def only_run(output: str) -> Iterator[None]:
    """Keep a second run out of the same local folder. Raises `OptionError`."""
    if places.is_address(output):
        yield
        return

    def refuse() -> None:
        raise OptionError(
            f"another run writes into {output}: wait for it, or choose another folder"
        )

    make_folder(Path(output))
    with locked(Path(output) / LOCK, refuse):
        yield
