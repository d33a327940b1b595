"""Canonical weights -> arrays laid out as the graphs declare them.

One pass at load: linears transposed to (n_in, n_out), but for those of the decoder on a CPU, whose
kernel reads (n_out, n_in) and in float16, if that is how they are stored: those stay as they are;
query/key/value side by side, convolutions as matrices over (tap, channel). A key projection has no
bias in Whisper; the fused form gives it zeros.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from maxwhisper.dims import Dims
from maxwhisper.mel import dft_basis

Array = npt.NDArray[np.floating[Any]]
Float32 = npt.NDArray[np.float32]
_FLOAT32_PARTS = ("_ln.", ".ln.", ".ln_post.")  # layer norms compute in float32


def is_float32(name: str) -> bool:
    """True for weights that stay float32 whatever the network's precision."""
    return name == "mel.dft" or any(part in f".{name}" for part in _FLOAT32_PARTS)


def meets_few_rows(name: str) -> bool:
    """True for the decoder's matrices that are multiplied by a few rows at a time: all of them but
    those of the audio's keys and values."""
    if name == "decoder.token_embedding.weight":
        return True
    in_block = name.startswith("decoder.blocks.") and name.endswith(".weight")
    return in_block and not is_float32(name) and not name.endswith("cross_attn.kv.weight")


def fits_float16(laid_out: Mapping[str, Array]) -> bool:
    """Whether float16 holds every number of the decoder's matrices, as it does where a checkpoint
    was stored so, or was once."""
    matrices = (array for name, array in laid_out.items() if meets_few_rows(name))
    with np.errstate(over="ignore"):
        return all(
            array.dtype == np.float16 or np.array_equal(array, array.astype(np.float16))
            for array in matrices
        )


def graph_weights(
    dims: Dims, weights: Mapping[str, npt.NDArray[Any]], on_host: bool
) -> dict[str, Array]:
    """Arrays under the names of `graphs/`, float32 but for the decoder's matrices on a CPU, which
    keep their type; the caller casts to a device's precision."""

    def get(name: str) -> Float32:
        return np.asarray(weights[name], np.float32)

    laid_out: dict[str, Array] = {"mel.dft": dft_basis()}

    def copy(*names: str) -> None:
        laid_out.update({name: get(name) for name in names})

    def layer_norm(name: str) -> None:
        copy(f"{name}.weight", f"{name}.bias")

    def lay(name: str, matrix: Array) -> None:
        as_stored = on_host and meets_few_rows(name)
        laid_out[name] = matrix if as_stored else np.asarray(matrix, np.float32).T

    def linear(name: str) -> None:
        lay(f"{name}.weight", weights[f"{name}.weight"])
        laid_out[f"{name}.bias"] = get(f"{name}.bias")

    def conv(name: str) -> None:
        weight = get(f"{name}.weight")  # (C_out, C_in, 3)
        laid_out[f"{name}.weight"] = weight.transpose(2, 1, 0).reshape(-1, weight.shape[0])
        laid_out[f"{name}.bias"] = get(f"{name}.bias")

    def fused(name: str, fused_name: str, parts: tuple[str, ...]) -> None:
        matrices = [weights[f"{name}.{part}.weight"] for part in parts]
        biases = [
            np.zeros(matrix.shape[0], np.float32) if part == "key" else get(f"{name}.{part}.bias")
            for part, matrix in zip(parts, matrices, strict=True)
        ]
        lay(f"{name}.{fused_name}.weight", np.concatenate(matrices))
        laid_out[f"{name}.{fused_name}.bias"] = np.concatenate(biases)

    def block(name: str) -> None:
        layer_norm(f"{name}.attn_ln")
        fused(f"{name}.attn", "qkv", ("query", "key", "value"))
        linear(f"{name}.attn.out")
        layer_norm(f"{name}.mlp_ln")
        linear(f"{name}.mlp.0")
        linear(f"{name}.mlp.2")

    conv("encoder.conv1")
    conv("encoder.conv2")
    copy("encoder.positional_embedding")
    for layer in range(dims.n_audio_layer):
        block(f"encoder.blocks.{layer}")
    layer_norm("encoder.ln_post")

    embedding = "decoder.token_embedding.weight"
    laid_out[embedding] = weights[embedding] if on_host else get(embedding)
    copy("decoder.positional_embedding")
    for layer in range(dims.n_text_layer):
        name = f"decoder.blocks.{layer}"
        block(name)
        layer_norm(f"{name}.cross_attn_ln")
        linear(f"{name}.cross_attn.query")
        fused(f"{name}.cross_attn", "kv", ("key", "value"))
        linear(f"{name}.cross_attn.out")
    layer_norm("decoder.ln")
    return {name: np.ascontiguousarray(array) for name, array in laid_out.items()}
