"""Tensors of GGML and GGUF files: plain numbers, and blocks of 32 numbers with a scale.

In: an open file, a type, a shape. Out: an array; quantised numbers become float32. Source: the
structs of ggml/src/ggml-common.h (version 2 of the quantisation format).
"""

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from maxwhisper.checkpoint.bfloat16 import widened
from maxwhisper.checkpoint.binary_file import BinaryFile
from maxwhisper.checkpoint.quote import plain
from maxwhisper.checkpoint.schema import Array
from maxwhisper.errors import CheckpointError

N_BLOCK = 32  # numbers in a block
_PLAIN = {0: "<f4", 1: "<f2", 30: "<u2"}  # float32, float16, bfloat16
# The fields of a block: `d` scales, `m` is added, `high` has the fifth bits, number i in bit i, and
# `low` has number i in the lower half of byte i, number 16 + i in the upper half.
_D, _M = ("d", "<f2"), ("m", "<f2")
_HIGH, _LOW = ("high", "u1", 4), ("low", "u1", 16)
_BLOCKS: dict[int, np.dtype[np.void]] = {
    2: np.dtype([_D, _LOW]),
    3: np.dtype([_D, _M, _LOW]),
    6: np.dtype([_D, _HIGH, _LOW]),
    7: np.dtype([_D, _M, _HIGH, _LOW]),
    8: np.dtype([_D, ("q", "i1", N_BLOCK)]),
}
_READ = {0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0", 30: "bf16"}
_NOT_READ = {10: "q2_k", 11: "q3_k", 12: "q4_k", 13: "q5_k", 14: "q6_k", 15: "q8_k"}


def is_quantised(kind: int) -> bool:
    return kind in _BLOCKS


def kind_name(kind: int) -> str:
    """Return the name of a type as its tools write it: "q5_0"."""
    return _READ.get(kind) or _NOT_READ.get(kind) or f"type {kind}"


def n_stored_bytes(file: BinaryFile, name: str, kind: int, shape: Sequence[int]) -> int:
    """Return the bytes of a tensor in a file. Raises `CheckpointError` for a type that is not
    read, and for rows that are not whole blocks."""
    if kind not in _READ:
        raise CheckpointError(
            f"expected {plain(name)} in {file.path} as one of {' '.join(_READ.values())}, got "
            f"{kind_name(kind)}: make the file again with one of these types"
        )
    if kind in _PLAIN:
        return prod(shape) * np.dtype(_PLAIN[kind]).itemsize
    if not shape or shape[-1] % N_BLOCK:
        raise file.damaged(f"rows of whole blocks in {plain(name)}", str(list(shape))[:60])
    return prod(shape) // N_BLOCK * _BLOCKS[kind].itemsize


def read_tensor(file: BinaryFile, name: str, kind: int, shape: Sequence[int]) -> Array:
    """Return the next tensor of the file, float32 or float16. `shape` is in C order."""
    n_bytes = n_stored_bytes(file, name, kind, shape)
    if kind in _PLAIN:
        array = file.array(_PLAIN[kind], shape)
        return widened(array) if _READ[kind] == "bf16" else array
    if min(shape) < 0:
        raise file.damaged(f"whole numbers as axes of {plain(name)}", str(list(shape))[:60])
    blocks = np.frombuffer(file.take(n_bytes), _BLOCKS[kind])
    with np.errstate(all="ignore"):  # validation refuses what an infinite scale makes
        return dequantised(blocks).reshape(shape)


def dequantised(blocks: npt.NDArray[np.void]) -> Array:
    """Return the numbers of blocks (n,) as float32 (n, 32)."""
    fields = blocks.dtype.names or ()
    scale = blocks["d"].astype(np.float32)[:, None]
    if "q" in fields:
        return scale * blocks["q"]
    low = blocks["low"]
    q = np.concatenate([low & 15, low >> 4], axis=1).astype(np.float32)
    middle = 8
    if "high" in fields:
        q += 16 * np.unpackbits(blocks["high"], axis=1, bitorder="little")
        middle = 16
    if "m" in fields:
        return scale * q + blocks["m"].astype(np.float32)[:, None]
    return scale * (q - np.float32(middle))
