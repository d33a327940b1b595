"""Load the weights of a network from any supported format and place.

In: a model name, a `.pt` file or a folder. Out: a `Checkpoint`. This package chooses the reader for
an input and knows where official files are cached. Importing it reads and downloads nothing.
"""

from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

from maxwhisper.checkpoint import bundled
from maxwhisper.checkpoint.download import Progress, fetch
from maxwhisper.checkpoint.hf_safetensors import read_hf_folder
from maxwhisper.checkpoint.openai_pt import read_openai_pt
from maxwhisper.checkpoint.quote import quoted
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.checkpoint.schema import Checkpoint, expected_tensors
from maxwhisper.errors import CheckpointError
from maxwhisper.network.dims import Dims
from maxwhisper.paths import cache_root

DEFAULT_MODEL = bundled.NAME


@dataclass(frozen=True)
class ModelRow:
    """One row of the list of models. `path` is where the weights are, or where `load` puts them."""

    name: str
    parameters: int
    on_disk: bool
    path: Path


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
    progress: Progress | None = None,
) -> Checkpoint:
    """Load weights from "demo", an official name, an OpenAI `.pt` file, or a Hugging Face folder.

    "demo" is part of the package and verified by its sha256. Official models are downloaded once to
    `cache_dir` (default `cache_root()`) / checkpoints. Raises `CheckpointError` for anything that
    is not a complete Whisper network.
    """
    name, path = str(name_or_path), Path(name_or_path)
    if name == bundled.NAME:
        return bundled.read_demo()
    if name in OFFICIAL_MODELS:
        return _load_official(name, cache_dir, progress)
    is_folder = is_file = False
    with suppress(OSError):  # a name that no disk can store
        is_folder, is_file = path.is_dir(), path.is_file()
    if is_folder:
        return read_hf_folder(path)
    if is_file:
        return read_openai_pt(path)
    raise CheckpointError(
        f"expected a model name, a .pt file or a Hugging Face folder, got {quoted(name)}: known "
        f"names are {bundled.NAME} {' '.join(OFFICIAL_MODELS)}"
    )


def is_on_disk(name: str, cache_dir: Path | None = None) -> bool:
    """Return False for an official model that is not downloaded yet. Does not verify the sha256."""
    model = OFFICIAL_MODELS.get(name)
    return model is None or (_folder(cache_dir) / model.file_name).is_file()


def download_model(
    name: str, *, cache_dir: Path | None = None, progress: Progress | None = None
) -> None:
    """Download the file of an official model for a later `load`; do nothing for any other name.

    Raises `CheckpointError`, and any exception of `progress`; a later call resumes the download.
    """
    if name in OFFICIAL_MODELS:
        fetch(OFFICIAL_MODELS[name], _folder(cache_dir), progress)


def _load_official(name: str, cache_dir: Path | None, progress: Progress | None) -> Checkpoint:
    model = OFFICIAL_MODELS[name]
    checkpoint = read_openai_pt(
        fetch(model, _folder(cache_dir), progress),
        name=name,
        alignment_heads=model.alignment_heads,
        source=f"OpenAI's {model.file_name}, verified by its sha256",
    )
    if checkpoint.dims != model.dims:
        raise CheckpointError(f"expected {model.dims} in {name}, got {checkpoint.dims}")
    return checkpoint


def _folder(cache_dir: Path | None) -> Path:
    return (cache_dir or cache_root()) / "checkpoints"


def available(cache_dir: Path | None = None) -> list[ModelRow]:
    """Return the models that `load` knows by name, and whether their files are on disk (without
    verifying the sha256)."""
    demo = bundled.FOLDER / bundled.WEIGHTS
    rows = [ModelRow(bundled.NAME, n_parameters(bundled.DIMS), demo.is_file(), demo)]
    for name, model in OFFICIAL_MODELS.items():
        path = _folder(cache_dir) / model.file_name
        rows.append(ModelRow(name, n_parameters(model.dims), path.is_file(), path))
    return rows


def about(name: str) -> str:
    """Return one sentence about the accuracy of a model, to show beside its text."""
    if name == bundled.NAME:
        return f"{name} is {bundled.limits()}."
    if name in OFFICIAL_MODELS:
        return f"{name} is OpenAI's model, as published."
    return f"{name} is a local checkpoint; its accuracy is unknown."


def n_parameters(dims: Dims) -> int:
    """Return the number of parameters of a network, including the fixed audio positions."""
    return sum(prod(spec.shape) for spec in expected_tensors(dims).values())


def tensor_table(checkpoint: Checkpoint) -> list[TensorRow]:
    """Return every tensor of a checkpoint, in the order of the network."""
    return [
        TensorRow(name, spec.shape, str(checkpoint.weights[name].dtype), spec.role)
        for name, spec in expected_tensors(checkpoint.dims).items()
    ]
