"""Read OpenAI's `.pt` files, in which `torch.save` put `dims` and `model_state_dict`.

In: a path. Out: a `Checkpoint`. Neither torch nor trust in the file is needed (`torch_file.py`).
"""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from maxwhisper.checkpoint.quote import listed, quoted
from maxwhisper.checkpoint.schema import Checkpoint, make_checkpoint
from maxwhisper.checkpoint.torch_file import read_torch_file, stored_arrays
from maxwhisper.errors import CheckpointError
from maxwhisper.network.dims import Dims


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
    content = read_torch_file(path)
    if not isinstance(content, dict) or not {"dims", "model_state_dict"} <= content.keys():
        got = listed(content) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(
            f"expected 'dims' and 'model_state_dict' in {path}, got {got}: is this an OpenAI "
            "Whisper checkpoint?"
        )
    dims = _dims(path, content["dims"])
    weights = stored_arrays(path, content["model_state_dict"])
    source = source or f"weights of the OpenAI-format file {path}"
    try:
        return make_checkpoint(name or path.stem, dims, weights, alignment_heads, source)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


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
