"""Hugging Face folders: single file, shards, bfloat16, tied projection, and damage."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from maxwhisper.checkpoint import load
from maxwhisper.checkpoint.convert import save_hf
from maxwhisper.checkpoint.hf_folder import hf_name
from maxwhisper.errors import CheckpointError


@pytest.fixture
def folder(half, tmp_path):
    save_hf(half, tmp_path / "hf")
    return tmp_path / "hf"


def edit_json(path, **changes):
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def test_names_are_those_of_transformers():
    assert hf_name("encoder.blocks.11.attn.key.weight") == (
        "model.encoder.layers.11.self_attn.k_proj.weight"
    )
    assert hf_name("decoder.blocks.0.cross_attn_ln.bias") == (
        "model.decoder.layers.0.encoder_attn_layer_norm.bias"
    )
    assert hf_name("decoder.blocks.3.mlp.2.weight") == "model.decoder.layers.3.fc2.weight"
    assert hf_name("decoder.positional_embedding") == "model.decoder.embed_positions.weight"


def test_round_trip_is_exact(small, tmp_path, assert_same_weights):
    save_hf(small, tmp_path / "net")
    loaded = load(tmp_path / "net")
    assert_same_weights(loaded, small)
    assert loaded.name == "net"
    assert loaded.digest == small.digest


@pytest.mark.parametrize("shard_size", ["1GB", "6MB"])
def test_what_transformers_saves_is_read(v2, transformers_model, tmp_path, shard_size):
    transformers_model.save_pretrained(tmp_path, max_shard_size=shard_size)
    assert (tmp_path / "model.safetensors.index.json").is_file() == (shard_size == "6MB")
    assert load(tmp_path).digest == v2.digest


def test_a_model_without_its_projection_is_read(v2, transformers_model, tmp_path):
    transformers_model.model.save_pretrained(tmp_path)
    assert load(tmp_path).digest == v2.digest


def test_float16_and_alignment_heads_survive(half, folder, assert_same_weights):
    loaded = load(folder)
    assert_same_weights(loaded, half)
    assert loaded.alignment_heads == ((0, 1), (0, 3))


def test_without_generation_config_the_heads_are_the_default(folder):
    (folder / "generation_config.json").unlink()
    assert load(folder).alignment_heads == ((0, 0), (0, 1), (0, 2), (0, 3))


def test_shards_are_joined(half, folder, assert_same_weights):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, held in halves.items():
        save_file({name: tensors[name] for name in held}, folder / file)
    weight_map = {name: file for file, held in halves.items() for name in held}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert_same_weights(load(folder), half)
    (folder / "b.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"b\.safetensors, found none"):
        load(folder)
    index.write_text(json.dumps({"weight_map": {"x": "../../etc/passwd"}}))
    with pytest.raises(CheckpointError, match="plain file names"):
        load(folder)


def test_bfloat16_is_widened_exactly(v2, tmp_path):
    torch = pytest.importorskip("torch")
    save_hf(v2, tmp_path)
    from safetensors.torch import save_file as save_torch

    narrow = {hf_name(n): torch.tensor(a).bfloat16() for n, a in v2.weights.items()}
    save_torch(narrow, tmp_path / "model.safetensors")
    for name, array in load(tmp_path).weights.items():
        assert array.dtype == np.float32
        assert (array == narrow[hf_name(name)].float().numpy()).all()


def test_a_tied_projection_is_accepted_and_an_untied_one_refused(folder, half):
    tensors = load_file(folder / "model.safetensors")
    tensors["proj_out.weight"] = tensors["model.decoder.embed_tokens.weight"].copy()
    save_file(tensors, folder / "model.safetensors")
    assert load(folder).digest == half.digest
    other = tensors["proj_out.weight"].copy()
    other[5, 5] += 1
    for untied in (other, other[:-1].copy()):
        save_file({**tensors, "proj_out.weight": untied}, folder / "model.safetensors")
        with pytest.raises(CheckpointError, match="ties the two"):
            load(folder)


def test_missing_and_unknown_names_are_reported(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["model.encoder.surprise"] = tensors.pop("model.encoder.conv1.bias")
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"encoder\.conv1\.bias \(64,\), got none \(and 1"):
        load(folder)


def test_config_must_be_a_whisper(folder):
    edit_json(folder / "config.json", d_model=None, model_type="bert")
    with pytest.raises(CheckpointError, match=r"d_model.*'bert'"):
        load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"JSON in .*config\.json"):
        load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config\.json, found none"):
        load(folder)


@pytest.mark.parametrize(
    ("key", "value"), [("activation_function", "relu"), ("scale_embedding", True)]
)
def test_networks_that_compute_something_else_are_refused(folder, key, value):
    edit_json(folder / "config.json", **{key: value})
    with pytest.raises(CheckpointError, match=f"as every Whisper has it, got {value!r}"):
        load(folder)


def test_dims_that_disagree_with_the_file_are_reported(folder):
    edit_json(folder / "config.json", num_mel_bins=128)
    with pytest.raises(CheckpointError, match=r"conv1\.weight \(64, 128, 3\), got \(64, 80, 3\)"):
        load(folder)


@pytest.mark.parametrize(("key", "value"), [("decoder_layers", "4"), ("encoder_layers", 10**9)])
def test_impossible_dims_are_refused_before_the_tensors_are_checked(folder, key, value):
    edit_json(folder / "config.json", **{key: value})
    with pytest.raises(CheckpointError, match=rf"config\.json: expected dims.*got {value!r}"):
        load(folder)


@pytest.mark.parametrize("heads", [5, [1, 2], [[0, "1"]], [[0.5, 1]], [[0, 1, 2]], [[-1, 0]]])
def test_invalid_alignment_heads_are_refused(folder, heads):
    edit_json(folder / "generation_config.json", alignment_heads=heads)
    with pytest.raises(CheckpointError, match="expected alignment heads"):
        load(folder)


def test_alignment_heads_of_a_larger_decoder_become_the_default(folder, caplog):
    """distil-whisper keeps the heads of large-v3, whose decoder has 32 layers, not two."""
    heads = [[7, 0], [10, 17], [12, 18], [13, 12], [16, 1], [17, 14], [19, 11], [21, 4]]
    edit_json(folder / "generation_config.json", alignment_heads=heads)
    loaded = load(folder)
    assert loaded.alignment_heads == ((0, 0), (0, 1), (0, 2), (0, 3))
    assert "word times use all heads of the last half of its layers" in loaded.source
    assert "its alignment heads are of a larger decoder" in caplog.text


@pytest.mark.parametrize(
    ("no_timestamps", "n_kept"), [(50_362, 51_864), (50_363, 51_865), (50_364, 51_866), (7, 51_865)]
)
def test_added_tokens_are_left_out(v2, tmp_path, caplog, no_timestamps, n_kept):
    """A fine-tune has 7 more tokens than v2, which generation_config.json does not contradict."""
    save_hf(v2, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = hf_name("decoder.token_embedding.weight")
    tensors[name] = np.concatenate([tensors[name], np.ones((7, 64), np.float32)])
    save_file(tensors, tmp_path / "model.safetensors")
    edit_json(tmp_path / "config.json", vocab_size=51_872)
    edit_json(tmp_path / "generation_config.json", no_timestamps_token_id=no_timestamps)
    loaded = load(tmp_path)
    assert loaded.dims == replace(v2.dims, n_vocab=n_kept)
    embedding = loaded.weights["decoder.token_embedding.weight"]
    np.testing.assert_array_equal(embedding, tensors[name][:n_kept], strict=True)
    assert loaded.source.endswith(
        f"; {51_872 - n_kept} added tokens are left out, so it cannot write them"
    )
    assert "added tokens are left out" in caplog.text


def test_a_vocabulary_that_config_overstates_is_reported(folder):
    edit_json(folder / "config.json", vocab_size=51_872)
    with pytest.raises(CheckpointError, match=r"weight \(51872, 64\), got \(51865, 64\)"):
        load(folder)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:100_000], lambda b: b"\xff" * 8 + b[8:], lambda b: b"", lambda b: b[:8]]
)
def test_damaged_safetensors_are_refused(folder, damage):
    path = folder / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match="damaged"):
        load(folder)


def saved_bin(folder, names=None, file="pytorch_model.bin"):
    """Move tensors (all by default) from the safetensors file to a file of `torch.save`."""
    torch = pytest.importorskip("torch")
    tensors = load_file(folder / "model.safetensors")
    held = {name: torch.tensor(tensors[name]) for name in names or tensors}
    torch.save(held, folder / file)
    return tensors


def test_pytorch_model_bin_is_read_exactly(half, folder, assert_same_weights):
    saved_bin(folder)
    (folder / "model.safetensors").unlink()
    assert_same_weights(load(folder), half)


def test_a_tied_projection_in_pytorch_model_bin_is_one_tensor(v2, transformers_model, tmp_path):
    """torch.save stores what two names share once, so the file has fewer bytes than its tensors."""
    torch = pytest.importorskip("torch")
    transformers_model.config.save_pretrained(tmp_path)
    transformers_model.generation_config.save_pretrained(tmp_path)
    file = tmp_path / "pytorch_model.bin"
    torch.save(transformers_model.state_dict(), file)
    n_bytes = sum(array.nbytes for array in v2.weights.values())
    assert file.stat().st_size < n_bytes + v2.weights["decoder.token_embedding.weight"].nbytes
    assert load(tmp_path).digest == v2.digest


def test_shards_of_pytorch_model_bin_are_joined(half, folder, assert_same_weights):
    names = sorted(load_file(folder / "model.safetensors"))
    shards = {"a.bin": names[::2], "b.bin": names[1::2]}
    for file, held in shards.items():
        saved_bin(folder, held, file)
    (folder / "model.safetensors").unlink()
    weight_map = {name: file for file, held in shards.items() for name in held}
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert_same_weights(load(folder), half)
    (folder / "b.bin").unlink()
    with pytest.raises(CheckpointError, match=r"b\.bin, found none"):
        load(folder)


def test_safetensors_are_preferred(folder, half):
    (folder / "pytorch_model.bin").write_bytes(b"damaged")
    assert load(folder).digest == half.digest


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").rename(folder / "flax_model.msgpack")
    with pytest.raises(CheckpointError, match=r"model\.safetensors or pytorch_model\.bin in"):
        load(folder)
