"""What can happen to the files of a cache, and what a folder contains, for the suite `caches`.

Knows the names of no file but the kinds of content: JSON, numpy's archives, anything else.
"""

import io
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

Tree = Mapping[str, bytes | None]  # relative path -> content; None: a folder
Damage = Callable[[Path], object]


def tree_of(folder: Path) -> Tree:
    """Every file and folder below `folder`, without locks, which may be there or not."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else _content(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix != ".lock" or not path.is_file()
    }


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b"neither a file nor a folder"


def damages_of(path: str, content: bytes) -> Mapping[str, Damage]:
    """Everything that can happen to a file, by name."""
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    damages: dict[str, Damage] = {
        "empty": partial(_rewrite, b""),
        "cut in half": partial(_rewrite, content[: len(content) // 2]),
        "one bit flipped": partial(_rewrite, bytes(flipped)),
        "missing": remove,
        "a folder": into_folder,
        "a pipe": _into_pipe,
    }
    if path.endswith(".json"):
        damages["a list"] = partial(_rewrite, b"[1]")
        damages["an empty object"] = partial(_rewrite, b"{}")
    elif path.endswith(".npz"):
        damages["other arrays"] = partial(_rewrite, _archive(other=np.zeros(3)))
        damages["no arrays"] = partial(_rewrite, _archive())
    else:
        damages["text"] = partial(_rewrite, b"this is no model")
    return damages


def _archive(**arrays: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _rewrite(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def into_folder(path: Path) -> None:
    """Put a folder with a file in place of `path`."""
    remove(path)
    path.mkdir()
    (path / "inside").write_text("a file")


def into_file(path: Path) -> None:
    """Put a file in place of `path`."""
    remove(path)
    path.write_text("a file")


def _into_pipe(path: Path) -> None:
    """Put a pipe in place of `path`: whoever opens it to read waits for ever."""
    remove(path)
    os.mkfifo(path)


def leave_folder(suffix: str) -> Damage:
    """A damage: the entry is gone, and a folder with this suffix is beside it."""

    def damage(entry: Path) -> None:
        remove(entry)
        into_folder(entry.with_name(entry.name + suffix))

    return damage


def copy_tree(source: Path, target: Path) -> None:
    """Make `target` an exact copy of `source`."""
    remove(target)
    shutil.copytree(source, target)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """For a while nobody without the powers of root may write in `folder`."""
    _set_modes(folder, 0o555)
    try:
        yield
    finally:
        _set_modes(folder, 0o755)


def _set_modes(folder: Path, mode: int) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(mode)
