"""The protocol of all engines, ours and the baselines: one waveform in, one `Transcript` out.

The page, the benchmark and the command line know engines only by this protocol.
"""

import importlib
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from maxwhisper.audio.waveform import Waveform
from maxwhisper.checkpoint.download import Progress as Progress
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.errors import AudioError, EngineUnavailable, NumericError, OptionError
from maxwhisper.options import StreamOptions, TranscribeOptions, VadOptions
from maxwhisper.transcript import OnRecordingSegment, OnSegment, OnText, Transcript

if TYPE_CHECKING:
    from maxwhisper.transcribe.stream import Stream

OURS = "maxwhisper"  # among the names of `ENGINES`


@dataclass(frozen=True)
class EngineInfo:
    """The model, device and library of an engine, for headers and records."""

    name: str  # "maxwhisper", "openai-whisper", "faster-whisper"
    version: str  # of the library that computes, for example "max 26.7.0"
    model: str
    device: str  # "cpu", "gpu:0"
    device_reason: str  # why this device: one sentence
    dtype: str
    weights: str = ""  # the place that they were read from: "our cache"; see `checkpoint.Place`

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
        on_text: OnText | None = None,
    ) -> Transcript:
        """Transcribe `waveform` (float32, mono, 16 kHz).

        `on_segment` is called with each segment as soon as it is final, and `on_text` with the text
        so far of the window that is being decoded, where an engine can tell without being slower:
        others never call it. With a `batch_size`, that many windows are decoded together. With
        `vad` (True or `VadOptions`) only speech is transcribed, which is the default in batches.
        Raises `OptionError` for an option that this engine does not honour.
        """
        ...


@runtime_checkable
class LiveEngine(Protocol):
    """An engine with live transcription."""

    def stream(self, options: TranscribeOptions, how: StreamOptions) -> "Stream":
        """Start a live transcription."""
        ...


@runtime_checkable
class EachEngine(Protocol):
    """An engine that decodes windows of any number of recordings together."""

    @property
    def info(self) -> EngineInfo: ...

    def transcribe_each(
        self,
        audios: Iterable[Waveform],
        options: TranscribeOptions,
        on_segment: OnRecordingSegment | None = None,
        *,
        batch_size: int = ...,
        vad: VadOptions | bool | None = None,
    ) -> Iterator[tuple[int, Transcript | AudioError | NumericError]]:
        """Transcribe waveforms as `Engine.transcribe` does in batches; each is taken when a batch
        has room. Yields the number of each and its transcript, or its error, as soon as it is done.
        `on_segment` gets the number as well."""
        ...


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


# The factory of each engine, by module name: this package does not import `baselines`.
ENGINES: dict[str, str] = {
    "maxwhisper": "maxwhisper.whisper:create_engine",
    "openai-whisper": "baselines.openai_engine:create_engine",
    "faster-whisper": "baselines.faster_engine:create_engine",
}
# Engines of the benchmark alone: they take no part in races.
MORE_ENGINES: dict[str, str] = {"whisper.cpp": "baselines.whisper_cpp_engine:create_engine"}
_PACKAGES = {"openai-whisper": "whisper", "faster-whisper": "faster_whisper"}
GET_BASELINES = "pip install 'maxwhisper[baselines]'"
GET_MORE = "pip install 'maxwhisper[field]'"


def installed() -> list[str]:
    """Ours, and each of the others whose package can be found."""
    return [
        name
        for name in ENGINES
        if name not in _PACKAGES or importlib.util.find_spec(_PACKAGES[name]) is not None
    ]


def load_engine(
    name: str,
    checkpoint: Checkpoint,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> Engine:
    """Build the engine called `name`, of `ENGINES` or `MORE_ENGINES`, on `checkpoint`.

    Raises `OptionError` for an unknown name, and `EngineUnavailable` if a package that the engine
    needs is not installed.
    """
    addresses = MORE_ENGINES | ENGINES
    if name not in addresses:
        raise OptionError(f"unknown engine {name!r}: choose one of {', '.join(ENGINES)}")
    module_name, attribute = addresses[name].split(":")
    try:
        factory: EngineFactory = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        get = GET_MORE if name in MORE_ENGINES else GET_BASELINES
        hint = "" if name == OURS else f". Run {get}"
        raise EngineUnavailable(f"{name} cannot run here: {error}{hint}") from error
    return factory(checkpoint, device=device, dtype=dtype, cache_dir=cache_dir, progress=progress)
