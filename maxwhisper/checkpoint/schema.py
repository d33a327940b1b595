"""The `Checkpoint` type: the one representation of weights in this package.

Owns `Checkpoint` and the table of tensors that a network must have. Names are openai-whisper's
state-dict names; arrays are numpy. `read` chooses a reader for a file or folder; `convert` and
`convert_ctranslate2` write other formats.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maxwhisper.checkpoint.added_tokens import EMBEDDING, N_VOCABS, without_added_tokens
from maxwhisper.checkpoint.quote import plain, quoted
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.errors import CheckpointError
from maxwhisper.network.dims import Dims

_log = logging.getLogger(__name__)

Array = npt.NDArray[np.floating]
Heads = tuple[tuple[int, int], ...]  # (decoder layer, head) pairs

MAX_DIM = 1_000_000  # far above any real network; a larger value is damage
_MAX_MISSING = 1500  # tensors: large-v3 has 1,259, and the first missing one can be named


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights under canonical names.

    `weights` holds float32 or float16 arrays exactly as stored. bfloat16 is widened to float32, and
    quantised numbers are dequantised to it; then `source` says so.
    `alignment_heads` are (decoder layer, head) pairs for word times.
    """

    name: str  # "demo", "tiny", or the stem of a path
    dims: Dims
    weights: Mapping[str, Array]
    alignment_heads: Heads
    source: str  # for people: where the weights came from
    digest: str  # sha256 hex of dims, alignment heads and all tensors, for caches
    place: str = ""  # for people: where on this disk they were found, as "our cache"


@dataclass(frozen=True)
class TensorSpec:
    """The required shape of one tensor, and its role in the network."""

    shape: tuple[int, ...]
    role: str


# Rows are (name, axes, role). Axes: C state, M mel bins, S audio positions, L text positions,
# V vocabulary, F = 4 C, "3" is 3. `key` has no bias, as in the reference (model.py:88).
_Rows = tuple[tuple[str, str, str], ...]

_ATTENTION: _Rows = (
    ("query.weight", "C C", "query projection"),
    ("query.bias", "C", "query projection"),
    ("key.weight", "C C", "key projection"),
    ("value.weight", "C C", "value projection"),
    ("value.bias", "C", "value projection"),
    ("out.weight", "C C", "output projection"),
    ("out.bias", "C", "output projection"),
)
_MLP: _Rows = (
    ("mlp.0.weight", "F C", "MLP, widening"),
    ("mlp.0.bias", "F", "MLP, widening"),
    ("mlp.2.weight", "C F", "MLP, narrowing"),
    ("mlp.2.bias", "C", "MLP, narrowing"),
)
_STEM: _Rows = (
    ("encoder.conv1.weight", "C M 3", "convolution over mel frames"),
    ("encoder.conv1.bias", "C", "convolution over mel frames"),
    ("encoder.conv2.weight", "C C 3", "convolution of stride 2"),
    ("encoder.conv2.bias", "C", "convolution of stride 2"),
    ("encoder.positional_embedding", "S C", "sinusoidal audio positions"),
)
_TEXT_EMBEDDINGS: _Rows = (
    ("decoder.token_embedding.weight", "V C", "token embedding and output projection"),
    ("decoder.positional_embedding", "L C", "learned text positions"),
)


def _layer_norm(name: str) -> _Rows:
    return ((f"{name}.weight", "C", "layer norm"), (f"{name}.bias", "C", "layer norm"))


def _attention(name: str, kind: str) -> _Rows:
    rows = tuple((f"{name}.{leaf}", axes, f"{kind}, {role}") for leaf, axes, role in _ATTENTION)
    return rows + _layer_norm(f"{name}_ln")


_ENCODER_BLOCK = _attention("attn", "self-attention") + _MLP + _layer_norm("mlp_ln")
_DECODER_BLOCK = _attention("cross_attn", "cross-attention") + _ENCODER_BLOCK


