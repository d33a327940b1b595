"""Messages between an engine's process and the process that started it.

Owns the commands (parent to child) and the answers (child to parent). All are picklable data:
pickle carries numpy arrays and functions of modules as they are. Knows nothing of either side.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from maxwhisper.audio.waveform import Waveform
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.engine import EngineInfo
from maxwhisper.network.dims import Dims
from maxwhisper.options import StreamOptions, TranscribeOptions


@dataclass(frozen=True)
class Load:
    """Read a checkpoint with `weights(progress=...)` and build the engine on it. Sent once, first.

    Items: lines of progress (str), then `Loaded`.
    """

    weights: Callable[..., Checkpoint]  # picklable, such as a `functools.partial`
    device: str = "auto"
    dtype: str = "auto"
    cache_dir: Path | None = None
    is_guest: bool = False  # at the lowest priority, in a process group that can be paused


@dataclass(frozen=True)
class Transcribe:
    """Items: each `Segment` as soon as it is final, between them a `Partial` now and then if
    `tells_text`, then a `TimedTranscript`."""

    waveform: Waveform  # (n,) float32, mono, 16 kHz
    options: TranscribeOptions
    mode: Mapping[str, Any] = field(default_factory=dict)  # further arguments of the engine's
    tells_text: bool = False  # of engines that can: see `Engine.transcribe`


@dataclass(frozen=True)
class Partial:
    """The text so far of the window that is being decoded."""

    text: str


@dataclass(frozen=True)
class Run:
    """Call `task(engine, *arguments)`, a function of a module. Items: what it yields."""

    task: Callable[..., Iterator[Any]]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class OpenStream:
    """Open a live stream; an open one is discarded. No items."""

    options: TranscribeOptions
    how: StreamOptions


@dataclass(frozen=True)
class FeedStream:
    """Items: one `Update`."""

    samples: Waveform  # (n,) float32, mono, 16 kHz


@dataclass(frozen=True)
class FinishStream:
    """Commit the rest and close the stream. Items: one `Transcript`."""


@dataclass(frozen=True)
class Ping:
    """Show that the process answers. No items."""


@dataclass(frozen=True)
class Cancel:
    """Stop the running command at its next item; ignored when nothing runs."""


StreamCommand = OpenStream | FeedStream | FinishStream
Command = Load | Transcribe | Run | StreamCommand | Ping | Cancel


@dataclass(frozen=True)
class Begun:
    """The first message of an answer: the process has the whole command and begins with it."""


@dataclass(frozen=True)
class Item:
    """A part of an answer. An answer is `Begun`, any number of items, then one `End`."""

    value: Any


@dataclass(frozen=True)
class End:
    """The last message of an answer; "refused" means that the engine does not offer this, and
    "exhausted" that memory ran out: what the process still does cannot be relied on."""

    outcome: Literal["done", "cancelled", "refused", "exhausted", "failed"]
    message: str = ""  # why, for everyone: says nothing of an internal error
    summary: str = ""  # why, for records and operators: type and first line of the exception


Answer = Begun | Item | End


@dataclass(frozen=True)
class Loaded:
    """What was loaded, from which weights."""

    info: EngineInfo
    dims: Dims
    source: str  # of the weights, one sentence
    seconds: float  # from weights in memory to an engine that is ready
