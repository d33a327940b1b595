"""Whisper in MAX Graph: log-mel, encoder and decoder.

    import maxwhisper

    model = maxwhisper.load("base")  # the first time, its weights are downloaded
    print(model.transcribe("talk.mp3").text)

`load()` without a name loads "demo": it comes with the package, and understands synthesised speech
only. Importing this package loads neither MAX nor weights; `load` does. docs/library.md has more.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from maxwhisper.audio.waveform import Waveform
from maxwhisper.engine import EngineInfo, Progress
from maxwhisper.errors import (
    ArtifactError,
    AudioError,
    AudioWarning,
    CheckpointError,
    DeviceError,
    EngineUnavailable,
    MaxWhisperError,
    NumericError,
    OptionError,
    OutputError,
    SomeFailed,
)
from maxwhisper.network.dims import Dims
from maxwhisper.options import StreamOptions, TranscribeChanges, TranscribeOptions, VadOptions
from maxwhisper.transcript import (
    OnProgress,
    OnRecordingSegment,
    OnSegment,
    OnText,
    Segment,
    Transcript,
    Word,
)

if TYPE_CHECKING:
    from maxwhisper.audio.arrays import from_array
    from maxwhisper.audio.inputs import Audio
    from maxwhisper.checkpoint.schema import Checkpoint
    from maxwhisper.decoding.language import SpokenLanguage
    from maxwhisper.runtime.device import Placement
    from maxwhisper.runtime.model import MaxNetwork
    from maxwhisper.transcribe.stream import Stream, Update
    from maxwhisper.transcribe.stream_thread import StreamThread
    from maxwhisper.whisper import Whisper

__version__ = "0.1.0"
__all__ = [
    "ArtifactError",
    "Audio",
    "AudioError",
    "AudioWarning",
    "Checkpoint",
    "CheckpointError",
    "DeviceError",
    "Dims",
    "EngineInfo",
    "EngineUnavailable",
    "MaxNetwork",
    "MaxWhisperError",
    "NumericError",
    "OnProgress",
    "OnRecordingSegment",
    "OnSegment",
    "OnText",
    "OptionError",
    "OutputError",
    "Placement",
    "Progress",
    "Segment",
    "SomeFailed",
    "SpokenLanguage",
    "Stream",
    "StreamOptions",
    "StreamThread",
    "TranscribeChanges",
    "TranscribeOptions",
    "Transcript",
    "Update",
    "VadOptions",
    "Waveform",
    "Whisper",
    "Word",
    "from_array",
    "load",
]
_LATER = {  # imported when it is first used, because it imports MAX or libraries for audio
    "Audio": "maxwhisper.audio.inputs",
    "Checkpoint": "maxwhisper.checkpoint.schema",
    "MaxNetwork": "maxwhisper.runtime.model",
    "Placement": "maxwhisper.runtime.device",
    "SpokenLanguage": "maxwhisper.decoding.language",
    "Stream": "maxwhisper.transcribe.stream",
    "StreamThread": "maxwhisper.transcribe.stream_thread",
    "Update": "maxwhisper.transcribe.stream",
    "Whisper": "maxwhisper.whisper",
    "from_array": "maxwhisper.audio.arrays",
}

if not TYPE_CHECKING:  # a type checker would take every misspelt name for one that it returns

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module 'maxwhisper' has no attribute {name!r}")
        return getattr(importlib.import_module(_LATER[name]), name)


def load(  # noqa: PLR0913 - keywords of the public API
    name_or_path: str | Path | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    artifacts: Path | None = None,
    threads: int | None = None,
) -> "Whisper":
    """Load a model: an official name such as "base", a path, or a repository of the Hub.

    `maxwhisper models` lists the names. Without one, "demo" is loaded, which understands
    synthesised speech only. See `maxwhisper.whisper.load` for the arguments. Raises
    `CheckpointError`, `DeviceError` or `ArtifactError`.
    """
    from maxwhisper import whisper

    return whisper.load(
        name_or_path,
        device=device,
        dtype=dtype,
        cache_dir=cache_dir,
        progress=progress,
        artifacts=artifacts,
        threads=threads,
    )
