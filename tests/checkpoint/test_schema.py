"""The table of tensors equals openai-whisper's model, and invalid weights are refused."""

from dataclasses import replace

import numpy as np
import pytest

from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.checkpoint.schema import expected_tensors, make_checkpoint, validate
from maxwhisper.errors import CheckpointError
from maxwhisper.network.dims import Dims


def remade(checkpoint, weights, dims=None, heads=None):
    return make_checkpoint("x", dims or checkpoint.dims, weights, heads, "a test")


def test_table_equals_the_state_dict_of_the_reference(small):
    model = pytest.importorskip("whisper.model")
    reference = model.Whisper(model.ModelDimensions(**small.dims.to_dict()))
    shapes = {name: tuple(tensor.shape) for name, tensor in reference.state_dict().items()}
    assert {name: spec.shape for name, spec in expected_tensors(small.dims).items()} == shapes


def test_a_missing_tensor_is_named(v2):
    weights = dict(v2.weights)
    del weights["decoder.blocks.0.cross_attn.value.bias"]
    with pytest.raises(CheckpointError, match=r"cross_attn\.value\.bias \(64,\), got none$"):
        remade(v2, weights)


def test_an_unexpected_tensor_is_named(v2):
    weights = {**v2.weights, "decoder.blocks.0.attn.key.bias": np.zeros(64, np.float32)}
    with pytest.raises(
        CheckpointError, match=r"decoder\.blocks\.0\.attn\.key\.bias \(64,\), which"
    ):
        remade(v2, weights)


def test_a_wrong_shape_is_named_with_both_shapes(v2):
    weights = {**v2.weights, "encoder.conv2.weight": np.zeros((64, 64, 5), np.float32)}
    with pytest.raises(CheckpointError, match=r"conv2\.weight \(64, 64, 3\), got \(64, 64, 5\)$"):
        remade(v2, weights)


def test_the_real_size_of_the_weights_is_suggested():
    tiny, base = OFFICIAL_MODELS["tiny"].dims, OFFICIAL_MODELS["base"].dims
    shapes = {name: spec.shape for name, spec in expected_tensors(base).items()}
    weights = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    with pytest.raises(CheckpointError) as caught:
        validate(tiny, weights)
    assert "(384, 80, 3), got (512, 80, 3) (and" in str(caught.value)
    assert str(caught.value).endswith("more): is this `base`, not `tiny`?")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(v2, bad):
    array = v2.weights["decoder.ln.bias"].copy()
    array[3] = bad
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        remade(v2, {**v2.weights, "decoder.ln.bias": array})


def test_large_float16_weights_do_not_count_as_infinite(half):
    array = np.full(half.weights["decoder.ln.bias"].shape, 60_000, np.float16)
    remade(half, {**half.weights, "decoder.ln.bias": array})


def test_other_dtypes_are_refused(v2):
    array = v2.weights["decoder.ln.bias"].astype(np.float64)
    with pytest.raises(CheckpointError, match="float32 or float16, got float64"):
        remade(v2, {**v2.weights, "decoder.ln.bias": array})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_vocab": 32_000}, "vocabulary"),
        ({"n_vocab": 51_863}, "vocabulary"),
        ({"n_text_head": 3}, "n_text_head to divide 64"),
        ({"n_audio_state": 128}, "same width"),
        ({"n_text_ctx": -1}, "whole number"),
        ({"n_mels": 80.0}, "whole number"),
        ({"n_audio_layer": 10**9}, "whole number"),
    ],
)
def test_impossible_dims_are_refused(v2, change, message):
    with pytest.raises(CheckpointError, match=message):
        remade(v2, v2.weights, dims=replace(v2.dims, **change))


def test_alignment_heads_default_to_the_last_half_of_the_layers():
    dims = Dims(80, 1500, 64, 2, 1, 51_864, 448, 64, 2, 3)
    checkpoint = random_checkpoint(dims)
    assert checkpoint.alignment_heads == ((1, 0), (1, 1), (2, 0), (2, 1))
    beyond = remade(checkpoint, checkpoint.weights, heads=[(1, 0), (3, 0)])
    assert beyond.alignment_heads == checkpoint.alignment_heads
    assert beyond.source.startswith("a test; its alignment heads are of a larger decoder")
    with pytest.raises(CheckpointError, match="alignment heads"):
        remade(checkpoint, checkpoint.weights, heads=[(3, -1)])


def test_the_digest_covers_every_weight_and_the_heads(v2):
    array = v2.weights["encoder.ln_post.bias"].copy()
    array[0] = np.nextafter(array[0], np.float32(1))
    changed = remade(v2, {**v2.weights, "encoder.ln_post.bias": array})
    other_heads = remade(v2, v2.weights, heads=[(0, 0)])
    same = remade(v2, dict(reversed(v2.weights.items())))
    assert same.digest == v2.digest
    assert len({v2.digest, changed.digest, other_heads.digest}) == 3
