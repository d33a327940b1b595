"""Weight layout: every tensor of a checkpoint reaches the graphs, transposed and fused."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from max.dtype import DType

from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.network.dims import Dims
from maxwhisper.runtime.buffers import host_buffer, to_float32, weight_buffers
from maxwhisper.runtime.device import choose
from maxwhisper.runtime.weights import (
    feeds_skinny_matmul,
    fits_float16,
    graph_weights,
    is_float32,
)

DIMS = Dims(80, 1500, 64, 2, 1, 51_864, 448, 64, 2, 1)


@pytest.fixture(scope="module")
def checkpoint():
    return random_checkpoint(DIMS, seed=3)


def test_fused_projections_equal_their_parts(checkpoint):
    weights, laid_out = checkpoint.weights, graph_weights(DIMS, checkpoint.weights, on_host=False)
    x = np.random.default_rng(0).standard_normal((5, 64), dtype=np.float32)
    name = "decoder.blocks.0.attn"
    fused = x @ laid_out[f"{name}.qkv.weight"] + laid_out[f"{name}.qkv.bias"]
    q, k, v = np.split(fused, 3, axis=1)
    for part, got in (("query", q), ("key", k), ("value", v)):
        want = x @ weights[f"{name}.{part}.weight"].T + weights.get(f"{name}.{part}.bias", 0)
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_on_a_cpu_the_decoders_matrices_lie_the_other_way_round(checkpoint):
    elsewhere = graph_weights(DIMS, checkpoint.weights, on_host=False)
    here = graph_weights(DIMS, checkpoint.weights, on_host=True)
    turned = {name for name in here if here[name].shape != elsewhere[name].shape}
    assert {"decoder.blocks.0.attn.qkv.weight", "decoder.blocks.0.mlp.2.weight"} <= turned
    for name, array in here.items():
        is_turned = feeds_skinny_matmul(name) and name != "decoder.token_embedding.weight"
        np.testing.assert_array_equal(array, elsewhere[name].T if is_turned else elsewhere[name])
        assert array.flags.c_contiguous
    assert not any(name.startswith("encoder.") or "cross_attn.kv" in name for name in turned)


@pytest.mark.parametrize(("number", "fits"), [(0.1, False), (1e6, False), (0.0999755859375, True)])
def test_float16_is_taken_only_where_it_is_exact(checkpoint, number, fits):
    laid_out = graph_weights(DIMS, checkpoint.weights, on_host=True)
    assert not fits_float16(laid_out)
    halved = {name: array.astype(np.float16).astype(np.float32) for name, array in laid_out.items()}
    assert fits_float16(halved)
    halved["decoder.blocks.0.mlp.0.weight"][3, 5] = number
    assert fits_float16(halved) is fits
    halved["encoder.blocks.0.mlp.0.weight"][3, 5] = 0.1
    assert fits_float16(halved) is fits, "the encoder's stay float32 in any case"


def test_matrices_stored_in_float16_are_not_copied(checkpoint):
    """As in official checkpoints. For the demo's token embedding alone, a copy as float32 would be
    40 MB."""
    stored = {name: array.astype(np.float16) for name, array in checkpoint.weights.items()}
    laid_out = graph_weights(DIMS, stored, on_host=True)
    assert fits_float16(laid_out)
    for name in ("decoder.token_embedding.weight", "decoder.blocks.0.mlp.0.weight"):
        assert np.shares_memory(laid_out[name], stored[name])
        assert np.shares_memory(host_buffer(laid_out[name], DType.float16).to_numpy(), stored[name])
    others = {name: array for name, array in laid_out.items() if not feeds_skinny_matmul(name)}
    assert {array.dtype for array in others.values()} == {np.dtype(np.float32)}


def test_convolutions_become_matrices_over_taps(checkpoint):
    weight = checkpoint.weights["encoder.conv2.weight"]  # (C_out, C_in, 3)
    matrix = graph_weights(DIMS, checkpoint.weights, on_host=False)["encoder.conv2.weight"]
    assert matrix.shape == (3 * 64, 64)
    np.testing.assert_array_equal(matrix[64 * 2 + 5], weight[:, 5, 2])


def test_every_number_of_the_checkpoint_is_used(checkpoint):
    laid_out = graph_weights(DIMS, checkpoint.weights, on_host=False)
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
    back = to_float32(host_buffer(values, dtype))
    assert np.abs(back / values - 1).max() <= 2.0**-bits


@pytest.mark.parametrize("dtype", [DType.float32, DType.float16, DType.bfloat16])
def test_graphs_on_a_gpu_are_given_weights_on_the_host(checkpoint, dtype):
    """MAX copies them: `Graph.add_weight` declares them in host memory, whatever their device."""
    elsewhere = SimpleNamespace(is_host=False)
    placement = replace(choose("cpu"), device=elsewhere, dtype=dtype, matrices=dtype)
    laid_out = graph_weights(DIMS, checkpoint.weights, on_host=False)
    buffers = weight_buffers(laid_out, placement)
    assert buffers.keys() == laid_out.keys()
    for name, buffer in buffers.items():
        assert buffer.device.is_host
        assert buffer.dtype == (DType.float32 if is_float32(name) else dtype)
        assert buffer.shape == laid_out[name].shape
