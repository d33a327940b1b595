"""Whisper, whole, in MAX Graph.

    import maxwhisper

    model = maxwhisper.load()
    print(model.transcribe("talk.mp3").text)

Importing this package loads neither MAX nor weights; `load` does.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from maxwhisper.engine import Progress
from maxwhisper.errors import MaxWhisperError
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import Segment, Transcript, Word

if TYPE_CHECKING:
    from maxwhisper.whisper import Whisper

__version__ = "0.1.0"
__all__ = [
    "MaxWhisperError",
    "Segment",
    "TranscribeOptions",
    "Transcript",
    "Word",
    "load",
]


def load(
    name_or_path: str | Path | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    artifacts: Path | None = None,
) -> "Whisper":
    """Load a model: a name (`models` lists them), a `.pt` file, or a folder with model.safetensors.

    Without a name, the default model. See `maxwhisper.whisper.load`.
    """
    from maxwhisper import whisper
    from maxwhisper.checkpoint import DEFAULT_MODEL

    return whisper.load(
        DEFAULT_MODEL if name_or_path is None else name_or_path,
        device=device,
        dtype=dtype,
        cache_dir=cache_dir,
        progress=progress,
        artifacts=artifacts,
    )
