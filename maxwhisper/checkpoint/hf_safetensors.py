"""Reads Hugging Face folders: config.json, generation_config.json, model.safetensors or shards.

Owns the table between Hugging Face's tensor names and the canonical ones. safetensors holds plain
arrays, so nothing in such a folder can run code.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from maxwhisper.checkpoint.schema import (
    Array,
    Checkpoint,
    expected_tensors,
    make_checkpoint,
    validate_dims,
)
from maxwhisper.dims import Dims
from maxwhisper.errors import CheckpointError

# dims field -> key in config.json
CONFIG_KEYS = {
    "n_mels": "num_mel_bins",
    "n_audio_ctx": "max_source_positions",
    "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads",
    "n_audio_layer": "encoder_layers",
    "n_vocab": "vocab_size",
    "n_text_ctx": "max_target_positions",
    "n_text_state": "d_model",
    "n_text_head": "decoder_attention_heads",
    "n_text_layer": "decoder_layers",
}

# canonical module -> Hugging Face module; "blocks.{i}" is "layers.{i}". A parameter's last part
# (weight, bias) is the same in both.
_STEM_MODULES = {
    "encoder.conv1": "model.encoder.conv1",
    "encoder.conv2": "model.encoder.conv2",
    "encoder.ln_post": "model.encoder.layer_norm",
    "decoder.token_embedding": "model.decoder.embed_tokens",
    "decoder.ln": "model.decoder.layer_norm",
}
_BLOCK_MODULES = {
    "attn.query": "self_attn.q_proj",
    "attn.key": "self_attn.k_proj",
    "attn.value": "self_attn.v_proj",
    "attn.out": "self_attn.out_proj",
    "attn_ln": "self_attn_layer_norm",
    "cross_attn.query": "encoder_attn.q_proj",
    "cross_attn.key": "encoder_attn.k_proj",
    "cross_attn.value": "encoder_attn.v_proj",
    "cross_attn.out": "encoder_attn.out_proj",
    "cross_attn_ln": "encoder_attn_layer_norm",
    "mlp.0": "fc1",
    "mlp.2": "fc2",
    "mlp_ln": "final_layer_norm",
}
_POSITIONS = {
    "encoder.positional_embedding": "model.encoder.embed_positions.weight",
    "decoder.positional_embedding": "model.decoder.embed_positions.weight",
}
TIED_PROJECTION = "proj_out.weight"  # the token embedding again; some files store it twice


def hf_name(name: str) -> str:
    """Hugging Face's name of a canonical tensor name."""
    if name in _POSITIONS:
        return _POSITIONS[name]
    module, parameter = name.rsplit(".", 1)
    if module in _STEM_MODULES:
        return f"{_STEM_MODULES[module]}.{parameter}"
    side, _, block, inner = module.split(".", 3)
    return f"model.{side}.layers.{block}.{_BLOCK_MODULES[inner]}.{parameter}"


def read_hf_folder(folder: Path) -> Checkpoint:
    """Read a folder as Hugging Face's `save_pretrained` writes it.

    Raises `CheckpointError` for missing or damaged files and for a network that is no Whisper.
    """
    dims = _dims(folder)
    stored = _read_tensors(folder)
    tied, embedding = stored.pop(TIED_PROJECTION, None), "model.decoder.embed_tokens.weight"
    if tied is not None and embedding in stored and not np.array_equal(tied, stored[embedding]):
        raise CheckpointError(
            f"expected {TIED_PROJECTION} in {folder} to equal the token embedding, got another "
            "projection: Whisper ties the two"
        )
    canonical = {hf_name(name): name for name in expected_tensors(dims)}
    # A name outside the table stays as it is, and strict validation reports it.
    weights = {canonical.get(name, name): array for name, array in stored.items()}
    heads = read_json(folder / "generation_config.json", {}).get("alignment_heads")
    name = folder.resolve().name
    source = f"weights of the Hugging Face folder {folder}"
    try:
        return make_checkpoint(name, dims, weights, heads, source)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error


def _dims(folder: Path) -> Dims:
    config = read_json(folder / "config.json")
    missing = sorted(key for key in CONFIG_KEYS.values() if key not in config)
    if missing:
        raise CheckpointError(
            f"expected {', '.join(missing)} in {folder / 'config.json'}: is this a Whisper model? "
            f"(model_type is {config.get('model_type')!r})"
        )
    dims = Dims(**{field: config[key] for field, key in CONFIG_KEYS.items()})
    try:
        validate_dims(dims)  # before tensors are counted by them
    except CheckpointError as error:
        raise CheckpointError(f"{folder / 'config.json'}: {error}") from error
    return dims


def read_json(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON object in a file, or `default`. Raises `CheckpointError` for anything else."""
    if not path.is_file():
        if default is None:
            raise CheckpointError(f"expected {path}, found none: is this the folder of a model?")
        return default
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"expected JSON in {path}: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"expected a JSON object in {path}, got {type(content).__name__}")
    return content


def _read_tensors(folder: Path) -> dict[str, Array]:
    """All tensors of `model.safetensors`, or of the shards that its index names."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return _read_file(single)
    if not index.is_file():
        raise CheckpointError(
            f"expected {single.name} or {index.name} in {folder}, found neither: pickled "
            "pytorch_model.bin files are not read, convert them to safetensors"
        )
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, Mapping):
        raise CheckpointError(f"expected a weight_map in {index}")
    tensors: dict[str, Array] = {}
    for shard in sorted(set(weight_map.values())):
        if Path(shard).name != shard:
            raise CheckpointError(f"expected plain file names in {index}, got {shard!r}")
        tensors |= _read_file(folder / shard)
    missing = sorted(weight_map.keys() - tensors.keys())
    if missing:
        raise CheckpointError(f"expected {missing[0]} in {weight_map[missing[0]]} of {folder}")
    return tensors


def _read_file(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise CheckpointError(f"expected the shard {path}, found none: get the folder again")
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            dtypes = {name: file.get_slice(name).get_dtype() for name in names}
            tensors = {name: file.get_tensor(name) for name in names if dtypes[name] != "BF16"}
    except SafetensorError as error:
        raise CheckpointError(
            f"expected a safetensors file at {path}, but it cannot be read ({error}): "
            "the file is damaged, get it again"
        ) from error
    widened = [name for name in names if dtypes[name] == "BF16"]
    return tensors | (_read_bfloat16(path, widened) if widened else {})


def _read_bfloat16(path: Path, names: list[str]) -> dict[str, Array]:
    """Tensors that numpy has no type for, as float32, which holds every bfloat16 exactly."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name).float().numpy() for name in names}
