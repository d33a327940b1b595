"""Transcriptions for programs: one recording by one engine, in the same queue as races.

In: a `Job`. Out: progress, segments and a `Transcribed`. Recordings of one window that wait with
the same settings are decoded together by our engine, which does not change their text: who has the
turn takes along the others. Must not know how a job was sent.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maxwhisper.audio.waveform import Waveform
from maxwhisper.engine import OURS, EachEngine, Engine
from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.process import EngineRefused
from maxwhisper.engines.status import RunCancelled
from maxwhisper.engines.timing import TimedTranscript
from maxwhisper.errors import AudioError, EngineUnavailable, NumericError, OptionError
from maxwhisper.network.dims import CHUNK_LENGTH_S
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import Segment, Transcript
from maxwhisper.web.server.downloads import Downloads
from maxwhisper.web.server.fair_use import RACES
from maxwhisper.web.server.queue import Place, VisitorQueue
from maxwhisper.web.server.uploads import Uploads

MAX_TOGETHER = 32  # recordings of one call: four batches of 8 windows, then others have a turn

Emit = Callable[[str | Segment], None]  # progress in words, and each segment once it is final


@dataclass(frozen=True)
class Job:
    """What to transcribe, how, and for whom."""

    path: Path  # of an adopted upload, or of a bundled clip
    is_upload: bool
    engine: str
    model: str
    options: TranscribeOptions
    visitor: str
    is_alone: bool = False  # segments are wanted as they come, or the time of this recording alone


@dataclass(frozen=True)
class Transcribed:
    """`timed` are the seconds of the whole call, if it had several recordings."""

    timed: TimedTranscript
    wait_s: float  # in the queue
    n_together: int = 1


@dataclass(eq=False)
class _Ticket:
    """A job in the queue. `waveform` is that of a short recording, which may join others."""

    job: Job
    place: Place
    cancelled: threading.Event
    waveform: Waveform | None
    joined_s: float = field(default_factory=time.monotonic)
    outcome: Transcribed | BaseException | None = None

    def fits(self, other: "_Ticket") -> bool:
        """True if one call can decode both recordings."""
        ours, theirs = self.job, other.job
        return (
            (self.waveform is not None and other.waveform is not None)
            and (ours.model, ours.options) == (theirs.model, theirs.options)
            and not other.cancelled.is_set()
        )

    def result(self) -> Transcribed:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        assert self.outcome is not None, "the turn has ended"
        return self.outcome


class Transcriber:
    """Runs jobs on `pool`; any number of threads may wait in `run`."""

    def __init__(self, pool: EnginePool, uploads: Uploads, queue: VisitorQueue) -> None:
        self.pool, self.uploads, self.queue = pool, uploads, queue
        self.downloads = Downloads(queue.fair)
        self._waiting: list[_Ticket] = []  # that may join the turn of another
        self._lock = threading.Lock()

    def run(self, job: Job, emit: Emit, cancelled: threading.Event) -> Transcribed:
        """Transcribe the recording of `job`, which was checked on its arrival. Raises
        `MaxWhisperError`, and `RunCancelled` once `cancelled` is set."""
        for note in self.downloads.download(job.model, job.visitor, cancelled):
            emit(note)
        waveform = self._short_waveform(job)
        with self.queue.join(job.visitor, RACES) as place:
            ticket = _Ticket(job, place, cancelled, waveform)
            with self._offered(ticket):
                self._wait(ticket, emit)
                if ticket.outcome is None:
                    self._lead(self._group(ticket), emit)
        return ticket.result()

    def _short_waveform(self, job: Job) -> Waveform | None:
        """The samples of a recording of one window that may join others: its file is deleted now.
        A longer one stays on disk until its turn, because samples take more room."""
        if job.is_alone or job.engine != OURS or not job.is_upload:
            return None
        duration_s = self.uploads.duration_s(job.path)
        if duration_s is None or duration_s > CHUNK_LENGTH_S:
            return None
        waveform = self.uploads.waveform(job.path, is_upload=True)
        self.uploads.forget(job.path)
        return waveform

    @contextlib.contextmanager
    def _offered(self, ticket: _Ticket) -> Iterator[None]:
        """Let others take this job along."""
        with self._lock:
            self._waiting.append(ticket)
        try:
            yield
        finally:
            with self._lock:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)

    def _wait(self, ticket: _Ticket, emit: Emit) -> None:
        """Return when it is the job's turn, or when another has taken it along."""

        def is_over() -> bool:
            return ticket.cancelled.is_set() or ticket.outcome is not None

        try:
            for n_ahead in ticket.place.wait(is_over):
                if ticket.job.is_upload:
                    self.uploads.keep(ticket.job.path)
                emit(f"waiting: {n_ahead} ahead")
        except RunCancelled:
            if ticket.outcome is None:
                raise

    def _group(self, first: _Ticket) -> list[_Ticket]:
        """`first`, and those in the queue that are decoded with it."""
        with self._lock:
            others = [each for each in self._waiting if each is not first and first.fits(each)]
            group = [first, *others[: MAX_TOGETHER - 1]]
            for ticket in group:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
        return group

    def _lead(self, group: Sequence[_Ticket], emit: Emit) -> None:
        """Transcribe the recordings of `group` in the turn of the first; sets their outcomes. Each
        visitor pays an equal part of the turn."""
        first = group[0]
        first.place.check()
        emit("transcribing")
        started_s = time.monotonic()
        try:
            if len(group) == 1:
                self._alone(first, emit, started_s)
            else:
                self._together(group, started_s)
        except BaseException as error:  # raised again for each by `result`
            for ticket in group:
                ticket.outcome = ticket.outcome or _told(error)
        finally:
            seconds = (time.monotonic() - started_s) / len(group)
            for ticket in group:
                ticket.place.count(seconds)
            with self.queue.moved:
                self.queue.moved.notify_all()

    def _alone(self, ticket: _Ticket, emit: Emit, started_s: float) -> None:
        job, is_cancelled = ticket.job, ticket.cancelled.is_set
        waveform = ticket.waveform
        if waveform is None:
            waveform = self.uploads.waveform(
                job.path, is_upload=job.is_upload, cancelled=is_cancelled
            )
        self.pool.use_model(job.model, is_cancelled)
        with self.pool.device(is_cancelled) as device:
            timed = device.transcribe(job.engine, waveform, job.options, emit)
        ticket.outcome = Transcribed(timed, started_s - ticket.joined_s)

    def _together(self, group: Sequence[_Ticket], started_s: float) -> None:
        job = group[0].job
        waveforms = [ticket.waveform for ticket in group if ticket.waveform is not None]

        def is_cancelled() -> bool:
            return all(ticket.cancelled.is_set() for ticket in group)

        self.pool.use_model(job.model, is_cancelled)
        with self.pool.device(is_cancelled) as device:
            begun_s = time.monotonic()
            for index, outcome in device.run(OURS, transcribe_each, waveforms, job.options):
                ticket = group[index]
                if isinstance(outcome, Transcript):
                    timed = TimedTranscript(outcome, time.monotonic() - begun_s, ())
                    wait_s = started_s - ticket.joined_s
                    ticket.outcome = Transcribed(timed, wait_s, len(group))
                else:
                    ticket.outcome = outcome


def transcribe_each(
    engine: Engine, waveforms: Sequence[Waveform], options: TranscribeOptions
) -> Iterator[tuple[int, Transcript | AudioError | NumericError]]:
    """A task: `EachEngine.transcribe_each` of recordings of one window, without speech detection,
    so that each is decoded as it is alone."""
    assert isinstance(engine, EachEngine), f"{OURS} decodes many recordings together"
    return engine.transcribe_each(waveforms, options, vad=False)


def _told(error: BaseException) -> BaseException:
    """`error`, or what the engine said where it does not offer what the options ask for."""
    if isinstance(error, EngineUnavailable) and isinstance(error.__cause__, EngineRefused):
        return OptionError(str(error))
    return error
