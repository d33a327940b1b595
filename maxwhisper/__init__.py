"""Whisper in MAX Graph: log-mel, encoder and decoder.

    import maxwhisper

    model = maxwhisper.load()
    print(model.transcribe("talk.mp3").text)

Importing this package loads neither MAX nor weights; `load` does.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from maxwhisper.engine import Progress
from maxwhisper.errors import AudioError, MaxWhisperError, OptionError, SomeFailed
from maxwhisper.options import StreamOptions, TranscribeChanges, TranscribeOptions, VadOptions
from maxwhisper.transcript import Segment, Transcript, Word

if TYPE_CHECKING:
    from maxwhisper.whisper import Whisper

__version__ = "0.1.0"
__all__ = [
    "AudioError",
    "MaxWhisperError",
    "OptionError",
    "Segment",
    "SomeFailed",
    "StreamOptions",
    "TranscribeChanges",
    "TranscribeOptions",
    "Transcript",
    "VadOptions",
    "Whisper",
    "Word",
    "load",
]

if not TYPE_CHECKING:  # a type checker would take every misspelt name for one that it returns

    def __getattr__(name: str) -> object:
        """`maxwhisper.Whisper`, imported when it is first used, because it imports MAX."""
        if name != "Whisper":
            raise AttributeError(f"module 'maxwhisper' has no attribute {name!r}")
        from maxwhisper import whisper

        return whisper.Whisper


def load(
    name_or_path: str | Path | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    artifacts: Path | None = None,
) -> "Whisper":
    """Load a model: a name, a `.pt` file, or a folder with model.safetensors.

    `maxwhisper models` lists the names; without one, the default model is loaded. See
    `maxwhisper.whisper.load`. Raises `CheckpointError`, `DeviceError` or `ArtifactError`.
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
