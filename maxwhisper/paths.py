"""Where this package keeps what it downloads and compiles, one process at a time, and where other
packages lie.

Imports none of them.
"""

import fcntl
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from maxwhisper.errors import OutputError


def cache_root() -> Path:
    """MAXWHISPER_CACHE if set, else XDG_CACHE_HOME/maxwhisper, else ~/.cache/maxwhisper. Raises
    `OutputError` where none of them is known."""
    if own := os.environ.get("MAXWHISPER_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base).expanduser() if base else Path.home() / ".cache") / "maxwhisper"
    except RuntimeError as error:  # a user without a home, as containers have
        raise OutputError(
            "expected a home folder for the cache, found none: name a folder by MAXWHISPER_CACHE"
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder, where it is not there. Raises `OutputError` if no file can be put into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK) else "it is there, but may not be written to"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise OutputError(
            f"expected a folder to write to at {folder}: {reason}; choose another one, for the "
            "cache by MAXWHISPER_CACHE"
        )


def cannot_keep(what: str, folder: Path, error: OSError) -> OutputError:
    """What to raise where `what` does not fit into a folder of the cache."""
    return OutputError(
        f"{what} cannot be kept in {folder}: {error.strerror or error}; make room, or choose "
        "another folder by MAXWHISPER_CACHE"
    )


@contextmanager
def locked(path: Path, wait: Callable[[], object]) -> Iterator[None]:
    """Hold an exclusive lock on `path`, calling `wait` first if another process has it; the system
    releases it when a process dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def package_folder(name: str) -> Path | None:
    """The folder of an installed package, or None."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None
