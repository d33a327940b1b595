"""Folders: where the cache of this package is, its locks, and where another package is installed.

Imports no other package.
"""

import fcntl
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from maxwhisper.errors import OutputError


def cache_root() -> Path:
    """MAXWHISPER_CACHE if set, else XDG_CACHE_HOME/maxwhisper, else ~/.cache/maxwhisper.

    Raises `OutputError` if the folder is in the home of a user who has none.
    """
    own, base = os.environ.get("MAXWHISPER_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        if own:
            return Path(own).expanduser()
        return (Path(base).expanduser() if base else Path.home() / ".cache") / "maxwhisper"
    except RuntimeError as error:  # a user without a home, as in some containers
        raise OutputError(
            f"expected a home folder for the cache {own or base or '~/.cache'}, found none: set "
            "MAXWHISPER_CACHE to a folder"
        ) from error


def state_root() -> Path | None:
    """XDG_STATE_HOME/maxwhisper, else ~/.local/state/maxwhisper: for what one user alone may write.

    None for a user without a home.
    """
    base = os.environ.get("XDG_STATE_HOME")
    try:
        return (Path(base).expanduser() if base else Path.home() / ".local/state") / "maxwhisper"
    except RuntimeError:
        return None


def make_folder(folder: Path) -> None:
    """Create a folder if it does not exist. Raises `OutputError` if it is not writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK) else "it exists, but is not writable"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise OutputError(
            f"expected a writable folder at {folder}: {reason}; choose another folder (for the "
            "cache, set MAXWHISPER_CACHE)"
        )


def cannot_keep(what: str, folder: Path, error: OSError) -> OutputError:
    """The error to raise if `what` cannot be written to a folder of the cache."""
    return OutputError(
        f"{what} cannot be saved in {folder}: {error.strerror or error}; free some space, or set "
        "MAXWHISPER_CACHE to another folder"
    )


@contextmanager
def locked(path: Path, wait: Callable[[], object]) -> Iterator[None]:
    """Hold an exclusive lock on `path`. Calls `wait` first if another process holds it.

    The system releases the lock when a process dies, and wakes the next one without polling. Raises
    `OutputError` if the lock cannot be opened.
    """
    with _open_lock(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _open_lock(path: Path) -> TextIO:
    try:
        if path.exists() and not path.is_file():  # damage; a lock has no content to lose
            remove(path)
        return path.open("w")
    except OSError as error:
        raise cannot_keep("a lock", path.parent, error) from error


def write_whole(path: Path, data: bytes, part_name: str) -> None:
    """Write a file in one step: whatever interrupts it, the file is the old or the new one.

    The file `part_name` beside it is renamed when it is complete. Raises `OSError`.
    """
    part = path.with_name(part_name)
    try:
        part.write_bytes(data)
        part.replace(path)
    except BaseException:  # an interrupt too
        part.unlink(missing_ok=True)
        raise


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content, if it exists. Raises `OSError`."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def package_folder(name: str) -> Path | None:
    """The folder of an installed package, or None."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None
