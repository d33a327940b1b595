"""Read Hugging Face folders: config.json, generation_config.json, and weights in a file or shards.

Owns the table that maps canonical tensor names to Hugging Face's, and the list of shards. In: a
folder. Out: a `Checkpoint`. `safetensors_file` and `torch_file` read the files of weights; nothing
in a folder can run code.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maxwhisper.checkpoint.quote import listed, plain, quoted
from maxwhisper.checkpoint.safetensors_file import read_safetensors
from maxwhisper.checkpoint.schema import (
    Array,
    Checkpoint,
    check_layers,
    expected_tensors,
    make_checkpoint,
    validate_dims,
)
from maxwhisper.checkpoint.torch_file import read_torch_file, stored_arrays
from maxwhisper.errors import CheckpointError
from maxwhisper.network.dims import Dims

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
_FIXED = {"activation_function": "gelu", "scale_embedding": False}  # another value, another network

# canonical module -> Hugging Face module; "blocks.{i}" becomes "layers.{i}". The last part of a
# parameter's name (weight, bias) is the same in both.
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
MAX_JSON_BYTES = 16 << 20  # of 0.3 MB for the shards of the largest model
_PREFIX = "model."
TIED_PROJECTION = "proj_out.weight"  # equals the token embedding; some files store both


def hf_name(name: str) -> str:
    """Return Hugging Face's name of the tensor with this canonical name."""
    if name in _POSITIONS:
        return _POSITIONS[name]
    module, parameter = name.rsplit(".", 1)
    if module in _STEM_MODULES:
        return f"{_STEM_MODULES[module]}.{parameter}"
    side, _, block, inner = module.split(".", 3)
    return f"model.{side}.layers.{block}.{_BLOCK_MODULES[inner]}.{parameter}"


def read_hf_folder(folder: Path) -> Checkpoint:
    """Read a folder that Hugging Face's `save_pretrained` wrote.

    Raises `CheckpointError` for missing or damaged files and for a network other than Whisper.
    """
    dims = read_dims(folder)
    stored = without_tied_projection(folder, _with_prefix(_read_tensors(folder)))
    try:
        check_layers(dims, len(stored))
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    canonical = {hf_name(name): name for name in expected_tensors(dims)}
    # Validation reports a name that is not in the table.
    weights = {canonical.get(name, name): array for name, array in stored.items()}
    generation = read_json(folder / "generation_config.json", {})
    heads, no_timestamps = (
        generation.get(key) for key in ("alignment_heads", "no_timestamps_token_id")
    )
    name = folder.resolve().name
    source = f"weights of the Hugging Face folder {folder}"
    try:
        return make_checkpoint(name, dims, weights, heads, source, no_timestamps)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error


def _with_prefix(stored: dict[str, Array]) -> dict[str, Array]:
    """Return tensors under the names that they have with the output projection. transformers'
    `WhisperModel`, which lacks it, saves them without the prefix."""
    if hf_name("encoder.conv1.weight").removeprefix(_PREFIX) not in stored:
        return stored
    return {_PREFIX + name: array for name, array in stored.items()}


def without_tied_projection(path: Path, stored: dict[str, Array]) -> dict[str, Array]:
    """Return tensors under Hugging Face's names without the projection, which some files store
    beside the equal token embedding. Raises `CheckpointError` if the two differ."""
    embedding = stored.get(hf_name("decoder.token_embedding.weight"))
    tied = stored.get(TIED_PROJECTION)
    if tied is not None and embedding is not None and not np.array_equal(tied, embedding):
        raise CheckpointError(
            f"expected {TIED_PROJECTION} in {path} to equal the token embedding, got another "
            "projection: Whisper ties the two"
        )
    return {name: array for name, array in stored.items() if name != TIED_PROJECTION}


