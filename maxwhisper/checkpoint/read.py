"""Choose the reader of a file or folder by its content, never by its name.

In: a path. Out: a `Checkpoint`. Each format has a module of its own.
"""

from pathlib import Path

from maxwhisper.checkpoint.hf_folder import read_hf_folder
from maxwhisper.checkpoint.openai_pt import read_openai_pt
from maxwhisper.checkpoint.schema import Checkpoint


def read_folder(folder: Path) -> Checkpoint:
    """Read a folder of Hugging Face: safetensors or pytorch_model.bin, in one file or in shards.

    Raises `CheckpointError` for a folder without weights, or with damaged ones.
    """
    return read_hf_folder(folder)


def read_file(path: Path) -> Checkpoint:
    """Read an OpenAI `.pt` file. Raises `CheckpointError` for any other file."""
    return read_openai_pt(path)