def expected_tensors(dims: Dims) -> dict[str, TensorSpec]:
    """Return every tensor of a network by canonical name, in a fixed order."""

    def specs(rows: _Rows, state: int, prefix: str = "") -> dict[str, TensorSpec]:
        sizes = {"C": state, "F": 4 * state, "M": dims.n_mels, "S": dims.n_audio_ctx}
        sizes |= {"L": dims.n_text_ctx, "V": dims.n_vocab, "3": 3}
        return {
            prefix + name: TensorSpec(tuple(sizes[axis] for axis in axes.split()), role)
            for name, axes, role in rows
        }

    audio, text = dims.n_audio_state, dims.n_text_state
    table = specs(_STEM, audio)
    for i in range(dims.n_audio_layer):
        table |= specs(_ENCODER_BLOCK, audio, f"encoder.blocks.{i}.")
    table |= specs(_layer_norm("encoder.ln_post"), audio)
    table |= specs(_TEXT_EMBEDDINGS, text)
    for i in range(dims.n_text_layer):
        table |= specs(_DECODER_BLOCK, text, f"decoder.blocks.{i}.")
    return table | specs(_layer_norm("decoder.ln"), text)


def make_checkpoint(
    name: str,
    dims: Dims,
    weights: Mapping[str, Array],
    alignment_heads: Sequence[Sequence[int]] | None,
    source: str,
    no_timestamps: object = None,
) -> Checkpoint:
    """Validate weights and return a `Checkpoint`. Raises `CheckpointError`.

    Without `alignment_heads`, or with heads of layers that this decoder does not have, every head
    of the last half of the decoder layers is used, the reference's default (model.py:270-276).
    Added tokens are left out; `no_timestamps` is the id of <|notimestamps|>, if a file states it.
    `source` and a warning say both.
    """
    validate_dims(dims)
    validate(dims, weights)
    dims, weights, about_tokens = without_added_tokens(dims, weights, no_timestamps)
    heads, about_heads = _checked_heads(dims, alignment_heads)
    if note := about_tokens + about_heads:
        _log.warning("%s: %s", name, note.removeprefix("; "))
    ordered = {tensor: weights[tensor] for tensor in expected_tensors(dims)}
    return Checkpoint(name, dims, ordered, heads, source + note, _digest(dims, heads, ordered))


def validate_dims(dims: Dims) -> None:
    """Raise `CheckpointError` for dims that no Whisper network has."""
    for field, value in dims.to_dict().items():
        if type(value) is not int or not 1 <= value <= MAX_DIM:
            raise CheckpointError(
                f"expected dims.{field} to be a whole number in 1..{MAX_DIM}, got {quoted(value)}"
            )
    if dims.n_vocab < min(N_VOCABS):
        raise CheckpointError(
            f"expected a vocabulary of {N_VOCABS} tokens, or one with added tokens, got "
            f"{dims.n_vocab}: there is no tokenizer for it"
        )
    if dims.n_audio_state != dims.n_text_state:
        raise CheckpointError(
            "expected encoder and decoder of the same width for cross-attention, got "
            f"n_audio_state {dims.n_audio_state} and n_text_state {dims.n_text_state}"
        )
    for side in ("audio", "text"):
        state, heads = getattr(dims, f"n_{side}_state"), getattr(dims, f"n_{side}_head")
        if state % heads:
            raise CheckpointError(f"expected n_{side}_head to divide {state}, got {heads}")


def check_layers(dims: Dims, n_tensors: int) -> None:
    """Raise `CheckpointError` for dims with far more tensors than the file has. Call it before
    `expected_tensors`, whose time and memory grow with the layers."""
    n_needed = dims.n_audio_layer * len(_ENCODER_BLOCK) + dims.n_text_layer * len(_DECODER_BLOCK)
    if n_needed > n_tensors + _MAX_MISSING:
        n_layers = dims.n_audio_layer + dims.n_text_layer
        raise CheckpointError(
            f"expected the tensors of {n_layers} layers, which the dims state, got {n_tensors} "
            "tensors: the file is damaged or incomplete, get it again"
        )


