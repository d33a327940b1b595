"""Live transcription for a page: samples in as they come, text out; races have priority.

A session lasts `MAX_LIVE_S` by the clock at most, from the moment when its turn comes; the desk
(`live_desk`) gives the turns. It has a thread of its own, and holds the device for one step at a
time, never while a run holds the device or waits for it; samples are buffered meanwhile. The stream
itself is in the engine's process. Must not know the page.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

import numpy as np

from maxwhisper.audio.waveform import Waveform
from maxwhisper.engine import OURS
from maxwhisper.engines import messages
from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.status import RunCancelled
from maxwhisper.errors import MaxWhisperError
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.options import StreamOptions, TranscribeOptions
from maxwhisper.transcribe.stream import Update
from maxwhisper.transcript import Transcript, Word
from maxwhisper.web.server.microphone import Microphone
from maxwhisper.web.server.visitor import LOCALHOST

MAX_LIVE_S = 120.0  # since the session was opened: then it is another visitor's turn
MAX_FINISH_S = 60.0  # after that, for speech that was buffered during a race
AWAY_S = 10.0  # without a word from the page of who waits in line: the visitor has left
IDLE_S = 10.0  # without `STEP_S` of new audio: the visitor has left
STEP_S = 0.125  # of new audio are sent to the engine at once; the stream collects whole hops
MAX_STEP_S = 5.0  # of audio at once: much may be buffered after a race, and the next must not wait
# Four hearings a second where the engine is that fast. Where it is not, each hearing begins when
# the one before has ended: `keep_up` leaves out the hops that came meanwhile.
KEEP_UP = StreamOptions(hop_s=0.25, keep_up=True)
DELAYS = 30  # words whose delays are shown as one median

log = logging.getLogger(__name__)

LivePhase = Literal["in line", "opening", "listening", "waiting", "finishing", "over"]


@dataclass(frozen=True)
class LiveView:
    """A session at one moment; `tentative` follows `committed` and may change.

    `words` are the committed ones with times, from the session's first sample. `lag_s` is speech
    received and not yet committed, including audio that is still buffered. `delay_s` is the median
    time from the end of a word to its commit, over the latest words; None before the first one.
    """

    phase: LivePhase
    committed: str = ""
    tentative: str = ""
    received_s: float = 0.0
    lag_s: float = 0.0
    delay_s: float | None = None
    note: str = ""  # why it is over
    left_s: float = MAX_LIVE_S  # until its time is up; in line, until its turn at the latest
    place: int = 0  # in line, 2 for the next one
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Ticket:
    """Whose session it is: a page, the visitor who opened it, and the secret with which the
    microphone of that page sends its samples."""

    owner: str
    visitor: str = LOCALHOST
    token: str = ""


class LiveSession:
    """The speech of one visitor. `feed` and `finish` return at once; `view` is the progress."""

    def __init__(
        self,
        pool: EnginePool,
        options: TranscribeOptions,
        ticket: Ticket,
        turn: Callable[["LiveSession"], AbstractContextManager[None]],
    ) -> None:
        """`turn` waits until no other session uses the engine, and calls `wait_in_line`."""
        self._pool, self._options, self.ticket, self._turn = pool, options, ticket, turn
        self._microphone = Microphone()
        self._view = LiveView("opening")
        self._pending: list[Waveform] = []
        self._pending_samples = self._heard_samples = self._received_samples = 0
        self._is_complete = False  # no more samples will come
        self._until_s = math.inf  # once its turn has come: when its time is up
        self._seen_s = time.monotonic()  # when the page last asked
        self._delays_s: deque[float] = deque(maxlen=DELAYS)
        lock = threading.RLock()
        self._changed = threading.Condition(lock)  # for the thread: samples
        self._shown = threading.Condition(lock)  # for the page: a new view
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="live session", daemon=True)
        self._thread.start()

    @property
    def view(self) -> LiveView:
        with self._changed:
            backlog_s = max(0, self._received_samples - self._heard_samples) / SAMPLE_RATE
            is_timed = self._until_s < math.inf and not self.is_over
            return replace(
                self._view,
                left_s=max(0.0, -self.overtime_s) if is_timed else self._view.left_s,
                received_s=self._received_samples / SAMPLE_RATE,
                lag_s=self._view.lag_s + backlog_s,
            )

    @property
    def is_over(self) -> bool:
        return self._view.phase == "over"

    @property
    def is_complete(self) -> bool:
        """True once no more samples are accepted."""
        return self._is_complete

    def feed_pcm(self, pcm: bytes, rate: int) -> None:
        """Add what a browser recorded; see `Microphone.samples`. Raises `AudioError`."""
        self.feed(self._microphone.samples(pcm, rate))

    def feed(self, samples: Waveform) -> None:
        """Add samples (n,) float32 mono 16 kHz; in line, they are dropped. The session ends
        `MAX_LIVE_S` after its turn came, and with the sample that is `MAX_LIVE_S` of audio."""
        with self._changed:
            if self._is_complete or self._is_time_up() or self._view.phase == "in line":
                return
            room = int(MAX_LIVE_S * SAMPLE_RATE) - self._received_samples
            self._pending.append(samples[:room])
            self._pending_samples += len(samples[:room])
            self._received_samples += len(samples[:room])
            if len(samples) >= room:
                self._complete(time_is_up())
            self._changed.notify()

    def finish(self) -> None:
        """Accept no more samples, commit the rest, and end the session."""
        with self._changed:
            self._complete("")

    def stop(self, note: str = "stopped") -> None:
        """End at once and drop the rest; `note` says why. The engine finishes its current step, and
        the next session waits for that."""
        self._stopped.set()
        with self._changed:
            self._end(note)

    def touch(self) -> None:
        """Note that the page with the microphone is still there."""
        self._seen_s = time.monotonic()

    def wait_in_line(self, place: int, left_s: float) -> None:
        """Show the place, and for how long it may last. Raises `RunCancelled` for a visitor who
        left the line."""
        is_away = self.ticket.token != "" and time.monotonic() - self._seen_s > AWAY_S
        if self._is_complete or self._stopped.is_set() or is_away:
            self.stop("You left the line.")
            raise RunCancelled
        self._set(phase="in line", place=place, left_s=left_s)

    def await_change(self, timeout_s: float) -> None:
        """Wait until there is something new to show."""
        with self._shown:
            if not self.is_over:
                self._shown.wait(timeout_s)

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the session's thread has ended."""
        self._thread.join(timeout_s)

    @property
    def overtime_s(self) -> float:
        """Seconds since the session's time was up; negative before, and in line."""
        return time.monotonic() - self._until_s

    def _is_time_up(self) -> bool:
        """Accept no more samples once the time is up."""
        if self.overtime_s >= 0:
            self._complete(time_is_up())
        return self._is_complete

    def _complete(self, note: str) -> None:
        if not self._is_complete:
            self._is_complete = True
            self._view = replace(self._view, note=note)
            self._changed.notify()

    def _work(self) -> None:
        note = ""
        try:
            with self._turn(self):
                self._listen()
        except RunCancelled:  # by `stop`, which has set the note
            note = ""
        except MaxWhisperError as error:
            note = str(error)
        except Exception:  # a thread that dies silently would leave its visitor waiting
            log.exception("live session: internal error")
            note = "internal error, logged on the server: start again"
        with self._changed:
            self._end(note)

    def _listen(self) -> None:
        """The session's turn."""
        self._until_s = time.monotonic() + MAX_LIVE_S
        self._set(phase="opening", place=0)
        self._ask(messages.OpenStream(self._options, KEEP_UP))
        while (samples := self._next()) is not None:
            self._ask(messages.FeedStream(samples))
            self._heard_samples += len(samples)
        self._ask(messages.FinishStream())

    def _end(self, note: str) -> None:
        """Set the last view; samples that the engine has not read are dropped."""
        if self.is_over:
            return
        self._is_complete = True
        self._pending, self._pending_samples = [], 0
        self._heard_samples = self._received_samples
        self._view = replace(
            self._view,
            phase="over",
            tentative="",
            lag_s=0.0,
            left_s=0.0,
            note=note or self._view.note,
        )
        self._changed.notify()
        self._shown.notify_all()

    def _next(self) -> Waveform | None:
        """The samples of a step, once there are enough; None after the last ones."""
        with self._changed:
            enough = STEP_S * SAMPLE_RATE
            idle_s = time.monotonic() + IDLE_S  # a trickle of bytes is no sound
            while self._pending_samples < enough and not self._is_time_up():
                now_s = time.monotonic()
                if now_s >= idle_s:
                    self._complete(f"ended: no sound for {IDLE_S:.0f} s")
                else:
                    self._changed.wait(min(idle_s, self._until_s) - now_s)
            if not self._pending_samples:
                return None
            pending = np.concatenate(self._pending)
            samples, rest = np.split(pending, [int(MAX_STEP_S * SAMPLE_RATE)])
            self._pending, self._pending_samples = [rest], len(rest)
            return samples

    def _ask(self, command: messages.StreamCommand) -> None:
        """Send the engine a command while no run wants the device; apply its answer."""
        is_last = isinstance(command, messages.FinishStream)
        if self._stopped.is_set():
            raise RunCancelled
        if self._pool.is_busy:
            self._set(phase="waiting")
        with self._pool.spare_device(self._stopped.is_set) as device:
            self._set(phase="finishing" if is_last else "listening")
            answer = device.stream(OURS, command)
        if isinstance(answer, Update):
            self._hear(answer)
        elif isinstance(answer, Transcript):
            self._set(committed=answer.text, words=answer.words)

    def _hear(self, update: Update) -> None:
        """Show the new words, and how long after their ends they came."""
        now_s = self._received_samples / SAMPLE_RATE
        self._delays_s += [max(0.0, now_s - word.end) for word in update.committed]
        self._set(
            committed=self._view.committed + "".join(word.word for word in update.committed),
            words=(*self._view.words, *update.committed),
            tentative=update.tentative,
            lag_s=update.lag_s,
            delay_s=median(self._delays_s) if self._delays_s else None,
        )

    def _set(self, **changes: object) -> None:
        with self._changed:
            before = self._view
            if not self.is_over:
                self._view = replace(before, **changes)  # type: ignore[arg-type]
            if self._view != before:
                self._shown.notify_all()


def time_is_up() -> str:
    return f"ended after {MAX_LIVE_S / 60:.0f} minutes: others can use Live now"
