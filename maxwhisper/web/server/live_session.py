"""Live transcription for a page: samples in as they come, text out; races have priority.

One session at a time, of `MAX_LIVE_S` by the clock at most. A session has a thread of its own. It
holds the device for one step at a time, and never while a run holds the device or waits for it;
samples are buffered meanwhile. The stream itself is in the engine's process. Must not know the
page.
"""

import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from maxwhisper.audio.waveform import Waveform
from maxwhisper.engine import OURS
from maxwhisper.engines import messages
from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.status import RunCancelled
from maxwhisper.errors import EngineUnavailable, MaxWhisperError
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.options import StreamOptions, TranscribeOptions
from maxwhisper.transcribe.stream import Update
from maxwhisper.transcript import Transcript
from maxwhisper.web.server.microphone import Microphone

MAX_LIVE_S = 120.0  # since the session was opened: then it is another visitor's turn
MAX_FINISH_S = 60.0  # after that, for speech that was buffered during a race
IDLE_S = 10.0  # without `STEP_S` of new audio: the visitor has left
STEP_S = 0.25  # of new audio are sent to the engine at once; the stream collects whole hops
MAX_STEP_S = 5.0  # of audio at once: much may be buffered after a race, and the next must not wait
KEEP_UP = StreamOptions(keep_up=True)

log = logging.getLogger(__name__)

LivePhase = Literal["opening", "listening", "waiting", "finishing", "over"]


@dataclass(frozen=True)
class LiveView:
    """A session at one moment; `tentative` follows `committed` and may change.

    `lag_s` is speech received and not yet committed, including audio that is still buffered.
    `real_time_factor` is computing time over audio: above 1 the engine falls behind.
    """

    phase: LivePhase
    committed: str = ""
    tentative: str = ""
    received_s: float = 0.0
    lag_s: float = 0.0
    real_time_factor: float = 0.0
    note: str = ""  # why it is over
    left_s: float = MAX_LIVE_S  # until the session's time is up


class LiveSession:
    """The speech of one visitor. `feed` and `finish` return at once; `view` is the progress."""

    def __init__(
        self, pool: EnginePool, options: TranscribeOptions, before: "LiveSession | None" = None
    ) -> None:
        """Start once the session `before`, which was stopped, no longer uses the engine."""
        self._pool, self._options, self._before = pool, options, before
        self._microphone = Microphone()
        self._view = LiveView("opening")
        self._pending: list[Waveform] = []
        self._pending_samples = self._heard_samples = self._received_samples = 0
        self._is_complete = False  # no more samples will come
        self._until_s = time.monotonic() + MAX_LIVE_S
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="live session", daemon=True)
        self._thread.start()

    @property
    def view(self) -> LiveView:
        with self._changed:
            backlog_s = max(0, self._received_samples - self._heard_samples) / SAMPLE_RATE
            return replace(
                self._view,
                left_s=0.0 if self.is_over else max(0.0, -self.overtime_s),
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
        """Add samples (n,) float32 mono 16 kHz. The session ends `MAX_LIVE_S` after it was opened,
        and with the sample that is `MAX_LIVE_S` of audio."""
        with self._changed:
            if self._is_complete or self._is_time_up():
                return
            room = int(MAX_LIVE_S * SAMPLE_RATE) - self._received_samples
            self._pending.append(samples[:room])
            self._pending_samples += len(samples[:room])
            self._received_samples += len(samples[:room])
            if len(samples) >= room:
                self._complete(_time_is_up())
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

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until the session's thread has ended."""
        self._thread.join(timeout_s)

    @property
    def overtime_s(self) -> float:
        """Seconds since the session's time was up; negative before."""
        return time.monotonic() - self._until_s

    def _is_time_up(self) -> bool:
        """Accept no more samples once the time is up."""
        if self.overtime_s >= 0:
            self._complete(_time_is_up())
        return self._is_complete

    def _complete(self, note: str) -> None:
        if not self._is_complete:
            self._is_complete = True
            self._view = replace(self._view, note=note)
            self._changed.notify()

    def _work(self) -> None:
        note = ""
        try:
            if self._before is not None:
                self._before.join()
                self._before = None
            self._ask(messages.OpenStream(self._options, KEEP_UP))
            while (samples := self._next()) is not None:
                self._ask(messages.FeedStream(samples))
                self._heard_samples += len(samples)
            self._ask(messages.FinishStream())
        except RunCancelled:  # by `stop`, which has set the note
            note = ""
        except MaxWhisperError as error:
            note = str(error)
        except Exception:  # a thread that dies silently would leave its visitor waiting
            log.exception("live session: internal error")
            note = "internal error, logged on the server: start again"
        with self._changed:
            self._end(note)

    def _end(self, note: str) -> None:
        """Set the last view; samples that the engine has not read are dropped."""
        if self.is_over:
            return
        self._is_complete = True
        self._pending, self._pending_samples = [], 0
        self._heard_samples = self._received_samples
        self._view = replace(
            self._view, phase="over", tentative="", lag_s=0.0, note=note or self._view.note
        )
        self._changed.notify()

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
            self._set(
                committed=self._view.committed + "".join(w.word for w in answer.committed),
                tentative=answer.tentative,
                lag_s=answer.lag_s,
                real_time_factor=answer.real_time_factor,
            )
        elif isinstance(answer, Transcript):
            self._set(committed=answer.text)

    def _set(self, **changes: object) -> None:
        with self._changed:
            if not self.is_over:
                self._view = replace(self._view, **changes)  # type: ignore[arg-type]


def _time_is_up() -> str:
    return f"ended after {MAX_LIVE_S / 60:.0f} minutes: others can use Live now"


class LiveDesk:
    """The one session of a page, and its owner."""

    def __init__(self, pool: EnginePool) -> None:
        self._pool = pool
        self._session: LiveSession | None = None
        self._owner = self._token = ""
        self._lock = threading.Lock()

    def open(self, owner: str, options: TranscribeOptions, token: str = "") -> LiveSession:
        """A new session; an earlier one of the same visitor ends. `token` is the secret with which
        the microphone sends its samples. Raises `EngineUnavailable` while another visitor is live,
        `OptionError` for invalid options."""
        options.validate()
        with self._lock:
            before = self._session
            if before is not None and not before.is_over:
                if owner != self._owner and before.overtime_s < MAX_FINISH_S:
                    left_s = before.view.left_s
                    raise EngineUnavailable(
                        f"Someone else is using Live. It is free again in at most {left_s:.0f} s. "
                        "You can also record on the Race tab."
                    )
                before.stop(_time_is_up() if owner != self._owner else "stopped")
            self._owner, self._token = owner, token
            self._session = LiveSession(self._pool, options, before)
            return self._session

    @property
    def is_live(self) -> bool:
        """True while a session runs."""
        session = self._session
        return session is not None and not session.is_over

    def by_token(self, token: str) -> LiveSession | None:
        """The session that was opened with this token, running or over."""
        with self._lock:
            return self._session if token and token == self._token else None

    def of(self, owner: str) -> LiveSession | None:
        """The session of this visitor, running or over; None if there was none."""
        with self._lock:
            return self._session if owner == self._owner else None
