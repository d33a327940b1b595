"""The bundled checkpoint `demo`: a small English Whisper trained by this project.

Owns the location of its files, their verification, and the sentence that states its accuracy. In:
the folder that `tools/train_demo` writes. Out: a `Checkpoint` and that sentence. Missing files are
never downloaded.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from maxwhisper.cache import sha256_of
from maxwhisper.checkpoint.hf_folder import read_hf_folder, read_json
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.errors import CheckpointError
from maxwhisper.network.dims import Dims

NAME = "demo"
FOLDER = Path(__file__).parents[1] / "assets" / NAME
# 29 MB in float16, mostly the embedding of 51,864 tokens. The limit for files in the tree is 32 MB.
DIMS = Dims(80, 1500, 192, 3, 4, 51_864, 448, 192, 3, 4)

WEIGHTS = "model.safetensors"
VERIFIED = (WEIGHTS, "config.json", "generation_config.json")
TRAINING, EVALUATION = "training.json", "evaluation.json"

_REPAIR = (
    "it is part of the package and never downloaded. In a git clone, restore it with "
    "`git checkout -- maxwhisper/assets/demo`; otherwise reinstall the package"
)


def read_demo(folder: Path = FOLDER) -> Checkpoint:
    """Load the bundled network.

    Raises `CheckpointError` with the file's name if a file is missing or altered.
    """
    verify(folder)
    return replace(read_hf_folder(folder), name=NAME, source=limits(folder))


def verify(folder: Path = FOLDER) -> None:
    """Raise `CheckpointError` unless every file has the sha256 that training.json states."""
    listed = _record(folder / TRAINING).get("sha256")
    for name in VERIFIED:
        path = folder / name
        expected = listed.get(name) if isinstance(listed, dict) else None
        try:
            found = sha256_of(path) if path.is_file() else "no such file"
        except OSError as error:
            found = error.strerror or str(error)
        if found != expected:
            raise CheckpointError(
                f"expected {path} with sha256 {expected}, found {found}: {_REPAIR}"
            )


def limits(folder: Path = FOLDER) -> str:
    """Return one sentence with the word error rates of the network's evaluation."""
    origin = "a small English Whisper, trained by this project on synthesised speech alone"
    path = folder / EVALUATION
    rates = _record(path).get("word_error_rates") if path.is_file() else None
    if not rates:
        return f"{origin}; its word error rate has not been measured"
    figures = ", ".join(f"{100 * wer:.0f} % {where}" for where, wer in rates.items())
    return f"{origin}; word error rate {figures}"


def _record(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error}: {_REPAIR}") from error
