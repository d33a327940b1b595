"""Reads OpenAI's `.pt` files: a zip of `dims` and `model_state_dict`.

Never unpickles objects: torch's restricted loader accepts tensors and plain containers alone, so a
file from a stranger cannot run code. torch is imported when a file is read, not before.
"""

import pickle
import zipfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from maxwhisper.checkpoint.schema import Array, Checkpoint, make_checkpoint
from maxwhisper.dims import Dims
from maxwhisper.errors import CheckpointError


def read_openai_pt(
    path: Path,
    *,
    name: str | None = None,
    alignment_heads: Sequence[Sequence[int]] | None = None,
    source: str | None = None,
) -> Checkpoint:
    """Read a `.pt` file; tensors keep their stored precision.

    Raises `CheckpointError` for a file that is missing, damaged, holds anything but plain tensors,
    or is not a Whisper network.
    """
    content = _load(path)
    if not isinstance(content, dict) or not {"dims", "model_state_dict"} <= content.keys():
        raise CheckpointError(
            f"expected 'dims' and 'model_state_dict' in {path}, got "
            f"{sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__}"
            ": is this an OpenAI Whisper checkpoint?"
        )
    dims = _dims(path, content["dims"])
    weights = _arrays(path, content["model_state_dict"])
    source = source or f"weights of the OpenAI-format file {path}"
    try:
        return make_checkpoint(name or path.stem, dims, weights, alignment_heads, source)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _load(path: Path) -> Any:
    import torch

    if not path.is_file():
        raise CheckpointError(f"expected a checkpoint file at {path}, found none")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises RuntimeError, EOFError, KeyError, ... for damage
        if isinstance(error, pickle.UnpicklingError) and zipfile.is_zipfile(path):
            raise CheckpointError(
                f"expected tensors only in {path}, got something that this package refuses to "
                "load, because it could run code: convert it to safetensors where it is trusted"
            ) from error
        raise CheckpointError(
            f"expected a PyTorch checkpoint at {path}, got a file that is damaged or of another "
            "format: get it again"
        ) from error


def _dims(path: Path, entry: object) -> Dims:
    names = {field.name for field in fields(Dims)}
    if not isinstance(entry, dict) or entry.keys() != names:
        raise CheckpointError(f"expected dims {sorted(names)} in {path}, got {entry}")
    return Dims(**entry)


def _arrays(path: Path, state_dict: object) -> dict[str, Array]:
    import torch

    if not isinstance(state_dict, dict):
        raise CheckpointError(f"expected a mapping model_state_dict in {path}")
    arrays: dict[str, Array] = {}
    for name, tensor in state_dict.items():
        if not isinstance(tensor, torch.Tensor):
            raise CheckpointError(f"expected {name} in {path} to be a tensor, got {tensor!r:.80}")
        if tensor.dtype == torch.bfloat16:  # numpy has none; float32 holds every value of it
            tensor = tensor.float()
        arrays[str(name)] = tensor.detach().numpy()
    return arrays
