"""Writers of weights as other projects write them, independent of the readers.

Blocks are quantised by the package `gguf`; the layout of a GGML file follows whisper.cpp's
`convert-pt-to-ggml.py` and `quantize`.
"""

import struct

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

from maxwhisper.network.mel_filters import N_BINS, mel_filters
from maxwhisper.text.vocabulary import read_ranks

KINDS = {kind.name.lower(): kind for kind in gguf.GGMLQuantizationType}
QUANTISED = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0")
_FLOATS = {"f32": np.float32, "f16": np.float16}
_ALWAYS_F32 = ("positional_embedding", "conv1.bias", "conv2.bias")


def stored_kind(name, array, kind):
    """The type that whisper.cpp gives a tensor in a file of type `kind`."""
    if array.ndim < 2 or name.endswith(_ALWAYS_F32):
        return "f32"
    return kind if array.ndim == 2 or kind in _FLOATS else "f16"  # convolutions are not quantised


def stored_values(name, array, kind):
    """What a reader has to find: the numbers after quantisation, float32, or float16 as stored."""
    kind = stored_kind(name, array, kind)
    if kind in _FLOATS:
        return array.astype(_FLOATS[kind])
    return dequantize(quantize(array.astype(np.float32), KINDS[kind]), KINDS[kind])


def ctranslate2_values(name, array, quantisation):
    """The numbers of a tensor in a CTranslate2 folder, from the definition of its quantisation."""
    if quantisation == "bfloat16":
        import torch

        return torch.tensor(array).bfloat16().float().numpy()
    if quantisation in ("float32", "float16"):
        return array.astype(quantisation)
    if array.ndim == 1 or name.endswith("positional_embedding"):  # never quantised
        return array.astype("float16" if quantisation == "int8_float16" else "float32")
    rows = array.reshape(len(array), -1)
    scale = np.float32(127) / np.abs(rows).max(axis=1, keepdims=True)
    return (np.rint(rows * scale).astype(np.float32) / scale).reshape(array.shape)


def _content(name, array, kind):
    array = array.astype(np.float32)
    return array.astype(_FLOATS[kind]) if kind in _FLOATS else quantize(array, KINDS[kind])


def write_ggml(checkpoint, path, kind="f16", version=2, header=None):
    dims = checkpoint.dims
    file_types = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9}
    ftype = file_types.get(kind, 1) + (0 if kind in _FLOATS else 1000 * version)
    fields = [
        *(dims.n_vocab, dims.n_audio_ctx, dims.n_audio_state, dims.n_audio_head),
        *(dims.n_audio_layer, dims.n_text_ctx, dims.n_text_state, dims.n_text_head),
        *(dims.n_text_layer, dims.n_mels, ftype),
    ]
    parts = [struct.pack("<i11i", 0x67676D6C, *(header or fields))]
    parts.append(struct.pack("<ii", dims.n_mels, N_BINS) + mel_filters(dims.n_mels).tobytes())
    ranks = read_ranks("multilingual" if dims.is_multilingual else "gpt2")
    tokens = sorted(ranks, key=ranks.get)
    parts.append(struct.pack("<i", len(tokens)))
    parts += [struct.pack("<I", len(token)) + token for token in tokens]
    for name, array in checkpoint.weights.items():
        kept = stored_kind(name, array, kind)
        shape = (*array.shape, 1) if name.endswith(_ALWAYS_F32[1:]) else array.shape
        parts.append(struct.pack("<iii", len(shape), len(name), KINDS[kept]))
        parts.append(struct.pack(f"<{len(shape)}i", *reversed(shape)) + name.encode())
        parts.append(_content(name, array, kept).tobytes())
    path.write_bytes(b"".join(parts))


def write_gguf(checkpoint, path, kind="f16", *, names=str, architecture="whisper"):
    """With the package `gguf`. `names` maps canonical names to those in the file."""
    dims = checkpoint.dims
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_uint32("whisper.encoder.attention.head_count", dims.n_audio_head)
    writer.add_uint32("whisper.decoder.attention.head_count", dims.n_text_head)
    writer.add_array("tokenizer.ggml.tokens", ["!", '"', "\u00e9", ""])
    writer.add_array("tokenizer.ggml.token_type", [1, 2, 3])
    for name, array in checkpoint.weights.items():
        kept = stored_kind(name, array, kind)
        content = _content(name, array, kept)
        writer.add_tensor(names(name), content, raw_dtype=KINDS[kept])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
