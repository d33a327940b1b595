"""Choose the reader of a file or folder by its content, never by its name.

In: a path. Out: a `Checkpoint`. Each format has a module of its own.
"""

from collections.abc import Callable
from pathlib import Path

from maxwhisper.checkpoint import ctranslate2_folder, ggml, gguf
from maxwhisper.checkpoint.hf_folder import has_hf_weights, read_hf_folder
from maxwhisper.checkpoint.openai_pt import read_openai_pt
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.errors import CheckpointError

_READERS: dict[bytes, Callable[[Path], Checkpoint]] = {
    ggml.MAGIC: ggml.read_ggml,
    gguf.MAGIC: gguf.read_gguf,
}
_N_BEGIN = 32  # bytes, which tell every format from the others


def read_folder(folder: Path) -> Checkpoint:
    """Read a folder of Hugging Face or of CTranslate2; of the first, if it has both.

    Raises `CheckpointError` for a folder without weights, or with damaged ones.
    """
    if not has_hf_weights(folder) and (folder / ctranslate2_folder.MODEL).is_file():
        return ctranslate2_folder.read_ctranslate2_folder(folder)
    if (folder / "adapter_config.json").is_file() and not has_hf_weights(folder):
        raise CheckpointError(
            f"expected the weights of a network in {folder}, got an adapter: merge it into its "
            "network (merge_and_unload in peft) and save that"
        )
    return read_hf_folder(folder)


def read_file(path: Path) -> Checkpoint:
    """Read a GGML or GGUF file, or an OpenAI `.pt` file.

    Raises `CheckpointError` for any other file, and for a damaged one.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(_N_BEGIN)
    except OSError as error:
        raise CheckpointError(f"expected to read {path}: {error.strerror or error}") from error
    if begin[8:9] == b"{" or b"WhisperSpec" in begin:  # safetensors, or model.bin of CTranslate2
        raise CheckpointError(
            f"expected the folder of {path}, got the file alone, which has no config.json: give "
            f"the folder {path.parent}"
        )
    return _READERS.get(begin[:4], read_openai_pt)(path)
