"""Read CTranslate2 folders, as faster-whisper uses them: model.bin, config.json, vocabulary.

In: a folder. Out: a `Checkpoint`. This is the inverse of `convert_ctranslate2`. Quantised matrices
become float32. ctranslate2 is not needed. Source: ctranslate2/specs/model_spec.py (`_serialize`,
`_quantize`) and whisper_spec.py.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maxwhisper.checkpoint.bfloat16 import widened
from maxwhisper.checkpoint.binary_file import MAX_AXES, MAX_TENSORS, BinaryFile, open_binary
from maxwhisper.checkpoint.hf_folder import read_any_json, read_json
from maxwhisper.checkpoint.quote import plain, quoted
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

MODEL = "model.bin"
_VOCABULARY, _TOKEN = "vocabulary.json", "<|notimestamps|>"
_BINARY_VERSION = 6  # of the file
_SPEC, _REVISION = "WhisperSpec", 3  # of the layout
# By the number that the file has for a type; bfloat16 is read as its bits.
_DTYPES = ("<f4", "i1", "<i2", "<i4", "<f2", "<u2")
_NAMES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")
_FLAGS = {"decoder/activation": 3, "decoder/pre_norm": 1, "decoder/scale_embeddings": 0}  # 3: GELU
_EMBEDDING = "decoder/embeddings/weight"
_PROJECTION = "decoder/projection/weight"

# canonical module -> CTranslate2 layer
_STEM_LAYERS = {
    "encoder.conv1": "encoder/conv1",
    "encoder.conv2": "encoder/conv2",
    "encoder.ln_post": "encoder/layer_norm",
    "decoder.token_embedding": "decoder/embeddings",
    "decoder.ln": "decoder/layer_norm",
}
_BLOCK_LAYERS = {
    "attn.out": "self_attention/linear_1",
    "attn_ln": "self_attention/layer_norm",
    "cross_attn.query": "attention/linear_0",
    "cross_attn.out": "attention/linear_2",
    "cross_attn_ln": "attention/layer_norm",
    "mlp.0": "ffn/linear_0",
    "mlp.2": "ffn/linear_1",
    "mlp_ln": "ffn/layer_norm",
}
# canonical module -> layer of several projections on top of each other, which one, of how many
_FUSED_LAYERS = {
    "attn.query": ("self_attention/linear_0", 0, 3),
    "attn.key": ("self_attention/linear_0", 1, 3),
    "attn.value": ("self_attention/linear_0", 2, 3),
    "cross_attn.key": ("attention/linear_1", 0, 2),
    "cross_attn.value": ("attention/linear_1", 1, 2),
}
_POSITIONS = {
    "encoder.positional_embedding": "encoder/position_encodings/encodings",
    "decoder.positional_embedding": "decoder/position_encodings/encodings",
}
_NORM_PARAMETERS = {"weight": "gamma", "bias": "beta"}


@dataclass(frozen=True)
class _Source:
    """A tensor's variable; `part` of `n_parts` equal parts along its first axis."""

    variable: str
    part: int = 0
    n_parts: int = 1


def read_ctranslate2_folder(folder: Path) -> Checkpoint:
    """Read a folder that a converter of CTranslate2 wrote: float32, float16, bfloat16, int16, or
    one of the int8 types.

    Raises `CheckpointError` for missing or damaged files and for a network other than Whisper.
    """
    path = folder / MODEL
    with open_binary(path) as file:
        variables = _read(file)
    config = read_json(folder / "config.json", {})
    try:
        dims = _dims(path, variables)
        weights = _weights(path, dims, variables)
        source = f"weights of the CTranslate2 folder {folder}{variables.note}"
        heads = config.get("alignment_heads")
        name, no_timestamps = folder.resolve().name, _no_timestamps(folder)
        return make_checkpoint(name, dims, weights, heads, source, no_timestamps)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error


def _no_timestamps(folder: Path) -> int | None:
    """Return the id of <|notimestamps|> in the list of tokens, None without a list."""
    path = folder / _VOCABULARY
    tokens = read_any_json(path) if path.is_file() else None
    return tokens.index(_TOKEN) if isinstance(tokens, list) and _TOKEN in tokens else None


