"""The child process that hosts one engine: it loads, warms up, then answers commands one by one.

In: a pipe of `messages` commands. Out: events on the same pipe. It ends when the pipe closes, so it
cannot outlive the page. It must not know the page, other engines, or any visitor's file.
"""

import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection

import numpy as np

from maxwhisper import checkpoint
from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.engine import ENGINES, Engine, load_engine
from maxwhisper.errors import MaxWhisperError
from maxwhisper.options import GREEDY
from maxwhisper.serving.messages import (
    Cancel,
    Cancelled,
    CheckDone,
    ChecksDone,
    Command,
    Event,
    Failed,
    Load,
    Loaded,
    Progress,
    SegmentDone,
    SelfTest,
    Transcribe,
    TranscriptDone,
    Warm,
    WarmUp,
)
from maxwhisper.transcript import Segment

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


def main(connection: Connection, name: str, engines: dict[str, str]) -> None:
    """Serve engine `name` until the pipe closes; `engines` is the parent's registry, which a
    spawned process does not inherit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the page's business: it closes us
    ENGINES.update(engines)
    pipe = Pipe(connection)
    engine: Engine | None = None
    while True:
        try:
            command = pipe.receive()
            if isinstance(command, Load):
                engine = load(pipe, name, command)
            elif isinstance(command, WarmUp) and engine:
                warm_up(pipe, engine)
            elif isinstance(command, Transcribe) and engine:
                transcribe(pipe, engine, command)
            elif isinstance(command, SelfTest) and engine:
                selftest(pipe, engine, command)
            elif not isinstance(command, Cancel):  # a Cancel that came too late has no object
                raise RuntimeError(f"{type(command).__name__} came before the engine was loaded")
        except EOFError:
            return
        except Stopped:
            pipe.send(Cancelled())
        except MaxWhisperError as error:
            pipe.send(Failed(str(error)))
        except Exception:
            print(f"engine {name}: internal error", file=sys.stderr)
            traceback.print_exc()
            pipe.send(Failed("internal error, logged on the server"))


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

    for result in run_checks(engine, command.names or None):
        pipe.send(CheckDone(result))
        pipe.stop_if_cancelled()
    pipe.send(ChecksDone())
