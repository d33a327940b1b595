"""Canonical weights -> arrays laid out as the graphs declare them.

One pass at load. Linear layers are transposed to (n_in, n_out), except those of the decoder on a
CPU: their kernel reads (n_out, n_in), and float16 if they are stored so, so they stay unchanged.
Query, key and value are fused side by side. Convolutions become matrices over (tap, channel). Key
projections have no bias in Whisper; the fused form gives them zeros.
"""

from collections.abc import Mapping

import numpy as np

from maxwhisper.checkpoint.schema import Array
from maxwhisper.decoding.protocols import Float32
from maxwhisper.network.dims import Dims
from maxwhisper.network.mel_filters import dft_basis

TOKEN_EMBEDDING = "decoder.token_embedding.weight"
_FLOAT32_PARTS = ("_ln.", ".ln.", ".ln_post.")  # layer norms compute in float32


def is_float32(name: str) -> bool:
    """True for weights that are float32 whatever the precision of the network."""
    return name == "mel.dft" or any(part in f".{name}" for part in _FLOAT32_PARTS)


def feeds_skinny_matmul(name: str) -> bool:
    """True for the decoder's matrices that are multiplied by a few rows at a time: all except those
    of the keys and values of the audio."""
    if name == TOKEN_EMBEDDING:
        return True
    in_block = name.startswith("decoder.blocks.") and name.endswith(".weight")
    return in_block and not is_float32(name) and not name.endswith("cross_attn.kv.weight")


def fits_float16(laid_out: Mapping[str, Array]) -> bool:
    """True if float16 holds every number of the decoder's matrices exactly.

    That is so if the checkpoint is stored in float16, or once was.
    """
    matrices = (array for name, array in laid_out.items() if feeds_skinny_matmul(name))
    with np.errstate(over="ignore"):
        return all(
            array.dtype == np.float16 or np.array_equal(array, array.astype(np.float16))
            for array in matrices
        )


def graph_weights(dims: Dims, weights: Mapping[str, Array], on_host: bool) -> dict[str, Array]:
    """Arrays under the names of `graphs/`: float32, except the decoder's matrices on a CPU, which
    keep their type. The caller casts to the precision of the device."""
    layout = _Layout(weights, on_host)
    layout.conv("encoder.conv1")
    layout.conv("encoder.conv2")
    layout.copy("encoder.positional_embedding")
    for layer in range(dims.n_audio_layer):
        layout.block(f"encoder.blocks.{layer}")
    layout.layer_norm("encoder.ln_post")

    layout.embedding(TOKEN_EMBEDDING)
    layout.copy("decoder.positional_embedding")
    for layer in range(dims.n_text_layer):
        name = f"decoder.blocks.{layer}"
        layout.block(name)
        layout.layer_norm(f"{name}.cross_attn_ln")
        layout.linear(f"{name}.cross_attn.query")
        layout.fused(f"{name}.cross_attn", "kv", ("key", "value"))
        layout.linear(f"{name}.cross_attn.out")
    layout.layer_norm("decoder.ln")
    arrays = {"mel.dft": dft_basis(), **layout.arrays}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


class _Layout:
    """Collects the modules of a checkpoint in `arrays`, in the layout of their graphs."""

    def __init__(self, weights: Mapping[str, Array], on_host: bool) -> None:
        self.arrays: dict[str, Array] = {}
        self._weights = weights
        self._on_host = on_host

    def copy(self, *names: str) -> None:
        self.arrays.update({name: self._float32(name) for name in names})

    def layer_norm(self, name: str) -> None:
        self.copy(f"{name}.weight", f"{name}.bias")

    def linear(self, name: str) -> None:
        self._matrix(f"{name}.weight", self._weights[f"{name}.weight"])
        self.copy(f"{name}.bias")

    def conv(self, name: str) -> None:
        weight = self._float32(f"{name}.weight")  # (C_out, C_in, 3)
        self.arrays[f"{name}.weight"] = weight.transpose(2, 1, 0).reshape(-1, weight.shape[0])
        self.copy(f"{name}.bias")

    def embedding(self, name: str) -> None:
        """Used for lookups by row, and as a matrix like the decoder's others."""
        self.arrays[name] = self._weights[name] if self._on_host else self._float32(name)

    def fused(self, name: str, fused_name: str, parts: tuple[str, ...]) -> None:
        matrices = [self._weights[f"{name}.{part}.weight"] for part in parts]
        biases = [
            np.zeros(len(matrix), np.float32)
            if part == "key"
            else self._float32(f"{name}.{part}.bias")
            for part, matrix in zip(parts, matrices, strict=True)
        ]
        self._matrix(f"{name}.{fused_name}.weight", np.concatenate(matrices))
        self.arrays[f"{name}.{fused_name}.bias"] = np.concatenate(biases)

    def block(self, name: str) -> None:
        """The modules that blocks of encoder and decoder have in common."""
        self.layer_norm(f"{name}.attn_ln")
        self.fused(f"{name}.attn", "qkv", ("query", "key", "value"))
        self.linear(f"{name}.attn.out")
        self.layer_norm(f"{name}.mlp_ln")
        self.linear(f"{name}.mlp.0")
        self.linear(f"{name}.mlp.2")

    def _matrix(self, name: str, matrix: Array) -> None:
        as_stored = self._on_host and feeds_skinny_matmul(name)
        self.arrays[name] = matrix if as_stored else np.asarray(matrix, np.float32).T

    def _float32(self, name: str) -> Float32:
        return np.asarray(self._weights[name], np.float32)
