"""Load the weights of a network from any supported format and place.

In: a model name, a `.pt` file or a folder. Out: a `Checkpoint`. This package chooses the reader for
an input and knows where official files are cached. Importing it reads and downloads nothing.
"""

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from maxwhisper.checkpoint import bundled, places
from maxwhisper.checkpoint.download import DownloadProgress as DownloadProgress
from maxwhisper.checkpoint.download import (
    OnDownload,
    Progress,
    Unreachable,
    fetch,
    is_intact,
    watch,
)
from maxwhisper.checkpoint.hub_cache import Repository
from maxwhisper.checkpoint.openai_pt import read_openai_pt
from maxwhisper.checkpoint.places import Place, Where
from maxwhisper.checkpoint.places import Removed as Removed
from maxwhisper.checkpoint.places import is_offline as is_offline
from maxwhisper.checkpoint.places import others as others
from maxwhisper.checkpoint.places import remove as remove
from maxwhisper.checkpoint.quote import quoted
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.checkpoint.read import read_file, read_folder
from maxwhisper.checkpoint.registry import HUB_REPOSITORIES, OFFICIAL_MODELS, did_you_mean
from maxwhisper.checkpoint.schema import Checkpoint, expected_tensors, make_checkpoint
from maxwhisper.errors import CheckpointError
from maxwhisper.network.dims import Dims

DEFAULT_MODEL = bundled.NAME


@dataclass(frozen=True)
class ModelRow:
    """One row of the list of models. `place` is None if the weights are not on this disk."""

    name: str
    dims: Dims
    place: Place | None

    @property
    def parameters(self) -> int:
        return n_parameters(self.dims)


