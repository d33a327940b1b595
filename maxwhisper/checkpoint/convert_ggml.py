"""Write a `Checkpoint` as a GGML file, which whisper.cpp loads.

The file is filled from the canonical arrays, so both engines compute with the same weights. It is
cached under the checkpoint's digest. The twin of `ggml`, which reads such files. Source:
whisper.cpp models/convert-pt-to-ggml.py and ggml/src/ggml-quants.c.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from maxwhisper.cache import Entry
from maxwhisper.checkpoint.download import Progress
from maxwhisper.checkpoint.ggml_blocks import N_BLOCK
from maxwhisper.checkpoint.schema import Array, Checkpoint
from maxwhisper.network.mel_filters import N_BINS, mel_filters
from maxwhisper.paths import cache_root
from maxwhisper.text.vocabulary import read_ranks

# Precisions that the matrices can have: the type of a file, and that of a tensor in it. In float32
# whisper.cpp 1.8.5 aborts the process at the first convolution.
PRECISIONS = {"float16": (1, 1), "int8": (2007, 8)}
_MAGIC = 0x67676D6C
_FILE = "model.bin"
_LAYOUT = 1  # version of the content; increase it when this file writes something else
_FLOAT32, _FLOAT16, _Q8_0 = 0, 1, 8  # types of tensors
_BLOCK = np.dtype([("d", "<f2"), ("q", "i1", N_BLOCK)])  # block_q8_0
_CONVOLUTION_BIASES = ("encoder.conv1.bias", "encoder.conv2.bias")


def ggml_file(
    checkpoint: Checkpoint,
    precision: str,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return the cached GGML file of `checkpoint` whose matrices are in `precision`, one of
    `PRECISIONS`; int8 is q8_0. Checked or made anew as `maxwhisper/cache.py` says.

    Raises `OutputError` if the disk is full or read-only.
    """
    name = f"{checkpoint.digest}-{precision}-{_LAYOUT}"
    key = {"checkpoint": checkpoint.digest, "precision": precision, "layout": _LAYOUT}

    def write(folder: Path) -> None:
        if progress:
            progress(f"converting {checkpoint.name} for whisper.cpp ({precision})")
        with (folder / _FILE).open("wb") as file:
            file.writelines(_parts(checkpoint, precision))

    def wait() -> None:
        if progress:
            progress("waiting for another process that converts the same")

    entry = Entry((cache_dir or cache_root()) / "ggml" / name, key, (_FILE,), "whisper.cpp weights")
    return entry.ready(write, wait) / _FILE


def _parts(checkpoint: Checkpoint, precision: str) -> Iterator[bytes]:
    """The file, part by part: header, mel filters, vocabulary, tensors."""
    dims, (file_type, matrix_type) = checkpoint.dims, PRECISIONS[precision]
    yield struct.pack(
        "<I11i",
        *(_MAGIC, dims.n_vocab, dims.n_audio_ctx, dims.n_audio_state, dims.n_audio_head),
        *(dims.n_audio_layer, dims.n_text_ctx, dims.n_text_state, dims.n_text_head),
        *(dims.n_text_layer, dims.n_mels, file_type),
    )
    yield struct.pack("<ii", dims.n_mels, N_BINS) + mel_filters(dims.n_mels).tobytes()
    ranks = read_ranks("multilingual" if dims.is_multilingual else "gpt2")
    tokens = sorted(ranks, key=lambda token: ranks[token])
    yield struct.pack("<i", len(tokens))
    for token in tokens:
        yield struct.pack("<I", len(token)) + token
    for name, array in checkpoint.weights.items():
        yield from _tensor(name, array, matrix_type)


def _tensor(name: str, array: Array, matrix_type: int) -> Iterator[bytes]:
    """Vectors and positions are float32, convolutions float16: what whisper.cpp expects."""
    kind = matrix_type if array.ndim == 2 else _FLOAT16
    if array.ndim < 2 or name.endswith("positional_embedding"):
        kind = _FLOAT32
    shape = (*array.shape, 1) if name in _CONVOLUTION_BIASES else array.shape
    encoded = name.encode()
    yield struct.pack("<iii", len(shape), len(encoded), kind)
    yield struct.pack(f"<{len(shape)}i", *reversed(shape)) + encoded
    yield _quantised(array) if kind == _Q8_0 else array.astype(("<f4", "<f2")[kind]).tobytes()


def _quantised(array: Array) -> bytes:
    """Blocks of 32 numbers: a scale, the largest over 127, and each number over it, rounded."""
    rows = array.astype(np.float32).reshape(-1, N_BLOCK)
    scales = np.abs(rows).max(axis=1) / np.float32(127)
    inverse = np.divide(np.float32(1), scales, out=np.zeros_like(scales), where=scales != 0)
    scaled = rows * inverse[:, None]
    blocks = np.empty(len(rows), _BLOCK)
    blocks["d"] = scales
    blocks["q"] = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))  # as C's roundf
    return blocks.tobytes()
