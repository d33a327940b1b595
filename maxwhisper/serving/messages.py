"""What crosses the pipe between the page's process and one engine's process.

Owns the commands (parent to child) and the events (child to parent), all plain picklable data.
Knows nothing of how either side runs.
"""

from dataclasses import dataclass

from maxwhisper.engine import EngineInfo, Waveform
from maxwhisper.options import TranscribeOptions
from maxwhisper.selftest.result import CheckResult, LayerErrors
from maxwhisper.stream_options import StreamOptions
from maxwhisper.transcribe.stream import Update
from maxwhisper.transcript import Segment, Transcript


@dataclass(frozen=True)
class Load:
    """Build the engine on checkpoint `model`. Sent once, first."""

    model: str
    device: str
    dtype: str


@dataclass(frozen=True)
class WarmUp:
    """Run twice on silence. Sent once, second, when nothing else uses the device."""


@dataclass(frozen=True)
class Transcribe:
    waveform: Waveform  # (n,) float32, mono, 16 kHz
    options: TranscribeOptions


@dataclass(frozen=True)
class SelfTest:
    names: tuple[str, ...]  # empty: every check
    device: str = ""  # where, if not on the engine's own


@dataclass(frozen=True)
class MeasureLayers:
    """Every layer against the reference, on the first window of a clip."""

    waveform: Waveform


@dataclass(frozen=True)
class OpenStream:
    """Begin to listen; the stream opened before, if any, is forgotten."""

    options: TranscribeOptions
    how: StreamOptions


@dataclass(frozen=True)
class FeedStream:
    samples: Waveform  # (n,) float32, mono, 16 kHz


@dataclass(frozen=True)
class FinishStream:
    """Commit what is left, and forget the stream."""


@dataclass(frozen=True)
class Cancel:
    """Give up the running command at the next segment or check; ignored when nothing runs."""


StreamCommand = OpenStream | FeedStream | FinishStream
Command = Load | WarmUp | Transcribe | SelfTest | MeasureLayers | StreamCommand | Cancel


@dataclass(frozen=True)
class Progress:
    """One line for people while loading."""

    line: str


@dataclass(frozen=True)
class Loaded:
    info: EngineInfo


@dataclass(frozen=True)
class Warm:
    """`cold_s` is the first inference after loading, `warm_s` the second, on the same silence."""

    cold_s: float
    warm_s: float


@dataclass(frozen=True)
class SegmentDone:
    segment: Segment


@dataclass(frozen=True)
class TranscriptDone:
    """`seconds` is the worker's own clock around `Engine.transcribe` and nothing else; `spoken_s`
    are the readings of it when each segment was known."""

    transcript: Transcript
    seconds: float
    spoken_s: tuple[float, ...]


@dataclass(frozen=True)
class CheckDone:
    result: CheckResult


@dataclass(frozen=True)
class LayerDone:
    errors: LayerErrors


@dataclass(frozen=True)
class ChecksDone:
    pass


@dataclass(frozen=True)
class StreamOpened:
    pass


@dataclass(frozen=True)
class StreamHeard:
    update: Update


@dataclass(frozen=True)
class StreamDone:
    transcript: Transcript


@dataclass(frozen=True)
class Cancelled:
    pass


@dataclass(frozen=True)
class Failed:
    """`message` may be shown to anyone: the traceback stays on the worker's standard error."""

    message: str


Event = (
    Progress
    | Loaded
    | Warm
    | SegmentDone
    | TranscriptDone
    | CheckDone
    | LayerDone
    | ChecksDone
    | StreamOpened
    | StreamHeard
    | StreamDone
    | Cancelled
    | Failed
)
# Events that end a command.
LAST = (TranscriptDone, ChecksDone, StreamOpened, StreamHeard, StreamDone, Cancelled, Failed)
