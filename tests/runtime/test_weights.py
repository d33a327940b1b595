"""Weight layout: every tensor of a checkpoint reaches the graphs, transposed and joined rightly."""

import numpy as np
import pytest
from max.dtype import DType

from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.dims import Dims
from maxwhisper.runtime.model import from_float32, to_float32
from maxwhisper.runtime.weights import graph_weights, is_float32

DIMS = Dims(80, 1500, 64, 2, 1, 51_864, 448, 64, 2, 1)


@pytest.fixture(scope="module")
def checkpoint():
    return random_checkpoint(DIMS, seed=3)


def test_fused_projections_equal_their_parts(checkpoint):
    weights, laid_out = checkpoint.weights, graph_weights(DIMS, checkpoint.weights)
    x = np.random.default_rng(0).standard_normal((5, 64), dtype=np.float32)
    name = "decoder.blocks.0.attn"
    fused = x @ laid_out[f"{name}.qkv.weight"] + laid_out[f"{name}.qkv.bias"]
    q, k, v = np.split(fused, 3, axis=1)
    for part, got in (("query", q), ("key", k), ("value", v)):
        want = x @ weights[f"{name}.{part}.weight"].T + weights.get(f"{name}.{part}.bias", 0)
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_convolutions_become_matrices_over_taps(checkpoint):
    weight = checkpoint.weights["encoder.conv2.weight"]  # (C_out, C_in, 3)
    matrix = graph_weights(DIMS, checkpoint.weights)["encoder.conv2.weight"]
    assert matrix.shape == (3 * 64, 64)
    np.testing.assert_array_equal(matrix[64 * 2 + 5], weight[:, 5, 2])


def test_every_number_of_the_checkpoint_is_used(checkpoint):
    laid_out = graph_weights(DIMS, checkpoint.weights)
    total = sum(array.size for name, array in laid_out.items() if name != "mel.dft")
    zero_key_biases = 64 * 3  # two self-attentions and one cross-attention
    assert total == sum(w.size for w in checkpoint.weights.values()) + zero_key_biases
    assert all(array.flags.c_contiguous for array in laid_out.values())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("encoder.blocks.3.attn_ln.weight", True),
        ("encoder.ln_post.bias", True),
        ("decoder.ln.weight", True),
        ("mel.dft", True),
        ("decoder.blocks.0.mlp.0.weight", False),
        ("decoder.token_embedding.weight", False),
    ],
)
def test_layer_norms_stay_float32(name, expected):
    assert is_float32(name) is expected


@pytest.mark.parametrize(
    ("dtype", "bits"), [(DType.float32, 24), (DType.float16, 11), (DType.bfloat16, 8)]
)
def test_half_precisions_round_to_nearest(dtype, bits):
    values = np.random.default_rng(0).standard_normal((4, 100), dtype=np.float32)
    back = to_float32(from_float32(values, dtype))
    assert np.abs(back / values - 1).max() <= 2.0**-bits
