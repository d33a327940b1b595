"""Convert a `Checkpoint` to a CTranslate2 folder that faster-whisper loads offline.

The folder is filled from the canonical arrays, so both engines compute with the same weights. It is
cached under the checkpoint's digest. ctranslate2 is imported only when a folder is written.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maxwhisper.cache import Entry
from maxwhisper.checkpoint.convert import suppressed_always, suppressed_at_begin, write_json
from maxwhisper.checkpoint.download import Progress
from maxwhisper.checkpoint.hf_tokenizer import make_hf_tokenizer
from maxwhisper.checkpoint.schema import Array, Checkpoint
from maxwhisper.network.dims import CHUNK_LENGTH_S, HOP_LENGTH, N_FFT, SAMPLE_RATE, Dims
from maxwhisper.paths import cache_root
from maxwhisper.text.tokenizer import get_tokenizer

if TYPE_CHECKING:
    from ctranslate2.specs import WhisperSpec

_LAYOUT = 1  # version of the folder's content; increase it when this file writes something else
_MODEL = ("model.bin", "config.json", "vocabulary.json")  # what CTranslate2 writes and reads
_TOKENIZER, _PREPROCESSOR = "tokenizer.json", "preprocessor_config.json"
_FILES = (*_MODEL, _TOKENIZER, _PREPROCESSOR)


def ctranslate2_dir(
    checkpoint: Checkpoint, cache_dir: Path | None = None, progress: Progress | None = None
) -> Path:
    """Return the cached CTranslate2 folder of `checkpoint`, checked or made anew as
    `maxwhisper/cache.py` says. A conversion is reported to `progress`.

    Raises `OutputError` if the disk is full or read-only.
    """
    folder = (cache_dir or cache_root()) / "ctranslate2" / f"{checkpoint.digest}-{_LAYOUT}"
    key = {
        "checkpoint": checkpoint.digest,
        "layout": _LAYOUT,
        "ctranslate2": version("ctranslate2"),  # an older one may not read what a newer one writes
    }
    say = progress or _silent

    def write(unfinished: Path) -> None:
        say(f"converting {checkpoint.name} for CTranslate2")
        to_ctranslate2(checkpoint, unfinished)

    entry = Entry(folder, key, _FILES, "weights for CTranslate2")
    return entry.ready(write, lambda: say("waiting for another process that converts the same"))


def _silent(_: str) -> None:
    """Discard progress lines."""


def to_ctranslate2(checkpoint: Checkpoint, folder: Path) -> None:
    """Write model.bin, config.json, vocabulary.json, tokenizer.json and preprocessor_config.json.

    Weights stay float16 if all of them are float16; else they become float32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = get_tokenizer(checkpoint.dims)
    hf_tokenizer = make_hf_tokenizer(tokenizer)
    spec = _fill_spec(checkpoint)
    n_named = hf_tokenizer.get_vocab_size()
    vocabulary = [hf_tokenizer.id_to_token(i) for i in range(n_named)]
    timestamps = range(n_named, checkpoint.dims.n_vocab)
    spec.register_vocabulary(
        vocabulary + [tokenizer.decode_with_timestamps([t]) for t in timestamps]
    )
    spec.config.suppress_ids = suppressed_always(tokenizer)
    spec.config.suppress_ids_begin = suppressed_at_begin(tokenizer)
    spec.config.lang_ids = list(tokenizer.all_language_tokens)
    spec.config.alignment_heads = [list(pair) for pair in checkpoint.alignment_heads]
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    # Written here, because `save` reports a full disk as a plain Exception.
    (folder / _TOKENIZER).write_text(hf_tokenizer.to_str(pretty=True), encoding="utf-8")
    write_json(folder / _PREPROCESSOR, _preprocessor_config(checkpoint.dims))


def _preprocessor_config(dims: Dims) -> dict[str, Any]:
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": dims.n_mels,
        "sampling_rate": SAMPLE_RATE,
        "hop_length": HOP_LENGTH,
        "chunk_length": CHUNK_LENGTH_S,
        "n_fft": N_FFT,
    }


class _Filler:
    """Copies modules of a checkpoint into CTranslate2's layer specifications."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        halves = all(array.dtype == np.float16 for array in weights.values())
        self.dtype = np.float16 if halves else np.float32
        self.weights = weights

    def array(self, name: str) -> Array:
        return np.ascontiguousarray(self.weights[name], dtype=self.dtype)

    def linear(self, spec: Any, module: str) -> None:
        spec.weight, spec.bias = self.array(f"{module}.weight"), self.array(f"{module}.bias")

    def layer_norm(self, spec: Any, module: str) -> None:
        spec.gamma, spec.beta = self.array(f"{module}.weight"), self.array(f"{module}.bias")

    def fused(self, spec: Any, *modules: str) -> None:
        """Stack projections into one. `key` has no bias, so its part is zeros."""
        matrices = [self.array(f"{module}.weight") for module in modules]
        biases = [
            self.array(f"{module}.bias")
            if f"{module}.bias" in self.weights
            else np.zeros(matrix.shape[0], dtype=self.dtype)
            for module, matrix in zip(modules, matrices, strict=True)
        ]
        spec.weight, spec.bias = np.concatenate(matrices), np.concatenate(biases)

    def self_attention(self, spec: Any, attn: str) -> None:
        self.layer_norm(spec.layer_norm, f"{attn}_ln")
        self.fused(spec.linear[0], f"{attn}.query", f"{attn}.key", f"{attn}.value")
        self.linear(spec.linear[1], f"{attn}.out")

    def cross_attention(self, spec: Any, attn: str) -> None:
        self.layer_norm(spec.layer_norm, f"{attn}_ln")
        self.linear(spec.linear[0], f"{attn}.query")
        self.fused(spec.linear[1], f"{attn}.key", f"{attn}.value")
        self.linear(spec.linear[2], f"{attn}.out")

    def mlp(self, spec: Any, block: str) -> None:
        self.layer_norm(spec.layer_norm, f"{block}.mlp_ln")
        self.linear(spec.linear_0, f"{block}.mlp.0")
        self.linear(spec.linear_1, f"{block}.mlp.2")


def _fill_spec(checkpoint: Checkpoint) -> "WhisperSpec":
    from ctranslate2.specs import WhisperSpec

    dims, fill = checkpoint.dims, _Filler(checkpoint.weights)
    spec = WhisperSpec(dims.n_audio_layer, dims.n_audio_head, dims.n_text_layer, dims.n_text_head)
    encoder, decoder = spec.encoder, spec.decoder
    fill.linear(encoder.conv1, "encoder.conv1")
    fill.linear(encoder.conv2, "encoder.conv2")
    encoder.position_encodings.encodings = fill.array("encoder.positional_embedding")
    for i, layer in enumerate(encoder.layer):
        fill.self_attention(layer.self_attention, f"encoder.blocks.{i}.attn")
        fill.mlp(layer.ffn, f"encoder.blocks.{i}")
    fill.layer_norm(encoder.layer_norm, "encoder.ln_post")
    embedding = fill.array("decoder.token_embedding.weight")
    decoder.embeddings.weight = decoder.projection.weight = embedding
    decoder.position_encodings.encodings = fill.array("decoder.positional_embedding")
    for i, layer in enumerate(decoder.layer):
        fill.self_attention(layer.self_attention, f"decoder.blocks.{i}.attn")
        fill.cross_attention(layer.attention, f"decoder.blocks.{i}.cross_attn")
        fill.mlp(layer.ffn, f"decoder.blocks.{i}")
    fill.layer_norm(decoder.layer_norm, "decoder.ln")
    return spec
