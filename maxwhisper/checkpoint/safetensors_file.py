"""Read safetensors files: a header in JSON, then plain arrays, so nothing in one can run code.

In: a path. Out: the arrays by name. Knows nothing of Whisper.
"""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from maxwhisper.checkpoint.bfloat16 import widened
from maxwhisper.checkpoint.quote import quoted
from maxwhisper.checkpoint.schema import Array
from maxwhisper.errors import CheckpointError


def read_safetensors(path: Path) -> dict[str, Array]:
    """Return all tensors of a file; bfloat16 is widened to float32.

    Raises `CheckpointError` for a damaged file and for types that numpy cannot hold.
    """
    try:
        with safe_open(path, framework="numpy") as file:  # checks the header against the size
            names = list(file.keys())
            dtypes = {name: file.get_slice(name).get_dtype() for name in names}
            tensors = {name: file.get_tensor(name) for name in names if dtypes[name] != "BF16"}
        narrow = [name for name in names if dtypes[name] == "BF16"]
        return tensors | (_read_bfloat16(path, narrow) if narrow else {})
    except SafetensorError as error:
        raise CheckpointError(
            f"expected a safetensors file at {path}, but it cannot be read "
            f"({quoted(str(error), 100)}): the file is damaged, get it again"
        ) from error
    except Exception as error:  # AttributeError for float8, ValueError for 65 axes, OSError, ...
        raise CheckpointError(
            f"expected tensors of float32, float16 or bfloat16 in {path}, but they cannot be read "
            f"({quoted(str(error), 60)}): convert the file, or get it again"
        ) from error


def _read_bfloat16(path: Path, names: list[str]) -> dict[str, Array]:
    with path.open("rb") as file:
        n_header = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(n_header))
        tensors = {}
        for name in names:
            begin, end = header[name]["data_offsets"]
            file.seek(8 + n_header + begin)
            bits = np.frombuffer(file.read(end - begin), "<u2").reshape(header[name]["shape"])
            tensors[name] = widened(bits)
    return tensors
