"""Weights: `load` takes a name, a `.pt` file or a folder and gives a `Checkpoint`.

Knows which reader fits which input and where official files are kept. Nothing is read, downloaded
or created before `load` is called.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path

from maxwhisper.checkpoint import bundled
from maxwhisper.checkpoint.download import Progress, fetch
from maxwhisper.checkpoint.hf_safetensors import read_hf_folder
from maxwhisper.checkpoint.openai_pt import read_openai_pt
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.checkpoint.schema import Checkpoint, expected_tensors
from maxwhisper.dims import Dims
from maxwhisper.errors import CheckpointError
from maxwhisper.paths import cache_root

DEFAULT_MODEL = bundled.NAME


@dataclass(frozen=True)
class ModelRow:
    """One line of the list of models. `path` is where the weights are, or would be put."""

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
    """Load weights: "demo", an official name, an OpenAI `.pt` file, or a Hugging Face folder.

    "demo" comes with the package and is verified by its sha256. Official models are downloaded
    once, into `cache_dir` (default `cache_root()`) / checkpoints.
    Raises `CheckpointError` for anything that is not a complete Whisper network.
    """
    name, path = str(name_or_path), Path(name_or_path)
    if name == bundled.NAME:
        return bundled.read_demo()
    if name in OFFICIAL_MODELS:
        return _load_official(name, cache_dir, progress)
    if path.is_dir():
        return read_hf_folder(path)
    if path.is_file():
        return read_openai_pt(path)
    raise CheckpointError(
        f"expected a model name, a .pt file or a Hugging Face folder, got {name!r}: known names "
        f"are {bundled.NAME} {' '.join(OFFICIAL_MODELS)}"
    )


def is_on_disk(name: str, cache_dir: Path | None = None) -> bool:
    """False for an official model that has to be fetched (by presence, not by sha256)."""
    model = OFFICIAL_MODELS.get(name)
    return model is None or (_folder(cache_dir) / model.file_name).is_file()


def bring(name: str, *, cache_dir: Path | None = None, progress: Progress | None = None) -> None:
    """Fetch the file of an official model, for a later `load`; nothing for any other name. Raises
    `CheckpointError`, and whatever `progress` raises: what has come by then is kept."""
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
    """What `load` knows by name, with what is on disk already (by presence, not by sha256)."""
    demo = bundled.FOLDER / bundled.WEIGHTS
    rows = [ModelRow(bundled.NAME, n_parameters(bundled.DIMS), demo.is_file(), demo)]
    for name, model in OFFICIAL_MODELS.items():
        path = _folder(cache_dir) / model.file_name
        rows.append(ModelRow(name, n_parameters(model.dims), path.is_file(), path))
    return rows


def about(name: str) -> str:
    """What the text of a model may be trusted for: one sentence, to stand beside that text."""
    if name == bundled.NAME:
        return f"{name} is {bundled.limits()}."
    if name in OFFICIAL_MODELS:
        return f"{name} is OpenAI's model, as published."
    return f"{name} is a checkpoint of whoever runs this: its accuracy is not known here."


def n_parameters(dims: Dims) -> int:
    """Numbers in a network, the fixed audio positions included."""
    return sum(prod(spec.shape) for spec in expected_tensors(dims).values())


def tensor_table(checkpoint: Checkpoint) -> list[TensorRow]:
    """Every tensor of a checkpoint, in the order of the network."""
    return [
        TensorRow(name, spec.shape, str(checkpoint.weights[name].dtype), spec.role)
        for name, spec in expected_tensors(checkpoint.dims).items()
    ]
