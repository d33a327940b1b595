"""Where weights are on this disk, for every name and path that `load` takes.

In: a name. Out: a `Place`, or None. Owns the order of the lookup. Reads no weights, only their
checksums, and never uses the network.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path

from maxwhisper.checkpoint import bundled, hub_cache
from maxwhisper.checkpoint.download import is_intact
from maxwhisper.checkpoint.hub_cache import Intact, Repository
from maxwhisper.checkpoint.quote import quoted
from maxwhisper.checkpoint.registry import HUB_REPOSITORIES, OFFICIAL_MODELS, OfficialModel
from maxwhisper.errors import CheckpointError, OutputError
from maxwhisper.network.dims import Dims
from maxwhisper.paths import cache_root, locked
from maxwhisper.paths import remove as remove_file

log = logging.getLogger(__name__)

RANDOM = "random:"  # before an official name: random weights of its dims
_OFFLINE = ("MAXWHISPER_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_YES = ("1", "ON", "YES", "TRUE")  # as huggingface_hub reads them


class Where(StrEnum):
    """The kinds of places, in words for people."""

    PATH = "a path"
    BUNDLED = "bundled"
    CACHE = "our cache"
    WHISPER = "openai-whisper's cache"  # ~/.cache/whisper
    HUB = "the Hugging Face cache"
    RANDOM = "nowhere: random weights"


@dataclass(frozen=True)
class Place:
    """Weights on this disk."""

    name: str  # to show: "base", "user/fine-tune", the stem of a path
    path: Path  # a file, or a folder
    where: Where
    n_bytes: int  # of the weights and what belongs to them
    repository: str = ""  # of the Hugging Face Hub, if the weights came from one

    @property
    def line(self) -> str:
        """Return where the weights are, in words: "our cache, 145 MB: /home/…/base.pt"."""
        return f"{self.label}, {self.n_bytes / 1e6:.0f} MB: {self.path}"

    @property
    def label(self) -> str:
        """Return the same without path and size: "openai/whisper-base in our cache"."""
        of = f"{self.repository} in " if self.repository not in ("", self.name) else ""
        return f"{of}{self.where}"


@dataclass(frozen=True)
class Removed:
    """What `remove` deleted, and where the same weights still are, which it leaves alone."""

    paths: tuple[Path, ...]
    n_bytes: int
    left: tuple[Place, ...]


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


def hub_folder(cache_dir: Path | None) -> Path:
    """Return the folder of repositories in our cache."""
    return our_folder(cache_dir) / "hub"


def repositories(name: str) -> list[Repository]:
    """Return the repositories that have the weights of `name`; the first is the one to download."""
    if name in HUB_REPOSITORIES:
        return [Repository(id) for id in HUB_REPOSITORIES[name]]
    wanted = hub_cache.parse(name)
    return [wanted] if wanted else []


def find(
    name: str | Path, cache_dir: Path | None = None, intact: Intact | None = None
) -> Place | None:
    """Return the first place that has the weights of `name`, or None.

    A `Path` is a path. A string is a name if there is one like it, else a path, else a repository.
    `intact` verifies files whose checksum is known, by default with one look at each in the life of
    this process.
    """
    intact = intact or _seen_intact
    if random_dims(name):
        return Place(str(name), Path(), Where.RANDOM, 0)
    if name == bundled.NAME:
        return Place(bundled.NAME, bundled.FOLDER, Where.BUNDLED, size(bundled.FOLDER))
    if isinstance(name, Path):
        return _on_path(name)
    place = None if name in HUB_REPOSITORIES else _on_path(name)
    return place or next(_downloaded(name, cache_dir, intact), None)


def random_dims(name: str | Path) -> Dims | None:
    """Return the dims of "random:tiny": random weights of an official model's dims."""
    official = str(name).removeprefix(RANDOM) if str(name).startswith(RANDOM) else ""
    model = OFFICIAL_MODELS.get(official)
    return model.dims if model else None