class _Variables:
    """The variables of a file by name, dequantised when they are asked for."""

    def __init__(self, stored: dict[str, npt.NDArray[Any]], aliases: dict[str, str]) -> None:
        self._stored, self._aliases = stored, aliases
        self._last: tuple[str, Array] | None = None  # the parts of a fused layer are asked in turn

    def __contains__(self, name: str) -> bool:
        return self._aliases.get(name, name) in self._stored

    @property
    def names(self) -> Iterable[str]:
        return self._stored.keys() | self._aliases.keys()

    @property
    def note(self) -> str:
        """Say which type was dequantised: " (int8, dequantised)", or "" if none was."""
        kinds = {a.dtype.name for a in self._stored.values() if a.ndim and a.dtype.kind == "i"}
        return f" ({' '.join(sorted(kinds))}, dequantised)" if kinds else ""

    def raw(self, name: str) -> npt.NDArray[Any]:
        return self._stored[self._aliases.get(name, name)]

    def array(self, name: str) -> Array:
        """Return a variable; integers are divided by the scale of their row."""
        name = self._aliases.get(name, name)
        if self._last is None or self._last[0] != name:
            self._last = (name, self._dequantised(name))
        return self._last[1]

    def _dequantised(self, name: str) -> Array:
        array, scale = self._stored[name], self._stored.get(f"{name}_scale")
        if array.dtype.kind != "i":
            return array
        if scale is None or scale.size not in (1, len(array)):
            raise CheckpointError(f"expected a scale for each row of {plain(name)}, got none")
        column = scale.astype(np.float32).reshape(-1, *(1,) * (array.ndim - 1))
        with np.errstate(all="ignore"):  # validation refuses what a scale of 0 or NaN makes
            return array / column


def _read(file: BinaryFile) -> _Variables:
    """Return the variables of model.bin. Raises `CheckpointError` unless a Whisper is in it."""
    (version,) = file.numbers("I")
    if version != _BINARY_VERSION:
        raise CheckpointError(
            f"expected a CTranslate2 file of version {_BINARY_VERSION} at {file.path}, got version "
            f"{version}: convert the model again with a newer ctranslate2"
        )
    spec, (revision, n_variables) = _text(file), file.numbers("II")
    if (spec, revision) != (_SPEC, _REVISION):
        raise CheckpointError(
            f"expected {_SPEC} of revision {_REVISION} in {file.path}, got {quoted(spec)} of "
            f"revision {revision}: convert a Whisper model with a newer ctranslate2"
        )
    if n_variables > MAX_TENSORS:
        raise file.damaged(f"at most {MAX_TENSORS} variables", str(n_variables))
    stored = dict(_variable(file) for _ in range(n_variables))
    (n_aliases,) = file.numbers("I")
    if n_aliases > MAX_TENSORS:
        raise file.damaged(f"at most {MAX_TENSORS} aliases", str(n_aliases))
    aliases = {_text(file): _text(file) for _ in range(n_aliases)}
    unknown = sorted(aliases.values() - stored.keys())
    if unknown:
        raise file.damaged(f"the variable {plain(unknown[0])}", "none")
    return _Variables(stored, aliases)


def _text(file: BinaryFile) -> str:
    (n_bytes,) = file.numbers("H")
    return file.name(n_bytes).rstrip("\0")


def _variable(file: BinaryFile) -> tuple[str, npt.NDArray[Any]]:
    name, (n_axes,) = _text(file), file.numbers("B")
    if n_axes > MAX_AXES:
        raise file.damaged(f"at most {MAX_AXES} axes", str(n_axes))
    shape = file.numbers(f"{n_axes}I")
    kind, n_bytes = file.numbers("BI")
    if kind >= len(_DTYPES):
        raise file.damaged(f"a type in 0..{len(_DTYPES) - 1} for {plain(name)}", str(kind))
    array = file.array(_DTYPES[kind], shape)
    if array.nbytes != n_bytes:
        raise file.damaged(f"{array.nbytes} bytes of {plain(name)}", str(n_bytes))
    return name, widened(array) if _NAMES[kind] == "bfloat16" else array


