"""Read OpenAI's `.pt` files: a zip of `dims` and `model_state_dict`.

In: a path. Out: a `Checkpoint`. torch's restricted loader accepts only tensors and plain
containers, so an untrusted file cannot run code. No file may claim more bytes than it has. torch is
imported when a file is read.
"""

import pickle
import zipfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maxwhisper.checkpoint.quote import listed, plain, quoted
from maxwhisper.checkpoint.schema import Array, Checkpoint, make_checkpoint
from maxwhisper.errors import CheckpointError
from maxwhisper.network.dims import Dims

if TYPE_CHECKING:
    import torch


def read_openai_pt(
    path: Path,
    *,
    name: str | None = None,
    alignment_heads: Sequence[Sequence[int]] | None = None,
    source: str | None = None,
) -> Checkpoint:
    """Read a `.pt` file. Tensors keep their stored precision.

    Raises `CheckpointError` for a file that is missing or damaged, contains anything but plain
    tensors, or is not a Whisper network.
    """
    content = _load(path)
    if not isinstance(content, dict) or not {"dims", "model_state_dict"} <= content.keys():
        got = listed(content) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(
            f"expected 'dims' and 'model_state_dict' in {path}, got {got}: is this an OpenAI "
            "Whisper checkpoint?"
        )
    dims = _dims(path, content["dims"])
    weights = _arrays(path, content["model_state_dict"])
    source = source or f"weights of the OpenAI-format file {path}"
    try:
        return make_checkpoint(name or path.stem, dims, weights, alignment_heads, source)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _load(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"expected a checkpoint file at {path}, found none")
    try:
        import torch
    except ImportError as error:
        raise CheckpointError(
            f"reading {path} needs torch ({error}): pip install torch, or give a folder with "
            "model.safetensors"
        ) from error
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                claimed = sum(entry.file_size for entry in archive.infolist())
            _check_claim(path, claimed)
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # torch raises RuntimeError, EOFError, KeyError, ... for damage
        if isinstance(error, pickle.UnpicklingError) and zipfile.is_zipfile(path):
            raise CheckpointError(
                f"expected only tensors in {path}, got pickled objects, which could run code and "
                "are refused: if you trust the file, convert it to safetensors"
            ) from error
        raise CheckpointError(
            f"expected a PyTorch checkpoint at {path}, got a file that is damaged or of another "
            "format: download it again"
        ) from error


def _check_claim(path: Path, claimed: int) -> None:
    """Raise `CheckpointError` if the content, which is not compressed, is larger than the file."""
    n_bytes = path.stat().st_size
    if claimed > n_bytes:
        raise CheckpointError(
            f"expected at most {n_bytes} bytes of tensors in {path}, which is its size, got "
            f"{claimed}: the file is damaged or compressed, save it again with torch.save"
        )


def _dims(path: Path, entry: object) -> Dims:
    names = {field.name for field in fields(Dims)}
    if not isinstance(entry, dict):
        raise CheckpointError(f"expected dims as a mapping in {path}, got {quoted(entry)}")
    if entry.keys() != names:
        missing, others = sorted(names - entry.keys()), [key for key in entry if key not in names]
        raise CheckpointError(
            f"expected the {len(names)} dims of a Whisper network in {path}: missing are "
            f"{listed(missing)}, unknown are {listed(others)}"
        )
    return Dims(**entry)


def _arrays(path: Path, state_dict: object) -> dict[str, Array]:
    import torch

    if not isinstance(state_dict, dict):
        raise CheckpointError(f"expected a mapping model_state_dict in {path}")
    claimed = 0
    for name, tensor in state_dict.items():
        if not isinstance(name, str):
            raise CheckpointError(f"expected names of tensors in {path}, got {quoted(name)}")
        if not isinstance(tensor, torch.Tensor):
            raise CheckpointError(
                f"expected {plain(name)} in {path} to be a tensor, got {quoted(tensor)}"
            )
        _check_dense(path, name, tensor)
        claimed += tensor.numel() * tensor.element_size()
    _check_claim(path, claimed)
    return {name: _array(path, name, tensor) for name, tensor in state_dict.items()}


def _check_dense(path: Path, name: str, tensor: "torch.Tensor") -> None:
    """Raise `CheckpointError` unless the tensor is an array of numbers in memory."""
    kinds = {
        "nested": tensor.is_nested,
        "quantised": tensor.is_quantized,
        "sparse": str(tensor.layout) != "torch.strided",
        "meta": tensor.device.type != "cpu",  # a shape without numbers
    }
    for kind, is_kind in kinds.items():
        if is_kind:
            raise CheckpointError(
                f"expected {plain(name)} in {path} to be a dense tensor, got a {kind} one: save "
                "the file again with plain float32 or float16 tensors"
            )


def _array(path: Path, name: str, tensor: "torch.Tensor") -> Array:
    import torch

    if tensor.dtype == torch.bfloat16:  # numpy has no bfloat16; float32 represents it exactly
        tensor = tensor.float()
    try:
        array: Array = tensor.detach().numpy()
    except (RuntimeError, TypeError) as error:  # a type that numpy does not have
        raise CheckpointError(
            f"expected {plain(name)} in {path} in float32 or float16, got {tensor.dtype}"
        ) from error
    return array
