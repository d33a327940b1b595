"""One rule for what is made once and kept: compiled graphs, known answers, converted weights.

An entry is a folder with files and `manifest.json`, which has the entry's key and the sha256 of
every file. It is checked whenever it is used: at 1.5 GB/s, 20 ms for the bundled network and 2 s
for the largest. Checking writes nothing, so a complete cache may be read-only. An entry with
anything wrong is made anew in a folder of another name, which then takes its place. Nothing is
synced to the disk: what a power cut takes away, the next check finds.

Downloads (`checkpoint/download.py`) follow the same rule with the sha256 that OpenAI publishes.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maxwhisper.paths import cannot_keep, locked, make_folder, remove

MANIFEST = "manifest.json"
_MANIFEST_BYTES = 1 << 20  # of at most 2 kB in use


@dataclass(frozen=True)
class Entry:
    """A folder of the cache. `key` is JSON: everything that the content depends on."""

    folder: Path
    key: Mapping[str, Any]
    files: tuple[str, ...]
    what: str  # for people, a plural: "compiled graphs"

    def problem(self) -> str | None:
        """Return None if every file is as it was written, else what is wrong: "are damaged"."""
        try:
            return self._problem()
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"

    def _problem(self) -> str | None:
        manifest = self.folder / MANIFEST
        if not all(path.is_file() for path in (manifest, *self._paths())):
            return "are not there or incomplete" if self.folder.exists() else "are not there yet"
        if manifest.stat().st_size > _MANIFEST_BYTES:
            return "have a damaged manifest"
        try:
            content = json.loads(manifest.read_bytes())
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            return "have a damaged manifest"
        if content.get("key") != self.key:
            return "were made for something else"
        sums = content.get("sha256")
        if isinstance(sums, str) and len(self.files) == 1:  # by a version that kept single files
            sums = {self.files[0]: sums}
        if sums != {path.name: sha256_of(path) for path in self._paths()}:
            return "are damaged: the checksum does not match"
        return None

    def _paths(self) -> list[Path]:
        return [self.folder / name for name in self.files]

    def ready(self, write: Callable[[Path], object], wait: Callable[[], object]) -> Path:
        """Return the folder. If anything is wrong with it, `write` fills a new one first.

        Calls `wait` before waiting for another process that makes the same entry. Raises
        `OutputError` if the entry cannot be written.
        """
        if self.problem():
            with self.locked(wait):
                if self.problem():  # else the other process has made it
                    self.replace(write)
        return self.folder

    @contextmanager
    def locked(self, wait: Callable[[], object]) -> Iterator[None]:
        """Hold the lock of the entry. Only writers need it. Raises `OutputError`."""
        make_folder(self.folder.parent)
        with locked(self.folder.with_name(f"{self.folder.name}.lock"), wait):
            yield

    def replace(self, write: Callable[[Path], object]) -> None:
        """Let `write` fill an empty folder with the files; then it takes the place of the entry.

        The caller holds the lock. Raises `OutputError` if the disk is full or read-only.
        """
        unfinished = self.folder.with_name(f"{self.folder.name}.unfinished")
        try:
            remove(unfinished)  # of a process that was killed
            unfinished.mkdir()
            write(unfinished)
            sums = {name: sha256_of(unfinished / name) for name in self.files}
            manifest = json.dumps({"key": self.key, "sha256": sums}, indent=1)
            (unfinished / MANIFEST).write_text(manifest, encoding="utf-8")
            remove(self.folder)
            unfinished.rename(self.folder)
        except OSError as error:
            raise cannot_keep(self.what, self.folder, error) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def discard(self) -> None:
        """Remove an entry whose content is wrong although its checksum matches. Raises
        `OutputError`."""
        try:
            remove(self.folder)
        except OSError as error:
            raise cannot_keep(self.what, self.folder, error) from error


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