def _dims(path: Path, variables: _Variables) -> Dims:
    def shape(name: str, n_axes: int) -> tuple[int, ...]:
        if name not in variables or variables.raw(name).ndim != n_axes:
            raise CheckpointError(f"expected {name} of {n_axes} axes in {path.name}, got none")
        return variables.raw(name).shape

    def heads(side: str) -> int:
        name = f"{side}/num_heads"
        if shape(name, 0) or variables.raw(name).dtype.kind != "i":
            raise CheckpointError(f"expected a whole number as {name} in {path.name}")
        return int(variables.raw(name))

    def layers(side: str) -> int:
        found = (re.match(rf"{side}/layer_(\d{{1,6}})/", name) for name in variables.names)
        return len({match[1] for match in found if match})

    for name, value in _FLAGS.items():
        if name in variables and not np.array_equal(variables.raw(name), value):
            raise CheckpointError(
                f"expected {name} {value} in {path.name}, as every Whisper has it, got "
                f"{quoted(variables.raw(name).tolist())}"
            )
    n_audio_ctx, n_state = shape(_POSITIONS["encoder.positional_embedding"], 2)
    n_text_ctx, n_text_state = shape(_POSITIONS["decoder.positional_embedding"], 2)
    dims = Dims(
        n_mels=shape("encoder/conv1/weight", 3)[1],
        n_audio_ctx=n_audio_ctx,
        n_audio_state=n_state,
        n_audio_head=heads("encoder"),
        n_audio_layer=layers("encoder"),
        n_vocab=shape(_EMBEDDING, 2)[0],
        n_text_ctx=n_text_ctx,
        n_text_state=n_text_state,
        n_text_head=heads("decoder"),
        n_text_layer=layers("decoder"),
    )
    validate_dims(dims)
    return dims


def _weights(path: Path, dims: Dims, variables: _Variables) -> dict[str, Array]:
    """Return the tensors under canonical names. Raises `CheckpointError` for a variable that has no
    place in the network, so that nothing of another network is left out in silence."""
    check_layers(dims, len(list(variables.names)))
    sources = {name: _source(name) for name in expected_tensors(dims)}
    used = {source.variable for source in sources.values()}
    others = {name for name in variables.names if variables.raw(name).ndim}
    others -= used | {f"{name}_scale" for name in used} | {_PROJECTION, f"{_PROJECTION}_scale"}
    if others:
        raise CheckpointError(
            f"got {plain(min(others))} in {path.name}, which a Whisper network does not have"
        )
    if _PROJECTION in variables and not np.array_equal(
        variables.array(_PROJECTION), variables.array(_EMBEDDING)
    ):
        raise CheckpointError(
            f"expected {_PROJECTION} in {path.name} to equal the token embedding, got another "
            "projection: Whisper ties the two"
        )
    weights = {
        name: _part(variables, source)
        for name, source in sources.items()
        if source.variable in variables
    }
    for name in weights:
        if name.endswith("key.weight"):
            _check_no_key_bias(variables, _source(name.replace(".weight", ".bias")))
    return weights


def _source(name: str) -> _Source:
    """Return where a canonical tensor is in a file."""
    if name in _POSITIONS:
        return _Source(_POSITIONS[name])
    module, parameter = name.rsplit(".", 1)
    if module in _STEM_LAYERS:
        layer = _STEM_LAYERS[module]
    else:
        side, _, block, inner = module.split(".", 3)
        layer = f"{side}/layer_{block}/"
        if inner in _FUSED_LAYERS:
            fused, part, n_parts = _FUSED_LAYERS[inner]
            return _Source(f"{layer}{fused}/{parameter}", part, n_parts)
        layer += _BLOCK_LAYERS[inner]
    if layer.endswith("layer_norm"):
        parameter = _NORM_PARAMETERS[parameter]
    return _Source(f"{layer}/{parameter}")


def _part(variables: _Variables, source: _Source) -> Array:
    array = variables.array(source.variable)
    n_rows, rest = divmod(len(array) if array.ndim else 0, source.n_parts)
    if rest:
        raise CheckpointError(
            f"expected {source.n_parts} equal parts in {source.variable}, got {len(array)} rows"
        )
    return array[source.part * n_rows : (source.part + 1) * n_rows]


def _check_no_key_bias(variables: _Variables, source: _Source) -> None:
    """Raise `CheckpointError` unless the bias of a key is zeros: Whisper has none."""
    if source.variable in variables and np.any(_part(variables, source)):
        raise CheckpointError(
            f"expected no bias of the key in {source.variable}, got one: this is not a Whisper"
        )
