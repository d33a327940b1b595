"""Read what `torch.save` wrote, without torch: a zip of one pickle and the bytes of each tensor.

In: a path. Out: the saved content with `Stored` in place of every tensor, and their arrays. The
pickle can name only tensors, their types and plain containers, so an untrusted file cannot run
code. No file may claim more bytes than it has. Knows nothing of Whisper.
"""

import pickle
import pickletools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from maxwhisper.checkpoint.bfloat16 import widened
from maxwhisper.checkpoint.quote import plain, quoted
from maxwhisper.checkpoint.schema import Array
from maxwhisper.errors import CheckpointError

MAX_PICKLE_BYTES = 2 << 20  # of 0.2 MB for the 1,259 tensors of large-v3
_OLD_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # torch before 1.6

# What the picklers of `torch.save` write, in protocols 2 to 4. `LONG4`, `EXT1` and text opcodes are
# not among them.
_OPCODES = """
PROTO FRAME STOP MARK POP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE
SHORT_BINUNICODE SHORT_BINSTRING SHORT_BINBYTES EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1
TUPLE2 TUPLE3 SETITEM SETITEMS APPEND APPENDS BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE GLOBAL
STACK_GLOBAL REDUCE BUILD BINPERSID
"""
_STORAGES = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "DoubleStorage": "float64",
}
_DTYPES = {"float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}  # a bfloat16 is read as its bits


@dataclass(frozen=True)
class Stored:
    """A tensor in the file: a view of storage `key`. `kind` is "dense" for plain numbers; offset
    and strides count elements."""

    kind: str
    dtype: str
    key: str = ""
    offset: int = 0
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Storage:
    dtype: str
    key: str


@dataclass(frozen=True)
class _Name:
    """An attribute of torch that is only an argument: a dtype, a layout, a type of storage."""

    name: str


class _Forbidden(Exception):
    """A pickle that names something other than tensors and plain containers."""


class _Mapping(dict[Any, Any]):
    """An `OrderedDict` of the file, whose attributes (`_metadata`) are not wanted."""

    def __setstate__(self, state: object) -> None:
        pass


def read_torch_file(path: Path) -> Any:
    """Return the content of a file of `torch.save`, with `Stored` in place of tensors.

    Raises `CheckpointError` for a file that is missing or damaged, or contains anything but tensors
    and plain containers.
    """
    if not path.is_file():
        raise CheckpointError(f"expected a checkpoint file at {path}, found none")
    try:
        with path.open("rb") as file:
            is_old = file.read(len(_OLD_MAGIC)) == _OLD_MAGIC
        if not is_old:
            return _content(path)
    except CheckpointError:
        raise
    except _Forbidden as error:
        raise CheckpointError(
            f"expected only tensors in {path}, got pickled objects ({error}), which could run code "
            "and are refused: if you trust the file, convert it to safetensors"
        ) from error
    except Exception as error:  # BadZipFile, EOFError, KeyError, UnpicklingError, ... for damage
        raise CheckpointError(
            f"expected a PyTorch checkpoint at {path}, got a file that is damaged or of another "
            "format: download it again"
        ) from error
    raise CheckpointError(
        f"expected a file of torch 1.6 or newer at {path}, got the format before it: load it with "
        "torch and save it again"
    )


def _content(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        check_claim(path, sum(entry.file_size for entry in archive.infolist()))
        root = _root(archive)
        if f"{root}/byteorder" in archive.namelist():
            _check_byte_order(path, archive.read(f"{root}/byteorder"))
        entry = archive.getinfo(f"{root}/data.pkl")
        if entry.file_size > MAX_PICKLE_BYTES:
            raise CheckpointError(
                f"expected at most {MAX_PICKLE_BYTES} bytes of names in {path}, got "
                f"{entry.file_size}: is this an OpenAI Whisper checkpoint?"
            )
        pickled = archive.read(entry)
    _check_opcodes(pickled)
    return _Unpickler(BytesIO(pickled)).load()


def _root(archive: zipfile.ZipFile) -> str:
    (root,) = {name.split("/")[0] for name in archive.namelist() if name.endswith("/data.pkl")}
    return root


def _check_byte_order(path: Path, order: bytes) -> None:
    if order != b"little":
        raise CheckpointError(
            f"expected little-endian numbers in {path}, got {quoted(order.decode('latin-1'))}: "
            "save the file on another machine"
        )


def _check_opcodes(pickled: bytes) -> None:
    """Raise `_Forbidden` for an instruction that `torch.save` does not write, and for a memo index
    beyond the number of entries: Python's unpickler would allocate that many."""
    allowed, n_kept = frozenset(_OPCODES.split()), 0
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name not in allowed:
            raise _Forbidden(f"instruction {opcode.name}")
        if opcode.name in ("BINPUT", "LONG_BINPUT"):
            if not isinstance(argument, int) or argument > n_kept:
                raise _Forbidden("a memo with gaps")
            n_kept += 1
        elif opcode.name == "MEMOIZE":
            n_kept += 1


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        if module in ("torch", "torch.storage"):
            return _Name(name)
        raise _Forbidden(quoted(f"{module}.{name}", 30))

    def persistent_load(self, pid: Any) -> _Storage:
        _, kind, key, *_ = pid
        if not isinstance(kind, _Name) or not isinstance(key, str):
            raise _Forbidden("a storage of another kind")
        return _Storage(_STORAGES.get(kind.name, kind.name), key)


def _dense(storage: _Storage, offset: int, shape: Any, strides: Any, *rest: Any) -> Stored:
    """Stand in for `_rebuild_tensor`, `_v2` and `_v3`; the third has its dtype apart."""
    dtypes = [part.name for part in rest if isinstance(part, _Name)]
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or any(type(n) is not int or n < 0 for n in numbers):
        raise ValueError("a tensor without a shape")
    dtype = dtypes[0] if dtypes else storage.dtype
    return Stored("dense", dtype, storage.key, offset, tuple(shape), tuple(strides))


def _refused(kind: str) -> Any:
    return lambda *_: Stored(kind, kind)


def _first(value: object, *_: object) -> object:
    return value


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Mapping,
    ("torch", "Size"): tuple,
    ("torch.serialization", "_get_layout"): _first,
    ("torch._utils", "_rebuild_tensor"): _dense,
    ("torch._utils", "_rebuild_tensor_v2"): _dense,
    ("torch._utils", "_rebuild_tensor_v3"): _dense,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch._utils", "_rebuild_sparse_tensor"): _refused("sparse"),
    ("torch._utils", "_rebuild_qtensor"): _refused("quantised"),
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _refused("meta"),  # a shape, no numbers
    ("torch._utils", "_rebuild_nested_tensor"): _refused("nested"),
}


def check_claim(path: Path, claimed: int) -> None:
    """Raise `CheckpointError` if the content, which is not compressed, is larger than the file."""
    n_bytes = path.stat().st_size
    if claimed > n_bytes:
        raise CheckpointError(
            f"expected at most {n_bytes} bytes of tensors in {path}, which is its size, got "
            f"{claimed}: the file is damaged or compressed, save it again with torch.save"
        )


def stored_arrays(path: Path, state_dict: object) -> dict[str, Array]:
    """Read the tensors of a mapping from `read_torch_file`. bfloat16 is widened to float32.

    Raises `CheckpointError` for anything but names and dense tensors of float32, float16 or
    bfloat16, and for more bytes than the file has.
    """
    if not isinstance(state_dict, dict):
        raise CheckpointError(f"expected a mapping of tensors in {path}, got {quoted(state_dict)}")
    for name, tensor in state_dict.items():
        if not isinstance(name, str):
            raise CheckpointError(f"expected names of tensors in {path}, got {quoted(name)}")
        _check_dense(path, name, tensor)
    # Tied tensors, for example the output projection and the embedding, are the same view twice.
    views = set(state_dict.values())
    check_claim(path, sum(prod(v.shape) * np.dtype(_DTYPES[v.dtype]).itemsize for v in views))
    return _read(path, state_dict)


def _check_dense(path: Path, name: str, tensor: object) -> None:
    if not isinstance(tensor, Stored):
        raise CheckpointError(
            f"expected {plain(name)} in {path} to be a tensor, got {quoted(tensor)}"
        )
    if tensor.kind != "dense":
        raise CheckpointError(
            f"expected {plain(name)} in {path} to be a dense tensor, got a {tensor.kind} one: save "
            "the file again with plain float32 or float16 tensors"
        )
    if tensor.dtype not in _DTYPES:
        raise CheckpointError(
            f"expected {plain(name)} in {path} in float32 or float16, got {plain(tensor.dtype)}"
        )


def _read(path: Path, state_dict: Mapping[str, Stored]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(path) as archive:
        root = _root(archive)
        kept: dict[str, bytes] = {}  # several tensors may be views of one storage
        views: dict[Stored, Array] = {}  # and several may be the same view
        for name, tensor in state_dict.items():
            try:
                if tensor.key not in kept:
                    kept[tensor.key] = archive.read(f"{root}/data/{tensor.key}")
                if tensor not in views:
                    views[tensor] = _array(kept[tensor.key], tensor)
                arrays[name] = views[tensor]
            except Exception as error:  # KeyError, BadZipFile, OverflowError, ... for damage
                raise CheckpointError(
                    f"expected the numbers of {plain(name)} in {path}, but they are damaged or "
                    "missing: download the file again"
                ) from error
    return arrays


def _array(storage: bytes, tensor: Stored) -> Array:
    """Return the view of a storage. Raises `ValueError` if it reaches beyond the storage."""
    flat = np.frombuffer(storage, _DTYPES[tensor.dtype])
    last = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    if prod(tensor.shape) and tensor.offset + last >= flat.size:
        raise ValueError("a view beyond its storage")
    view = np.lib.stride_tricks.as_strided(
        flat[tensor.offset :], tensor.shape, [n * flat.itemsize for n in tensor.strides]
    )
    array = np.ascontiguousarray(view).reshape(tensor.shape)
    return widened(array) if tensor.dtype == "bfloat16" else array
