"""Live transcription for a page: samples in as they come, what was understood out, races first.

One session at a time, of `MAX_LIVE_S` at most. A session has a thread of its own: it holds the
device for one step at a time, and not while a run holds the device or waits for it; samples are
kept meanwhile. The stream itself lives in the engine's process. Must not know the page.
"""

import sys
import threading
import traceback
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.engine import OURS, Waveform
from maxwhisper.errors import EngineUnavailable, MaxWhisperError
from maxwhisper.options import TranscribeOptions
from maxwhisper.serving import messages
from maxwhisper.serving.microphone import Microphone
from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.status import RunCancelled
from maxwhisper.stream_options import StreamOptions

MAX_LIVE_S = 120.0  # of audio: then it is somebody else's turn
IDLE_S = 10.0  # without a sample: the visitor has gone
STEP_S = 0.25  # of new audio, and the engine is given it; the stream collects whole hops
MAX_STEP_S = 5.0  # of audio at once: after a race much may have come, and the next must not wait
KEEP_UP = StreamOptions(keep_up=True)

LivePhase = Literal["opening", "listening", "waiting", "finishing", "over"]


@dataclass(frozen=True)
class LiveView:
    """A session at one moment; `tentative` follows `committed` and may change.

    `lag_s` is speech received and not yet committed, audio the engine has not had included.
    `real_time_factor` is computing time over audio: above 1 it falls behind.
    """

    phase: LivePhase
    committed: str = ""
    tentative: str = ""
    received_s: float = 0.0
    lag_s: float = 0.0
    real_time_factor: float = 0.0
    note: str = ""  # why it is over, or waits


