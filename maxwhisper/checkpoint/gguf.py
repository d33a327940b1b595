"""Read GGUF files (version 2 and 3) that contain a Whisper.

In: a path. Out: a `Checkpoint`. Tensors have the names of openai-whisper or of Hugging Face. The
number of heads is in the metadata, or follows from the width: every published Whisper has heads of
64. Source: ggml/docs/gguf.md.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maxwhisper.checkpoint.binary_file import MAX_AXES, MAX_TENSORS, BinaryFile, open_binary
from maxwhisper.checkpoint.ggml_blocks import is_quantised, kind_name, n_stored_bytes, read_tensor
from maxwhisper.checkpoint.hf_folder import hf_name, without_tied_projection
from maxwhisper.checkpoint.quote import listed, quoted
from maxwhisper.checkpoint.schema import (
    Array,
    Checkpoint,
    check_layers,
    expected_tensors,
    make_checkpoint,
    validate_dims,
)
from maxwhisper.errors import CheckpointError
from maxwhisper.network.dims import Dims

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32  # bytes, unless the metadata say otherwise
_HEAD_WIDTH = 64
_MAX_ENTRIES = 1_000_000  # of metadata, and of a list in them; a vocabulary has 51,866
_NUMBERS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_TEXT, _LIST = 8, 9


@dataclass(frozen=True)
class _Info:
    shape: tuple[int, ...]
    kind: int
    offset: int  # bytes after the beginning of the data


def read_gguf(path: Path) -> Checkpoint:
    """Read a Whisper in a GGUF file of the types that `ggml_blocks` reads.

    Raises `CheckpointError` for a damaged file, another architecture, and other types.
    """
    with open_binary(path) as file:
        file.skip(len(MAGIC))
        (version,) = file.numbers("I")
        if version not in _VERSIONS:
            raise CheckpointError(
                f"expected a GGUF file of version 2 or 3 at {path}, got version {version}: make "
                "the file again with a newer tool"
            )
        n_tensors, n_metadata = file.numbers("QQ")
        if n_tensors > MAX_TENSORS or n_metadata > _MAX_ENTRIES:
            raise file.damaged(f"at most {MAX_TENSORS} tensors", str(n_tensors))
        metadata = dict(_entry(file) for _ in range(n_metadata))
        architecture = metadata.get("general.architecture", "whisper")
        if architecture != "whisper":
            raise CheckpointError(
                f"expected a Whisper in {path}, got the architecture {quoted(architecture)}"
            )
        infos = dict(_info(file) for _ in range(n_tensors))
        stored = _read(file, infos, metadata.get("general.alignment", _ALIGNMENT))
    try:
        return _checkpoint(path, metadata, infos, stored)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _entry(file: BinaryFile) -> tuple[str, Any]:
    """Return a key and its value; None for a list."""
    key, (kind,) = _text(file), file.numbers("I")
    if kind == _LIST:
        _skip_list(file)
        return key, None
    return key, _value(file, kind)


def _value(file: BinaryFile, kind: int) -> Any:
    if kind == _TEXT:
        (n_bytes,) = file.numbers("Q")
        return file.take(n_bytes).decode(errors="replace")
    if kind not in _NUMBERS:
        raise file.damaged("metadata of a known type", str(kind))
    return file.numbers(_NUMBERS[kind])[0]


def _skip_list(file: BinaryFile) -> None:
    kind, n_entries = file.numbers("IQ")
    if kind in _NUMBERS:
        file.skip(n_entries * struct.calcsize(f"<{_NUMBERS[kind]}"))
        return
    if kind != _TEXT or n_entries > _MAX_ENTRIES:
        raise file.damaged("lists of numbers or of text", f"type {kind}")
    for _ in range(n_entries):
        (n_bytes,) = file.numbers("Q")
        file.skip(n_bytes)


def _text(file: BinaryFile) -> str:
    (n_bytes,) = file.numbers("Q")
    return file.name(n_bytes)


def _info(file: BinaryFile) -> tuple[str, _Info]:
    name, (n_axes,) = _text(file), file.numbers("I")
    if n_axes > MAX_AXES:
        raise file.damaged(f"tensors of {MAX_AXES} axes at most", str(n_axes))
    shape = tuple(reversed(file.numbers(f"{n_axes}Q")))
    return name, _Info(shape, *file.numbers("IQ"))


def _read(file: BinaryFile, infos: Mapping[str, _Info], alignment: object) -> dict[str, Array]:
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
        raise file.damaged("an alignment of at most 1 MiB", quoted(alignment))
    begin = -(-file.position() // alignment) * alignment
    claimed = sum(n_stored_bytes(file, name, i.kind, i.shape) for name, i in infos.items())
    if claimed > file.n_left:
        raise file.damaged(f"{str(claimed)[:30]} bytes of tensors", str(file.n_left))
    arrays = {}
    for name, info in infos.items():
        file.seek(begin + info.offset)
        array = read_tensor(file, name, info.kind, info.shape)
        # The biases of the convolutions may have a second axis of length 1.
        arrays[name] = array[:, 0] if name.endswith(".bias") and array.ndim == 2 else array
    return arrays


def _checkpoint(
    path: Path, metadata: Mapping[str, Any], infos: Mapping[str, _Info], stored: dict[str, Array]
) -> Checkpoint:
    stored = without_tied_projection(path, stored)
    dims = _dims(path, metadata, stored)
    check_layers(dims, len(stored))
    canonical = {hf_name(name): name for name in expected_tensors(dims)}
    weights = {canonical.get(name, name): array for name, array in stored.items()}
    kinds = sorted({kind_name(info.kind) for info in infos.values() if is_quantised(info.kind)})
    source = f"weights of the GGUF file {path}"
    if kinds:
        source += f" ({' '.join(kinds)}, dequantised)"
    return make_checkpoint(path.stem, dims, weights, None, source)


def _dims(path: Path, metadata: Mapping[str, Any], stored: Mapping[str, Array]) -> Dims:
    """Return the dims that the shapes of the tensors and the metadata state."""

    def shape(name: str, n_axes: int) -> tuple[int, ...]:
        array = stored.get(name, stored.get(hf_name(name)))
        if array is None or array.ndim != n_axes:
            raise CheckpointError(f"expected {name} of {n_axes} axes, got {listed(stored)}")
        return array.shape

    def heads(side: str, n_state: int) -> int:
        key = f"whisper.{side}.attention.head_count"
        return metadata.get(key, max(1, n_state // _HEAD_WIDTH))

    def layers(side: str) -> int:
        begins = (f"{side}.blocks.", f"model.{side}.layers.")
        found = (name.removeprefix(begin) for name in stored for begin in begins if begin in name)
        return len({rest.split(".")[0] for rest in found})

    n_audio_ctx, n_audio_state = shape("encoder.positional_embedding", 2)
    n_text_ctx, n_text_state = shape("decoder.positional_embedding", 2)
    dims = Dims(
        n_mels=shape("encoder.conv1.weight", 3)[1],
        n_audio_ctx=n_audio_ctx,
        n_audio_state=n_audio_state,
        n_audio_head=heads("encoder", n_audio_state),
        n_audio_layer=layers("encoder"),
        n_vocab=shape("decoder.token_embedding.weight", 2)[0],
        n_text_ctx=n_text_ctx,
        n_text_state=n_text_state,
        n_text_head=heads("decoder", n_text_state),
        n_text_layer=layers("decoder"),
    )
    validate_dims(dims)
    return dims
