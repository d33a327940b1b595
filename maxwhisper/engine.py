"""The protocol every engine answers, ours and the baselines: one waveform in, one `Transcript` out.

The page, the benchmark and the command line know engines only through this file.
"""

import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from maxwhisper.checkpoint.download import Progress as Progress
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.errors import EngineUnavailable, OptionError
from maxwhisper.options import TranscribeOptions
from maxwhisper.stream_options import StreamOptions
from maxwhisper.transcript import Segment, Transcript
from maxwhisper.vad import VadOptions

if TYPE_CHECKING:
    from maxwhisper.transcribe.stream import Stream

OURS = "maxwhisper"  # among the names of `ENGINES`
Waveform = npt.NDArray[np.float32]  # (n,) mono, 16 kHz, nominally in -1..1
OnSegment = Callable[[Segment], None]


@dataclass(frozen=True)
class EngineInfo:
    """What an engine is running, for headers and records."""

    name: str  # "maxwhisper", "openai-whisper", "faster-whisper"
    version: str  # of the library that computes, for example "max 26.7.0"
    model: str
    device: str  # "cpu", "gpu:0"
    device_reason: str  # why this device: one sentence
    dtype: str

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


class Engine(Protocol):
    """A loaded model, ready to transcribe. Not thread-safe: callers hold one lock per device."""

    @property
    def info(self) -> EngineInfo: ...

    def transcribe(
        self,
        waveform: Waveform,
        options: TranscribeOptions,
        on_segment: OnSegment | None = None,
        *,
        batch_size: int | None = None,
        vad: VadOptions | bool | None = None,
    ) -> Transcript:
        """Transcribe `waveform` (float32, mono, 16 kHz).

        `on_segment` is called with each segment as soon as it is final. With a `batch_size`, that
        many windows are decoded together. With `vad` (True, or how) only speech is read, which is
        the default in batches. Raises `OptionError` for what this engine cannot honour.
        """
        ...


@runtime_checkable
class LiveEngine(Protocol):
    """An engine that can listen while somebody speaks."""

    def stream(self, options: TranscribeOptions, how: StreamOptions) -> "Stream": ...


class EngineFactory(Protocol):
    """Builds an engine from weights that are already in memory."""

    def __call__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str = "auto",
        dtype: str = "auto",
        cache_dir: Path | None = None,
        progress: Progress | None = None,
    ) -> Engine: ...


# Where each engine's factory lives. Names, not imports: this package never imports `baselines`.
ENGINES: dict[str, str] = {
    "maxwhisper": "maxwhisper.whisper:create_engine",
    "openai-whisper": "baselines.openai_engine:create_engine",
    "faster-whisper": "baselines.faster_engine:create_engine",
}


def load_engine(
    name: str,
    checkpoint: Checkpoint,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> Engine:
    """Build the engine called `name` (a key of `ENGINES`) on `checkpoint`.

    Raises `OptionError` for an unknown name, `EngineUnavailable` with the reason when its packages
    are missing here.
    """
    if name not in ENGINES:
        raise OptionError(f"unknown engine {name!r}: choose one of {', '.join(ENGINES)}")
    module_name, attribute = ENGINES[name].split(":")
    try:
        factory: EngineFactory = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise EngineUnavailable(f"{name} cannot run here: {error}") from error
    return factory(checkpoint, device=device, dtype=dtype, cache_dir=cache_dir, progress=progress)