def _downloaded(name: str, cache_dir: Path | None, intact: Intact) -> Iterator[Place]:
    """Yield every place of a name or repository, in the order of the lookup."""
    shown, model, wanted = name, OFFICIAL_MODELS.get(name), repositories(name)
    if wanted and name not in HUB_REPOSITORIES:
        shown = wanted[0].name  # without "hf://"
    if model and _is_whole(path := our_folder(cache_dir) / model.file_name, model, intact):
        yield Place(shown, path, Where.CACHE, size(path))
    for repository in wanted:
        if folder := hub_cache.in_our_cache(repository, hub_folder(cache_dir), intact):
            yield Place(shown, folder, Where.CACHE, size(folder), repository.name)
    if model and _is_whole(path := whisper_folder() / model.file_name, model, intact):
        yield Place(shown, path, Where.WHISPER, size(path))
    for repository in wanted:
        if folder := hub_cache.in_hugging_face_cache(repository, intact):
            yield Place(shown, folder, Where.HUB, size(folder), repository.name)


def _is_whole(path: Path, model: OfficialModel, intact: Intact) -> bool:
    is_whole = intact(path, model.sha256)
    if not is_whole and path.exists():
        log.warning("%s is not the file that OpenAI published, and is not used", path)
    return is_whole


def others(cache_dir: Path | None = None) -> list[Place]:
    """Return the other Whisper models on this disk: distilled ones, and repositories of both
    caches. Their checksums are not looked at: it is a list, and `get` verifies what is used."""
    found = [
        *hub_cache.in_all_our_cache(hub_folder(cache_dir)),
        *hub_cache.in_all_hugging_face_cache(),
    ]
    known = {id for name in OFFICIAL_MODELS for id in HUB_REPOSITORIES[name]}
    short = {id: name for name, ids in HUB_REPOSITORIES.items() for id in ids}
    names = dict.fromkeys(short.get(one.name, one.name) for one in found if one.id not in known)
    placed = (next(_downloaded(name, cache_dir, is_file), None) for name in names)
    return [place for place in placed if place and hub_cache.is_whisper(place.path)]


def _on_path(name: str | Path) -> Place | None:
    with suppress(OSError, RuntimeError):  # a name that no disk can store; a user without a home
        path = Path(name).expanduser()
        if path.is_dir():
            return Place(hub_cache.shown_name(path), path, Where.PATH, size(path))
        if path.is_file():
            return Place(path.stem, path, Where.PATH, size(path))
    return None


def remove(name: str, *, cache_dir: Path | None = None) -> Removed:
    """Delete the weights of `name` from our cache, with what an interrupted download left there.

    Other programs own the other places, so they are only listed. Raises `CheckpointError` for the
    bundled weights, for a path, and while another process downloads these weights, and
    `OutputError` if a file cannot be deleted.
    """
    model, wanted = OFFICIAL_MODELS.get(name), repositories(name)
    if not wanted:
        raise CheckpointError(
            f"expected the name of downloaded weights, got {quoted(name)}: only our cache is ever "
            "emptied"
        )
    stems = [our_folder(cache_dir) / model.file_name] if model else []
    stems += [hub_folder(cache_dir) / repository.folder_name for repository in wanted]
    removed: list[Path] = []
    n_bytes = 0
    for stem in stems:
        paths = [Path(f"{stem}{end}") for end in ("", ".part", ".parts")]
        if paths := [path for path in paths if path.exists()]:
            with locked(Path(f"{stem}.lock"), partial(_busy, name)):
                n_bytes += sum(size(one) for path in paths for one in (path, *path.rglob("*/")))
                _delete(paths)
                removed += paths
    return Removed(tuple(removed), n_bytes, tuple(_downloaded(name, cache_dir, is_file)))


def _busy(name: str) -> None:
    raise CheckpointError(f"another process downloads {name} now: stop it, then try again")


def _delete(paths: list[Path]) -> None:
    for path in paths:
        try:
            remove_file(path)
        except OSError as error:
            raise OutputError(f"{path} cannot be deleted: {error.strerror or error}") from error


def size(path: Path) -> int:
    """Return the bytes of a file, or of the files in a folder; 0 if there is none."""
    try:
        if not path.is_dir():
            return path.stat().st_size
        return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    except OSError:
        return 0


def is_file(path: Path, sha256: str) -> bool:
    """Accept a file without a look at its checksum."""
    return path.is_file()


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