@dataclass(frozen=True)
class TensorRow:
    """One tensor of a checkpoint."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: str


def load(
    name_or_path: str | Path = DEFAULT_MODEL,
    *,
    cache_dir: Path | None = None,
    on_download: OnDownload | None = None,
    progress: Progress | None = None,
) -> Checkpoint:
    """Load weights by the name of a model, from a path, or from a repository of the Hugging Face
    Hub ("openai/whisper-small").

    `get` says where they are looked up, and downloads them. Raises `CheckpointError` for anything
    that is not a complete Whisper network.
    """
    place = get(name_or_path, cache_dir=cache_dir, on_download=on_download, progress=progress)
    return replace(_read(place), place=place.label)


def get(
    name: str | Path,
    *,
    cache_dir: Path | None = None,
    on_download: OnDownload | None = None,
    progress: Progress | None = None,
) -> Place:
    """Return where the weights of `name` are on this disk, and download them if they are not.

    The first of these places wins: a path; the bundled weights; our cache (`cache_dir`, by default
    `cache_root()`); openai-whisper's cache; Hugging Face's cache; then, into our cache, OpenAI's
    addresses and the Hugging Face Hub. `name` is one that `models` lists, a path, or a repository:
    "user/name", "hf://user/name@revision"; "random:tiny" has random weights of tiny's dims. Files
    with a known checksum are verified. A later call resumes a download. `on_download` is called a
    few times a second; without it, `progress` gets a line at most once a second. Raises
    `CheckpointError`, `OutputError` if our cache cannot be written, and any exception of the
    callbacks.
    """
    if place := places.find(name, cache_dir, is_intact):
        return place
    wanted = [] if isinstance(name, Path) else places.repositories(name)
    if not wanted:
        raise _unknown(name)
    name = str(name)
    if is_offline():
        raise Unreachable(
            f"{name} is not on this disk, and an offline setting forbids to download it: unset "
            "MAXWHISPER_OFFLINE, HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE, or get it elsewhere and "
            "give its path"
        )
    report, say = watch(on_download, progress), progress or _silent
    if name not in OFFICIAL_MODELS:
        return _from_hub(name, wanted[0], cache_dir, report, say)
    try:
        folder = places.our_folder(cache_dir)
        path = fetch(OFFICIAL_MODELS[name], folder, report, say, name)
        return Place(name, path, Where.CACHE, places.size(path))
    except Unreachable as error:
        say(f"OpenAI's address cannot be reached; asking the Hugging Face Hub for {wanted[0].id}")
        try:
            return _from_hub(name, wanted[0], cache_dir, report, say)
        except CheckpointError:
            raise error from None  # it says how to do without a network


def _from_hub(
    name: str, wanted: Repository, cache_dir: Path | None, report: OnDownload, say: Progress
) -> Place:
    from maxwhisper.checkpoint.hub import fetch_repository

    shown = name if name in HUB_REPOSITORIES else wanted.name
    path = fetch_repository(wanted, places.hub_folder(cache_dir), shown, report, say)
    return Place(shown, path, Where.CACHE, places.size(path), wanted.name)


def _unknown(name: str | Path) -> CheckpointError:
    return CheckpointError(
        "expected the name of a model, a path, or a repository of the Hugging Face Hub, got "
        f"{quoted(str(name))}{did_you_mean(str(name))}; known names are {bundled.NAME} "
        f"{' '.join(OFFICIAL_MODELS)}"
    )


def find(
    name: str | Path, *, cache_dir: Path | None = None, is_verified: bool = True
) -> Place | None:
    """Return where the weights of `name` are on this disk, None if they are not. Never uses the
    network. A file is verified once in the life of this process; that takes seconds for a large
    one, so `is_verified=False` only looks whether it exists."""
    return places.find(name, cache_dir, None if is_verified else places.is_file)


def _silent(line: str) -> None:
    """Ignore progress messages."""


def _read(place: Place) -> Checkpoint:
    if place.where is Where.BUNDLED:
        return bundled.read_demo()
    if dims := places.random_dims(place.name):
        return random_checkpoint(dims, name=place.name)
    model = OFFICIAL_MODELS.get(place.name)
    if place.where is Where.PATH or place.repository:
        read = read_folder if place.path.is_dir() else read_file
        checkpoint = replace(read(place.path), name=place.name)
    else:
        assert model is not None
        checkpoint = read_openai_pt(
            place.path,
            name=place.name,
            alignment_heads=model.alignment_heads,
            source=f"OpenAI's {model.file_name}, verified by its sha256, in {place.where}",
        )
    if place.where is Where.PATH:
        return checkpoint
    if model and checkpoint.dims != model.dims:
        raise CheckpointError(f"expected {model.dims} in {place.name}, got {checkpoint.dims}")
    named = f"{place.repository} in {place.where}"  # not the folder, whose name is a hash
    source = checkpoint.source.replace(str(place.path), named)
    if model and checkpoint.alignment_heads != model.alignment_heads:
        # A snapshot without generation_config.json has none, and word times would differ.
        weights, heads = checkpoint.weights, model.alignment_heads
        return make_checkpoint(place.name, model.dims, weights, heads, source)
    return replace(checkpoint, source=source)


def available(cache_dir: Path | None = None, *, is_verified: bool = True) -> list[ModelRow]:
    """Return the bundled and the official models, and where their weights are, as `find` does."""
    rows = [ModelRow(bundled.NAME, bundled.DIMS, find(bundled.NAME))]
    rows += [
        ModelRow(name, model.dims, find(name, cache_dir=cache_dir, is_verified=is_verified))
        for name, model in OFFICIAL_MODELS.items()
    ]
    return rows


def dims_of(name: str) -> Dims | None:
    """Return the dims of a model that this version knows by name; None for any other place."""
    if name == bundled.NAME:
        return bundled.DIMS
    official = OFFICIAL_MODELS.get(name)
    return official.dims if official is not None else places.random_dims(name)


def about(name: str) -> str:
    """Return one sentence about the accuracy of a model, to show beside its text."""
    if name == bundled.NAME:
        return f"{name} is {bundled.limits()}."
    if name in OFFICIAL_MODELS:
        return f"{name} is OpenAI's model, as published."
    if places.random_dims(name):
        return f"{name} has random weights: its text means nothing."
    return f"{name} is not one of OpenAI's models; its accuracy is unknown."


def n_parameters(dims: Dims) -> int:
    """Return the number of parameters of a network, including the fixed audio positions."""
    return sum(prod(spec.shape) for spec in expected_tensors(dims).values())


def tensor_table(checkpoint: Checkpoint) -> list[TensorRow]:
    """Return every tensor of a checkpoint, in the order of the network."""
    return [
        TensorRow(name, spec.shape, str(checkpoint.weights[name].dtype), spec.role)
        for name, spec in expected_tensors(checkpoint.dims).items()
    ]