def validate(dims: Dims, weights: Mapping[str, Array]) -> None:
    """Raise `CheckpointError` unless `weights` has exactly the tensors of `dims`, all finite.

    The message names the first wrong tensor, counts the others, and suggests the official size that
    the weights have.
    """
    check_layers(dims, len(weights))
    table = expected_tensors(dims)
    problems = [
        f"expected {name} {spec.shape}, got "
        f"{quoted(weights[name].shape) if name in weights else 'none'}"
        for name, spec in table.items()
        if name not in weights or weights[name].shape != spec.shape
    ]
    problems += [
        f"got {plain(name)} {quoted(weights[name].shape)}, which this network does not have"
        for name in weights
        if name not in table
    ]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CheckpointError(f"{problems[0]}{more}{_guess(dims, weights)}")
    for name, array in weights.items():
        if array.dtype not in (np.float32, np.float16):
            raise CheckpointError(f"expected {name} in float32 or float16, got {array.dtype}")
        # A sum is finite only if all terms are. float64 prevents an overflow of float16 sums.
        with np.errstate(invalid="ignore"):  # of infinities with both signs
            total = array.sum(dtype=np.float64)
        if not np.isfinite(total):
            raise CheckpointError(
                f"expected finite numbers in {name}, got NaN or infinity: the file is damaged"
            )


def _guess(dims: Dims, weights: Mapping[str, Array]) -> str:
    """Return ": is this `base`, not `tiny`?" if the weights have an official size, else ""."""

    def count(side: str) -> int:
        numbers = (name.split(".")[2] for name in weights if name.startswith(f"{side}.blocks."))
        return len(set(numbers))

    def size(name: str, axis: int) -> int | None:
        shape = weights[name].shape if name in weights else ()
        return shape[axis] if len(shape) > axis else None

    def key(d: Dims) -> tuple[int | None, ...]:
        return (d.n_audio_state, d.n_audio_layer, d.n_text_layer, d.n_mels, d.n_vocab)

    found = (
        *(size(EMBEDDING, 1), count("encoder"), count("decoder")),
        *(size("encoder.conv1.weight", 1), size(EMBEDDING, 0)),
    )
    names = {key(model.dims): name for name, model in reversed(OFFICIAL_MODELS.items())}
    if found not in names or found == key(dims):
        return ""
    claimed = names.get(key(dims), "the size that its dims state")
    return f": is this `{names[found]}`, not `{claimed}`?"


def _checked_heads(dims: Dims, heads: Sequence[Sequence[int]] | None) -> tuple[Heads, str]:
    """Return (layer, head) pairs of the decoder, and a note if they are not those of the file."""
    last_half = range(dims.n_text_layer // 2, dims.n_text_layer)
    default = tuple((layer, head) for layer in last_half for head in range(dims.n_text_head))
    if heads is None:
        return default, ""
    pairs = heads if isinstance(heads, Sequence) else (heads,)
    for pair in pairs:
        if not _is_pair(pair):
            raise CheckpointError(
                f"expected alignment heads as pairs (layer < {dims.n_text_layer}, head < "
                f"{dims.n_text_head}), got {quoted(pair)}"
            )
    if all(layer < dims.n_text_layer and head < dims.n_text_head for layer, head in pairs):
        return tuple((int(layer), int(head)) for layer, head in pairs), ""
    return default, (
        "; its alignment heads are of a larger decoder, so word times use all heads of the last "
        "half of its layers"
    )


def _is_pair(pair: Any) -> bool:
    """Return True for two whole numbers. `pair` comes from a file."""
    if not isinstance(pair, Sequence) or len(pair) != 2:
        return False
    return all(isinstance(number, int) and number >= 0 for number in pair)


def _digest(dims: Dims, heads: Heads, weights: Mapping[str, Array]) -> str:
    """Return the sha256 of dims, heads, and the name, dtype, shape and bytes of each tensor in
    order."""
    sha256 = hashlib.sha256(repr((dims.to_dict(), heads)).encode())
    for name, array in weights.items():
        sha256.update(f"{name} {array.dtype} {array.shape}".encode())
        sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()
