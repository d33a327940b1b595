"""The child process that hosts one engine: it loads, warms up, then answers commands one by one.

In: a pipe of `messages` commands. Out: events on the same pipe. It ends when the pipe closes, so it
cannot outlive the page. It must not know the page, other engines, or any visitor's file.
"""

import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import numpy as np

from maxwhisper import checkpoint
from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.engine import ENGINES, Engine, LiveEngine, load_engine
from maxwhisper.errors import EngineUnavailable, MaxWhisperError, OptionError
from maxwhisper.options import GREEDY
from maxwhisper.serving.messages import (
    Cancel,
    Cancelled,
    CheckDone,
    ChecksDone,
    Command,
    Event,
    Failed,
    FeedStream,
    FinishStream,
    LayerDone,
    Load,
    Loaded,
    MeasureLayers,
    OpenStream,
    Progress,
    SegmentDone,
    SelfTest,
    StreamDone,
    StreamHeard,
    StreamOpened,
    Transcribe,
    TranscriptDone,
    Warm,
    WarmUp,
)
from maxwhisper.transcript import Segment

if TYPE_CHECKING:
    from maxwhisper.transcribe.stream import Stream

WARM_UP_S = 1.0  # seconds of silence: padded to one 30 s window, the shape every later window has


class Stopped(Exception):
    """The visitor asked to stop; raised inside the engine's own loop to unwind it."""


class Pipe:
    """The worker's end of the pipe: whole messages out from any thread, Cancel looked for between
    segments."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, event: Event) -> None:
        with self._sending:
            self._connection.send(event)

    def receive(self) -> Command:
        """Next command, waiting for it. Raises `EOFError` when the page is gone."""
        command: Command = self._connection.recv()
        return command

    def stop_if_cancelled(self) -> None:
        """Raise `Stopped` if a Cancel has arrived: nothing else may while a command runs."""
        if self._connection.poll():
            self.receive()
            raise Stopped


@dataclass
class Hosted:
    """What this process holds: the engine called `name`, once loaded, and its one live stream."""

    name: str
    engine: Engine | None = None
    stream: "Stream | None" = None


def main(connection: Connection, name: str, engines: dict[str, str]) -> None:
    """Serve engine `name` until the pipe closes; `engines` is the parent's registry, which a
    spawned process does not inherit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the page's business: it closes us
    ENGINES.update(engines)
    pipe, hosted = Pipe(connection), Hosted(name)
    while True:
        try:
            answer(pipe, hosted, pipe.receive())
        except EOFError:
            return
        except Stopped:
            pipe.send(Cancelled())
        except MaxWhisperError as error:
            pipe.send(Failed(str(error)))
        except Exception:
            print(f"engine {name}: internal error", file=sys.stderr)
            traceback.print_exc()
            pipe.send(
                Failed("internal error, logged on the server: try another recording or setting")
            )


def answer(pipe: Pipe, hosted: Hosted, command: Command) -> None:
    """Do what `command` says; a Cancel that came too late has no object."""
    if isinstance(command, Cancel):
        return
    if isinstance(command, Load):
        hosted.engine = load(pipe, hosted.name, command)
        return
    if hosted.engine is None:
        raise RuntimeError(f"{type(command).__name__} came before the engine was loaded")
    match command:
        case WarmUp():
            warm_up(pipe, hosted.engine)
        case Transcribe():
            transcribe(pipe, hosted.engine, command)
        case SelfTest():
            selftest(pipe, hosted.engine, command)
        case MeasureLayers():
            measure_layers(pipe, hosted.engine, command)
        case OpenStream():
            hosted.stream = open_stream(hosted.engine, command)
            pipe.send(StreamOpened())
        case FeedStream():
            pipe.send(StreamHeard(_open(hosted).feed(command.samples)))
        case FinishStream():
            transcript, hosted.stream = _open(hosted).finish(), None
            pipe.send(StreamDone(transcript))


def load(pipe: Pipe, name: str, command: Load) -> Engine:
    """Read the checkpoint, which may have to be fetched, and build the engine on it."""

    def progress(line: str) -> None:
        pipe.send(Progress(line))

    engine = load_engine(
        name,
        checkpoint.load(command.model, progress=progress),
        device=command.device,
        dtype=command.dtype,
        progress=progress,
    )
    pipe.send(Loaded(engine.info))
    return engine


def warm_up(pipe: Pipe, engine: Engine) -> None:
    """Two real inferences: the first pays for what an engine does once, the second does not."""
    silence = np.zeros(int(WARM_UP_S * SAMPLE_RATE), dtype=np.float32)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        engine.transcribe(silence, GREEDY.changed({"language": "en"}))
        seconds.append(time.perf_counter() - start)
    pipe.send(Warm(*seconds))


def transcribe(pipe: Pipe, engine: Engine, command: Transcribe) -> None:
    """Run the engine, passing each segment on as it comes and stopping at a Cancel between two."""

    spoken_s: list[float] = []

    def on_segment(segment: Segment) -> None:
        spoken_s.append(time.perf_counter() - start)
        pipe.send(SegmentDone(segment))
        pipe.stop_if_cancelled()

    start = time.perf_counter()
    transcript = engine.transcribe(command.waveform, command.options, on_segment)
    seconds = time.perf_counter() - start
    if len(spoken_s) != len(transcript.segments):
        raise RuntimeError(
            f"expected {len(transcript.segments)} segments reported, got {len(spoken_s)}"
        )
    pipe.send(TranscriptDone(transcript, seconds, tuple(spoken_s)))


def selftest(pipe: Pipe, engine: Engine, command: SelfTest) -> None:
    """Run component checks on the loaded engine, reporting each as it ends."""
    from maxwhisper.selftest.checks import run_checks  # imports max: only where an engine needs it

    for result in run_checks(engine, command.names or None, command.device):
        pipe.send(CheckDone(result))
        pipe.stop_if_cancelled()
    pipe.send(ChecksDone())


def measure_layers(pipe: Pipe, engine: Engine, command: MeasureLayers) -> None:
    """Compare layers with the reference, reporting each as it is known."""
    from maxwhisper.selftest.layers import layer_errors  # imports max, as above

    for errors in layer_errors(engine, command.waveform):
        pipe.send(LayerDone(errors))
        pipe.stop_if_cancelled()
    pipe.send(ChecksDone())


def open_stream(engine: Engine, command: OpenStream) -> "Stream":
    """A new live stream on the engine's network."""
    if not isinstance(engine, LiveEngine):
        raise OptionError(f"{engine.info.name} does not transcribe live: maxwhisper does")
    return engine.stream(command.options, command.how)


def _open(hosted: Hosted) -> "Stream":
    """The open stream. It is lost with the process, when the model changes or the engine dies."""
    if hosted.stream is None:
        raise EngineUnavailable("the live session was lost with the engine's process: start again")
    return hosted.stream