class LiveSession:
    """What one visitor says. `feed` and `finish` return at once; `view` says how far it is."""

    def __init__(
        self, pool: EnginePool, options: TranscribeOptions, before: "LiveSession | None" = None
    ) -> None:
        """Begins when the session `before`, stopped already, has let go of the engine."""
        self._pool, self._options, self._before = pool, options, before
        self._microphone = Microphone()
        self._view = LiveView("opening")
        self._pending: list[Waveform] = []
        self._pending_samples = self._heard_samples = self._received_samples = 0
        self._is_complete = False  # no more samples will come
        self._news = threading.Condition()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="live session", daemon=True)
        self._thread.start()

    @property
    def view(self) -> LiveView:
        with self._news:
            backlog_s = max(0, self._received_samples - self._heard_samples) / SAMPLE_RATE
            received_s = self._received_samples / SAMPLE_RATE
            return replace(self._view, received_s=received_s, lag_s=self._view.lag_s + backlog_s)

    @property
    def is_over(self) -> bool:
        return self._view.phase == "over"

    @property
    def is_complete(self) -> bool:
        """True once no more samples are taken."""
        return self._is_complete

    def hear(self, pcm: bytes, rate: int) -> None:
        """Add what a browser recorded, as `Microphone` reads it. Raises `AudioError`."""
        self.feed(self._microphone.samples(pcm, rate))

    def feed(self, samples: Waveform) -> None:
        """Add samples (n,) float32 mono 16 kHz; those beyond `MAX_LIVE_S` end the session."""
        with self._news:
            if self._is_complete:
                return
            room = int(MAX_LIVE_S * SAMPLE_RATE) - self._received_samples
            self._pending.append(samples[:room])
            self._pending_samples += len(samples[:room])
            self._received_samples += len(samples[:room])
            if len(samples) >= room:
                self._complete(f"over after {MAX_LIVE_S / 60:.0f} minutes, so that others may")
            self._news.notify()

    def finish(self) -> None:
        """No more samples: what is left is committed, and the session ends."""
        with self._news:
            self._complete("")

    def stop(self, note: str = "stopped") -> None:
        """Over at once, whatever is left; `note` says why. The engine ends the step it is at, and
        the next session waits for that."""
        self._stopped.set()
        with self._news:
            self._end(note)

    def join(self, timeout_s: float | None = None) -> None:
        """Wait until it is over."""
        self._thread.join(timeout_s)

    def _complete(self, note: str) -> None:
        if not self._is_complete:
            self._is_complete = True
            self._view = replace(self._view, note=note)
            self._news.notify()

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
        except RunCancelled:  # by `stop`, which said why
            note = ""
        except MaxWhisperError as error:
            note = str(error)
        except Exception:  # a thread that dies silently would leave its visitor waiting
            print("live session: internal error", file=sys.stderr)
            traceback.print_exc()
            note = "internal error, logged on the server: start again"
        with self._news:
            self._end(note)

    def _end(self, note: str) -> None:
        """Over, once and for good; what was not read is forgotten."""
        if self.is_over:
            return
        self._is_complete = True
        self._pending, self._pending_samples = [], 0
        self._heard_samples = self._received_samples
        self._view = replace(
            self._view, phase="over", tentative="", lag_s=0.0, note=note or self._view.note
        )
        self._news.notify()

    def _next(self) -> Waveform | None:
        """The samples of a step, as soon as there are enough; None when all were given."""
        with self._news:
            enough = STEP_S * SAMPLE_RATE
            while self._pending_samples < enough and not self._is_complete:
                if not self._news.wait(IDLE_S):
                    self._complete(f"no sound came for {IDLE_S:.0f} s")
            if not self._pending_samples:
                return None
            pending = np.concatenate(self._pending)
            samples, rest = np.split(pending, [int(MAX_STEP_S * SAMPLE_RATE)])
            self._pending, self._pending_samples = [rest], len(rest)
            return samples

    def _ask(self, command: messages.StreamCommand) -> None:
        """Give the engine a command in a moment that no run wants, and apply its answer."""
        is_last = isinstance(command, messages.FinishStream)
        if self._stopped.is_set():
            raise RunCancelled
        if self._pool.is_busy:
            self._set(phase="waiting")
        with self._pool.spare_device(self._stopped.is_set):
            self._set(phase="finishing" if is_last else "listening")
            answer = self._pool.live(OURS, command, self._stopped.is_set)
        if isinstance(answer, messages.StreamHeard):
            update = answer.update
            self._set(
                committed=self._view.committed + "".join(w.word for w in update.committed),
                tentative=update.tentative,
                lag_s=update.lag_s,
                real_time_factor=update.real_time_factor,
            )
        elif isinstance(answer, messages.StreamDone):
            self._set(committed=answer.transcript.text)

    def _set(self, **changes: object) -> None:
        with self._news:
            if not self.is_over:
                self._view = replace(self._view, **changes)  # type: ignore[arg-type]


class LiveDesk:
    """The one session of a page, and whose it is."""

    def __init__(self, pool: EnginePool) -> None:
        self._pool = pool
        self._session: LiveSession | None = None
        self._owner = self._token = ""
        self._lock = threading.Lock()

    def open(self, owner: str, options: TranscribeOptions, token: str = "") -> LiveSession:
        """A new session; an earlier one of the same visitor ends. `token` is the secret that lets
        the microphone in. Raises `EngineUnavailable` while somebody else is live, `OptionError` for
        impossible options."""
        options.validate()
        with self._lock:
            before = self._session
            if before is not None and not before.is_over:
                if owner != self._owner:
                    left_s = MAX_LIVE_S - before.view.received_s
                    raise EngineUnavailable(
                        f"somebody else is live, for {left_s:.0f} s at most: try again then, or "
                        "record on the Race tab"
                    )
                before.stop()
            self._owner, self._token = owner, token
            self._session = LiveSession(self._pool, options, before)
            return self._session

    def by_token(self, token: str) -> LiveSession | None:
        """The session that was opened with this token, running or over."""
        with self._lock:
            return self._session if token and token == self._token else None

    def of(self, owner: str) -> LiveSession | None:
        """The session of this visitor, running or over; None if there was none."""
        with self._lock:
            return self._session if owner == self._owner else None
