"""Where weights are on this disk, for every name and path that `load` takes.

In: a name. Out: a `Place`, or None. Owns the order of the lookup. Reads no weights, only their
checksums, and never uses the network.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from maxwhisper.checkpoint import bundled
from maxwhisper.checkpoint.download import is_intact
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS, OfficialModel
from maxwhisper.errors import CheckpointError
from maxwhisper.paths import cache_root
from maxwhisper.paths import remove as remove_file

_OFFLINE = ("MAXWHISPER_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_YES = ("1", "ON", "YES", "TRUE")  # as huggingface_hub reads them


class Where(StrEnum):
    """The kinds of places, in words for people."""

    PATH = "a path"
    BUNDLED = "bundled"
    CACHE = "our cache"
    WHISPER = "openai-whisper's cache"  # ~/.cache/whisper
    HUB = "the Hugging Face cache"


@dataclass(frozen=True)
class Place:
    """Weights on this disk."""

    name: str  # to show: "base", "user/fine-tune", the stem of a path
    path: Path  # a file, or a folder
    where: Where
    n_bytes: int  # of the weights and what belongs to them

    @property
    def line(self) -> str:
        """Return where the weights are, in words: "our cache, 139 MB: /home/…/base.pt"."""
        return f"{self.where}, {self.n_bytes / 1e6:.0f} MB: {self.path}"


@dataclass(frozen=True)
class Removed:
    """What `remove` deleted, and where the same weights still are, which it leaves alone."""

    paths: tuple[Path, ...]
    n_bytes: int
    left: tuple[Place, ...]


Intact = Callable[[Path, str], bool]  # (path, sha256)


def is_offline() -> bool:
    """Return True if MAXWHISPER_OFFLINE, HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids the
    network."""
    return any(os.environ.get(name, "").upper() in _YES for name in _OFFLINE)


def our_folder(cache_dir: Path | None) -> Path:
    """Return the folder of downloaded weights in `cache_dir`, by default `cache_root()`."""
    return (cache_dir or cache_root()) / "checkpoints"


def whisper_folder() -> Path:
    """Return openai-whisper's folder of downloads, chosen as it chooses (`load_model`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "whisper"


def find(
    name: str | Path, cache_dir: Path | None = None, intact: Intact | None = None
) -> Place | None:
    """Return the first place that has the weights of `name`, or None.

    Official files must have the sha256 that OpenAI publishes; `intact` decides, by default with one
    look at each file in the life of this process. Raises `CheckpointError` for a path without
    weights.
    """
    intact = intact or _seen_intact
    if (model := OFFICIAL_MODELS.get(str(name))) and not isinstance(name, Path):
        return next(iter(_official(str(name), model, cache_dir, intact)), None)
    if name == bundled.NAME:
        return Place(bundled.NAME, bundled.FOLDER, Where.BUNDLED, size(bundled.FOLDER))
    return _on_path(name)


def _official(
    name: str, model: OfficialModel, cache_dir: Path | None, intact: Intact
) -> list[Place]:
    folders = {Where.CACHE: our_folder(cache_dir), Where.WHISPER: whisper_folder()}
    paths = {where: folder / model.file_name for where, folder in folders.items()}
    return [
        Place(name, path, where, size(path))
        for where, path in paths.items()
        if intact(path, model.sha256)
    ]


def _on_path(name: str | Path) -> Place | None:
    with suppress(OSError, RuntimeError):  # a name that no disk can store; a user without a home
        path = Path(name).expanduser()
        if path.is_dir():
            return Place(path.resolve().name, path, Where.PATH, size(path))
        if path.is_file():
            return Place(path.stem, path, Where.PATH, size(path))
    return None


def remove(name: str, *, cache_dir: Path | None = None) -> Removed:
    """Delete the weights of `name` from our cache, with what an interrupted download left there.

    Other programs own the other places, so they are only listed. Raises `CheckpointError` for the
    bundled weights and for a path.
    """
    model = OFFICIAL_MODELS.get(name)
    if model is None:
        raise CheckpointError(
            f"expected the name of downloaded weights, got {name}: only our cache is ever emptied"
        )
    folder = our_folder(cache_dir)
    endings = ("", ".part", ".lock")
    paths = [path for end in endings if (path := folder / f"{model.file_name}{end}").exists()]
    n_bytes = sum(size(path) for path in paths)
    for path in paths:
        remove_file(path)
    left = _official(name, model, cache_dir, lambda path, _: path.is_file())
    return Removed(tuple(paths), n_bytes, tuple(left))


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; 0 if there is none."""
    try:
        if not path.is_dir():
            return path.stat().st_size
        return sum(entry.stat().st_size for entry in path.iterdir() if entry.is_file())
    except OSError:
        return 0


def _seen_intact(path: Path, sha256: str) -> bool:
    """`is_intact`, but a file that has not changed is read once in the life of this process."""
    try:
        stat = path.stat()
    except OSError:
        return False
    return _intact_then(path, sha256, stat.st_size, stat.st_mtime_ns)


@lru_cache
def _intact_then(path: Path, sha256: str, _n_bytes: int, _changed_ns: int) -> bool:
    return is_intact(path, sha256)
