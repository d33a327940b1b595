"""The child process that hosts one engine: it loads, then answers commands one by one.

In: a channel of `messages` commands. Out: answers on the same channel. It ends when the parent
hangs up or dies, so it cannot outlive it. It must not know what the parent is, other engines, or
any file of a visitor.
"""

import ctypes
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from maxwhisper.engine import ENGINES, Engine, LiveEngine, load_engine
from maxwhisper.engines import messages
from maxwhisper.engines.channel import Channel
from maxwhisper.engines.timing import TimedTranscript, timed
from maxwhisper.errors import EngineUnavailable, MaxWhisperError, OptionError, one_line
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.options import GREEDY

if TYPE_CHECKING:
    from maxwhisper.transcribe.stream import Stream

WARM_UP_S = 1.0  # seconds of silence: padded to one 30 s window, the shape of every later window
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOWEST_PRIORITY = 19  # the niceness of a guest
INTERNAL_ERROR = "internal error, logged on the server: try another recording or setting"

# torch: "DefaultCPUAllocator: can't allocate memory", "CUDA out of memory"; CTranslate2:
# "mkl_malloc: failed to allocate memory", "std::bad_alloc"
_OUT_OF_MEMORY = re.compile("out of memory|allocate memory|bad_alloc", re.IGNORECASE)

log = logging.getLogger(__name__)


class Stopped(Exception):
    """A Cancel arrived; raised inside the engine's own loop to unwind it."""


class Line:
    """The worker's end of the channel. The process ends when the parent has hung up."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def send(self, answer: messages.Answer) -> None:
        """Send a whole message; may be called from any thread."""
        try:
            self._channel.send(answer)
        except EOFError:
            sys.exit()

    def send_item(self, value: Any) -> None:
        """Send one item. Raises `Stopped` if a Cancel has arrived."""
        self.send(messages.Item(value))
        if self._poll(0) is not None:  # a Cancel: nothing else comes while a command runs
            raise Stopped

    def receive(self) -> messages.Command:
        """Wait for the next command."""
        command: messages.Command = self._poll(None)
        return command

    def _poll(self, timeout_s: float | None) -> Any:
        try:
            return self._channel.poll(timeout_s)
        except EOFError:
            sys.exit()


@dataclass
class Host:
    """What this process holds: the engine called `name`, once loaded, and its one live stream."""

    name: str
    line: Line
    engine: Engine | None = None
    stream: "Stream | None" = None


def main(channel: Channel, name: str, engines: dict[str, str]) -> None:
    """Serve engine `name` until the parent hangs up; `engines` is the parent's registry, which a
    spawned process does not inherit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the parent hangs up
    die_with_parent()
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    ENGINES.clear()
    ENGINES.update(engines)
    host = Host(name, Line(channel))
    while True:
        try:
            command = host.line.receive()
            if isinstance(command, messages.Cancel):
                continue  # it came too late: nothing runs
            host.line.send(messages.Begun())
            for value in answer(host, command):
                host.line.send_item(value)
            last = messages.End("done")
        except Stopped:
            last = messages.End("cancelled")
        except Exception as error:
            last = failure(name, error)
        host.line.send(last)


def die_with_parent() -> None:
    """Have Linux kill this process when its parent is killed, busy or stopped as it may be."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def answer(host: Host, command: messages.Command) -> Iterator[Any]:
    """Do what `command` says; yields the items of its answer."""
    if isinstance(command, messages.Load):
        return load(host, command)
    if isinstance(command, messages.Ping):
        return iter(())
    if host.engine is None:
        raise RuntimeError(f"{type(command).__name__} came before the engine was loaded")
    match command:
        case messages.Transcribe():
            return transcribe(host.line, host.engine, command)
        case messages.Run():
            return command.task(host.engine, *command.arguments)
        case messages.OpenStream():
            host.stream = open_stream(host.engine, command)
            return iter(())
        case messages.FeedStream():
            return iter([open_one(host).feed(command.samples)])
        case messages.FinishStream():
            transcript, host.stream = open_one(host).finish(), None
            return iter([transcript])
    raise RuntimeError(f"unknown command {command!r}")


def failure(name: str, error: Exception) -> messages.End:
    """The answer for a command that raised `error`; the traceback goes to the log alone."""
    if isinstance(error, OptionError):
        return messages.End("refused", str(error), one_line(error))
    if is_out_of_memory(error):
        log.error("engine %s: %s", name, one_line(error))
        return messages.End("exhausted", "out of memory", one_line(error))
    if isinstance(error, MaxWhisperError):
        return messages.End("failed", str(error), one_line(error))
    log.error("engine %s: internal error", name, exc_info=error)
    return messages.End("failed", INTERNAL_ERROR, one_line(error))


def is_out_of_memory(error: Exception) -> bool:
    """True for Python's own error and for those of torch, CTranslate2 and CUDA, which have only
    their text in common."""
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)) is not None


def load(host: Host, command: messages.Load) -> Iterator[Any]:
    """Read the checkpoint, which may have to be downloaded, and build the engine on it."""

    def progress(line: str) -> None:
        host.line.send(messages.Item(line))

    if command.is_guest:
        os.setpgid(0, 0)  # `EngineProcess.pause` also stops the compilers that this starts
        os.nice(LOWEST_PRIORITY)
    weights = command.weights(progress=progress)
    start_s = time.perf_counter()
    host.engine = load_engine(
        host.name,
        weights,
        device=command.device,
        dtype=command.dtype,
        cache_dir=command.cache_dir,
        progress=progress,
    )
    seconds = time.perf_counter() - start_s
    yield messages.Loaded(host.engine.info, weights.dims, weights.source, seconds)


def warm_up(engine: Engine) -> Iterator[float]:
    """A task: seconds of the first inference, which pays for what an engine does once, and of the
    second, which does not; both on the same silence."""
    silence = np.zeros(int(WARM_UP_S * SAMPLE_RATE), dtype=np.float32)
    for _ in range(2):
        yield timed(engine, silence, GREEDY.changed({"language": "en"})).seconds


def transcribe(
    line: Line, engine: Engine, command: messages.Transcribe
) -> Iterator[TimedTranscript]:
    """Run the engine; segments and text are sent as they come, and a Cancel stops it at the next
    of them."""

    def on_text(text: str) -> None:
        line.send_item(messages.Partial(text))

    mode = dict(command.mode) | ({"on_text": on_text} if command.tells_text else {})
    done = timed(engine, command.waveform, command.options, line.send_item, mode)
    n_segments, n_reported = len(done.transcript.segments), len(done.spoken_s)
    if n_reported != n_segments:
        raise RuntimeError(f"expected {n_segments} segments reported, got {n_reported}")
    yield done


def open_stream(engine: Engine, command: messages.OpenStream) -> "Stream":
    """A new live stream on the engine's network."""
    if not isinstance(engine, LiveEngine):
        raise OptionError(f"{engine.info.name} does not transcribe live: maxwhisper does")
    return engine.stream(command.options, command.how)


def open_one(host: Host) -> "Stream":
    """The open stream. It is lost with the process, when the model changes or the engine dies."""
    if host.stream is None:
        raise EngineUnavailable("the live session was lost with the engine's process: start again")
    return host.stream