def read_dims(folder: Path) -> Dims:
    """Return the dims that config.json states. Raises `CheckpointError`."""
    config = read_json(folder / "config.json")
    missing = sorted({*CONFIG_KEYS.values()} - config.keys())
    if missing:
        raise CheckpointError(
            f"expected {listed(missing)} in {folder / 'config.json'}: is this a Whisper model? "
            f"(model_type is {quoted(config.get('model_type'))})"
        )
    for key, value in _FIXED.items():
        if config.get(key, value) != value:
            raise CheckpointError(
                f"expected {key} {json.dumps(value)} in {folder / 'config.json'}, as every Whisper "
                f"has it, got {quoted(config[key])}"
            )
    dims = Dims(**{field: config[key] for field, key in CONFIG_KEYS.items()})
    try:
        validate_dims(dims)  # before the tensors are checked against them
    except CheckpointError as error:
        raise CheckpointError(f"{folder / 'config.json'}: {error}") from error
    return dims


def read_json(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the JSON object in a file, or `default` if there is no file. Raises
    `CheckpointError` for anything else."""
    if not path.is_file():
        if default is None:
            raise CheckpointError(f"expected {path}, found none: is this a model folder?")
        return default
    content = read_any_json(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"expected a JSON object in {path}, got {type(content).__name__}")
    return content


def read_any_json(path: Path) -> Any:
    """Return the JSON value in a file. Raises `CheckpointError` if it is long, deep or damaged."""
    try:
        if (n_bytes := path.stat().st_size) > MAX_JSON_BYTES:
            raise CheckpointError(
                f"expected at most {MAX_JSON_BYTES} bytes of JSON in {path}, got {n_bytes}"
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise CheckpointError(f"expected JSON in {path}: its lists are nested too deep") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"expected JSON in {path}: {error}") from error


def _read_pytorch_bin(path: Path) -> dict[str, Array]:
    return stored_arrays(path, read_torch_file(path))


# Base names in the order of preference, and who reads them. Beside a base name there may be its
# index, which lists shards: "model.safetensors.index.json".
_READERS: dict[str, Callable[[Path], dict[str, Array]]] = {
    "model.safetensors": read_safetensors,
    "pytorch_model.bin": _read_pytorch_bin,
}


def has_hf_weights(folder: Path) -> bool:
    """Return True if the folder has weights under one of Hugging Face's names."""
    return _weights(folder) is not None


def _weights(folder: Path) -> Path | None:
    """Return the file of weights, else the index of its shards, else None."""
    paths = (folder / name for base in _READERS for name in (base, f"{base}.index.json"))
    return next((path for path in paths if path.is_file()), None)


def _read_tensors(folder: Path) -> dict[str, Array]:
    """Return all tensors of the file of weights, or of the shards that its index lists."""
    path = _weights(folder)
    if path is None:
        raise CheckpointError(f"expected {' or '.join(_READERS)} in {folder}, found neither")
    if path.name in _READERS:
        return _READERS[path.name](path)
    read = _READERS[path.name.removesuffix(".index.json")]
    weight_map = _weight_map(path)
    tensors: dict[str, Array] = {}
    for shard in sorted(set(weight_map.values())):
        if not (folder / shard).is_file():
            raise CheckpointError(
                f"expected the shard {folder / shard}, found none: get the folder again"
            )
        tensors |= read(folder / shard)
    missing = sorted(weight_map.keys() - tensors.keys())
    if missing:
        shard = weight_map[missing[0]]
        raise CheckpointError(f"expected {plain(missing[0])} in {shard} of {folder}")
    return tensors


def _weight_map(index: Path) -> Mapping[str, str]:
    """Return tensor -> shard."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, Mapping):
        raise CheckpointError(f"expected a weight_map in {index}")
    for shard in weight_map.values():
        if not _is_file_name(shard):
            raise CheckpointError(f"expected plain file names in {index}, got {quoted(shard)}")
    return weight_map


def _is_file_name(shard: object) -> bool:
    """Return True for the name of a file in the same folder, as any disk can store it."""
    if not isinstance(shard, str) or not shard.isprintable() or len(shard.encode()) > 255:
        return False
    return Path(shard).name == shard != ""
