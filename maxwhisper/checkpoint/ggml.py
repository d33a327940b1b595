"""Read the `ggml-*.bin` files of whisper.cpp: header, mel filters, vocabulary, tensors.

In: a path. Out: a `Checkpoint`. Tensors have openai-whisper's names. The mel filters and the
vocabulary are skipped: they are the same in every file. Source: whisper.cpp,
models/convert-pt-to-ggml.py and `whisper_model_load`.
"""

from pathlib import Path

from maxwhisper.checkpoint.binary_file import MAX_AXES, MAX_TENSORS, BinaryFile, open_binary
from maxwhisper.checkpoint.ggml_blocks import is_quantised, kind_name, read_tensor
from maxwhisper.checkpoint.quote import plain
from maxwhisper.checkpoint.schema import Array, Checkpoint, make_checkpoint, validate_dims
from maxwhisper.errors import CheckpointError
from maxwhisper.network.dims import Dims

MAGIC = b"lmgg"  # 0x67676d6c, little-endian
_HEADER = (
    *("n_vocab", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer"),
    *("n_text_ctx", "n_text_state", "n_text_head", "n_text_layer", "n_mels", "ftype"),
)
_QUANTISATION_VERSION = 2  # of the blocks, since May 2023
_VERSION_FACTOR = 1000  # `ftype` is 1000 * version + type


def read_ggml(path: Path) -> Checkpoint:
    """Read a GGML file of f32, f16, bf16, q4_0, q4_1, q5_0, q5_1 or q8_0. The quantised ones are
    dequantised to float32.

    Raises `CheckpointError` for a damaged file and for other types.
    """
    with open_binary(path) as file:
        file.skip(len(MAGIC))
        dims, version = _header(file)
        n_mels, n_frequencies = file.numbers("ii")
        file.skip(n_mels * n_frequencies * 4)
        _skip_vocabulary(file)
        weights, kinds = _tensors(file)
    quantised = sorted(kind_name(kind) for kind in kinds if is_quantised(kind))
    if quantised and version != _QUANTISATION_VERSION:
        raise CheckpointError(
            f"expected quantised numbers of version {_QUANTISATION_VERSION} in {path}, got version "
            f"{version}: quantise the file again with a newer whisper.cpp"
        )
    source = f"weights of the GGML file {path}"
    if quantised:
        source += f" ({' '.join(quantised)}, dequantised)"
    try:
        return make_checkpoint(path.stem, dims, weights, None, source)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _header(file: BinaryFile) -> tuple[Dims, int]:
    """Return the dims, and the version of the quantisation."""
    entries = dict(zip(_HEADER, file.numbers(f"{len(_HEADER)}i"), strict=True))
    version = entries.pop("ftype") // _VERSION_FACTOR
    dims = Dims(**entries)
    try:
        validate_dims(dims)
    except CheckpointError as error:
        raise CheckpointError(f"{file.path}: {error}") from error
    return dims, version


def _skip_vocabulary(file: BinaryFile) -> None:
    (n_tokens,) = file.numbers("i")
    for _ in range(n_tokens):
        (n_bytes,) = file.numbers("I")
        file.skip(n_bytes)


def _tensors(file: BinaryFile) -> tuple[dict[str, Array], set[int]]:
    """Return the tensors up to the end of the file, and the types they have."""
    weights: dict[str, Array] = {}
    kinds: set[int] = set()
    while file.n_left:
        n_axes, n_name, kind = file.numbers("iii")
        if not 0 <= n_axes <= MAX_AXES or len(weights) >= MAX_TENSORS:
            raise file.damaged(
                f"{MAX_TENSORS} tensors of {MAX_AXES} axes at most", f"{n_axes} axes"
            )
        shape = tuple(reversed(file.numbers(f"{n_axes}i")))
        name = file.name(n_name)
        if name in weights:
            raise file.damaged("each tensor once", f"{plain(name)} again")
        array = read_tensor(file, name, kind, shape)
        # The biases of the convolutions have a second axis of length 1.
        weights[name] = array[:, 0] if name.endswith(".bias") and array.ndim == 2 else array
        kinds.add(kind)
    return weights, kinds
