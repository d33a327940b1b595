"""What to transcribe: the recordings that a command line names.

In: files, folders, globs, addresses of object stores, lists of recordings (csv, jsonl), and `-` for
standard input. Out: a `Source` for each recording. A name that leads to no recording is a source
with an error, so that it is reported beside the others and does not stop them.
"""

import csv
import glob
import io
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from maxwhisper.archive import places
from maxwhisper.errors import AudioError, OptionError, one_line

if TYPE_CHECKING:
    from maxwhisper.audio.container import Recording

STDIN = "-"
# Endings of the formats that `audio.container` reads.
ENDINGS = (
    *(".3gp", ".aac", ".aif", ".aifc", ".aiff", ".amr", ".asf", ".caf", ".flac", ".m4a", ".m4b"),
    *(".m4v", ".mka", ".mkv", ".mov", ".mp3", ".mp4", ".oga", ".ogg", ".ogv", ".opus", ".w64"),
    *(".wav", ".wave", ".webm", ".wma", ".wmv"),
)
LISTS = (".csv", ".jsonl")
# The column of a list that names the recording; the last two are those of NeMo and Hugging Face.
COLUMNS = ("path", "file", "audio_filepath", "audio")


@dataclass(frozen=True)
class Source:
    """A recording by name. `subfolder` is where it was below a folder of the command line; `stamp`
    its size and version where a listing told them (`places.stamp`)."""

    name: str
    subfolder: Path = Path()
    error: AudioError | None = None
    stamp: str = ""

    @property
    def address(self) -> str:
        """The same name from any folder."""
        if self.name == STDIN or places.is_address(self.name):
            return self.name
        return os.path.abspath(self.name)

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


def find_all(names: Sequence[str]) -> list[Source]:
    """`find_sources`, also of addresses (s3://bucket/folder, with globs) and of lists: csv files
    with a header, and jsonl files. A list names its recordings in one of `COLUMNS`; relative names
    begin at the list's folder. Raises `OptionError` for a list without such a column."""
    found: dict[str, Source] = {}
    for name in names:
        for source in _at(name):
            found.setdefault(source.address, source)
    return list(found.values())


def _at(name: str) -> Iterator[Source]:
    if name.lower().endswith(LISTS):
        for each in _listed(name):
            yield from _at(each)
    elif places.is_address(name):
        yield from _remote(name)
    else:
        yield from _named(name)


def _listed(name: str) -> Iterator[str]:
    """The names in a list."""
    try:
        with places.local_copy(os.path.expanduser(name)) as path:
            text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise OptionError(f"cannot read the list {name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"expected UTF-8 text in the list {name}: {error}") from error
    for number, row in enumerate(_rows(name, text), start=1):
        cell = next((row[column] for column in COLUMNS if row.get(column)), None)
        if not isinstance(cell, str):
            raise OptionError(
                f"expected one of the columns {', '.join(COLUMNS)} in {name}, row {number} has "
                f"{', '.join(map(str, row)) or 'none'}"
            )
        folder = name.rpartition("/")[0] if places.is_address(name) else os.path.dirname(name)
        yield places.join(folder or ".", os.path.expanduser(cell))


def _rows(name: str, text: str) -> Iterator[dict[str, Any]]:
    if name.lower().endswith(".csv"):
        yield from csv.DictReader(io.StringIO(text))
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise OptionError(f"expected JSON in line {number} of {name}: {error}") from error
        yield row if isinstance(row, dict) else {"path": row}


def _remote(address: str) -> Iterator[Source]:
    """The recordings below an address; the address itself if it is that of a file."""
    files, path = places.file_system(address)
    try:
        if glob.has_magic(path):
            found, root = (
                files.glob(path, detail=True),
                re.split(r"[*?\[]", path)[0].rpartition("/")[0],
            )
        elif files.isdir(path):
            found, root = files.find(path, detail=True), path
        else:
            yield Source(address)
            return
    except Exception as error:  # each file system has errors of its own
        yield _none(address, f"cannot list {address}: {one_line(error)}")
        return
    n_found = 0
    for each, facts in sorted(found.items()):
        inside = PurePosixPath(each.removeprefix(root).lstrip("/"))
        is_hidden = any(part.startswith(".") for part in inside.parts)
        is_file = facts.get("type") == "file" and inside.suffix.lower() in ENDINGS
        if is_file and not is_hidden:
            n_found += 1
            whole = files.unstrip_protocol(each)
            yield Source(whole, Path(inside.parent), stamp=places.stamp_of(facts))
    if not n_found:
        yield _none(
            address, "no recording below this address: name a file of another ending itself"
        )
