"""What happens between "Run" and the verdict: recording in, a stream of views out. No gradio.

One `Runner` per page. It owns the runs that can be stopped, turns race events into lanes, and keeps
what is finished.
"""

import contextlib
import datetime
import itertools
import sys
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.engine import EngineInfo
from maxwhisper.errors import OptionError, OutputError
from maxwhisper.options import TranscribeOptions
from maxwhisper.serving import race
from maxwhisper.serving.fair_use import HERE, FairUse
from maxwhisper.serving.fetching import Fetches
from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.run import Run
from maxwhisper.serving.runs import RunNotFound, RunStore, new_run_id
from maxwhisper.serving.status import RunCancelled
from maxwhisper.serving.turns import Place, Turns
from maxwhisper.serving.uploads import Uploads
from maxwhisper.ui.lanes import Lane, status_note
from maxwhisper.ui.run_view import View, view_of

MAX_ROUNDS = 5
MAX_BEAM_SIZE = 10  # every beam keeps a decoder's cache of its own, in each engine
MAX_TEMPERATURE = 1.0  # above, Whisper itself never samples
MAX_TEXT_CHARACTERS = 20_000  # of a pasted reference or a prompt
REDRAW_S = 0.12  # lanes are redrawn at most this often: every redraw goes over the network


@dataclass(frozen=True)
class Source:
    """The chosen recording: an upload (a path we have checked) or a bundled clip."""

    path: Path
    is_upload: bool
    name: str = "recording"  # for people; a file name is whatever its owner called it


@dataclass(frozen=True)
class Request:
    """Everything a visitor chose."""

    source: Source | None
    model: str
    options: TranscribeOptions
    reference: str = ""  # what was said, "" when unknown
    rounds: int = 1
    is_kept: bool = True  # under a link; else until the page is closed
    visitor: str = HERE  # an address

    def validate(self) -> Source:
        """Return the recording to run, or raise `OptionError`: a payload may carry anything."""
        if self.source is None:
            raise OptionError("Choose a recording first: upload, record, or take a clip.")
        self.options.validate()
        for name, value, least, most in (
            ("rounds", self.rounds, 1, MAX_ROUNDS),
            ("beam_size", self.options.beam_size or 1, 1, MAX_BEAM_SIZE),
            ("temperature", max(self.options.temperatures), 0, MAX_TEMPERATURE),
        ):
            if not least <= value <= most:
                raise OptionError(f"{name} must lie in {least}..{most:g}, got {value}")
        longest = max(len(self.reference), len(self.options.initial_prompt or ""))
        if longest > MAX_TEXT_CHARACTERS:
            raise OptionError(f"expected at most {MAX_TEXT_CHARACTERS} characters, got {longest}")
        return self.source


class Runner:
    """Runs races on `pool`, one stoppable run per session."""

    def __init__(
        self,
        pool: EnginePool,
        uploads: Uploads,
        runs: RunStore,
        machine: Mapping[str, Any],
        fair: FairUse,
    ) -> None:
        self.fair = fair
        self.turns = Turns(fair)
        self._fetches = Fetches(fair)
        self.pool = pool
        self.uploads = uploads
        self.runs = runs
        self._machine = machine
        self._running: dict[str, threading.Event] = {}
        self._passing: dict[str, list[tuple[str, Path]]] = {}  # by session: runs, recordings
        self._turn = itertools.count()  # rotates the order of engines from run to run

    def stop(self, session: str) -> bool:
        """Ask the run of `session` to stop; False if there is none."""
        cancelled = self._running.get(session)
        if cancelled is not None:
            cancelled.set()
        return cancelled is not None

    def leave(self, session: str) -> None:
        """The page of `session` is closed: stop its run, delete those that are not to be kept."""
        self.stop(session)
        for run_id, path in self._passing.pop(session, []):
            self.uploads.forget(path)
            with contextlib.suppress(RunNotFound):  # deleted before, by hand or by age
                self.runs.delete(run_id)

    def run(self, session: str, request: Request) -> Iterator[View]:
        """Fetch weights that are not there, wait for its turn, decode, race, score, keep; the last
        view `is_over`. Raises `MaxWhisperError`. Closing the iterator stops the run."""
        source = request.validate()
        self.pool.check_model(request.model)
        self.stop(session)
        cancelled = self._running[session] = threading.Event()
        view = View({n: Lane(n, "waiting", "waiting its turn") for n in self.pool.names})
        try:
            for note in self._fetches.bring(request.model, request.visitor, cancelled):
                yield _noted(view, note)
            with self.turns.line_up(request.visitor) as place:
                yield from self._wait(place, view, cancelled)
                yield from self._race(session, request, source, view, cancelled)
        except RunCancelled:  # before it began
            yield View({n: Lane(n, "stopped", "stopped") for n in self.pool.names}, is_over=True)
        finally:
            cancelled.set()
            if self._running.get(session) is cancelled:
                del self._running[session]

    def _wait(self, place: Place, view: View, cancelled: threading.Event) -> Iterator[View]:
        """Say how many races are before this one, and of an engine that is getting ready for them
        how far it is. Raises `RunCancelled`."""
        for view.n_ahead in place.wait(cancelled.is_set):
            self._note_waiting(view, 0.0)
            yield view
        view.n_ahead = 0
        yield _noted(view, "reading the recording")

    def _race(
        self,
        session: str,
        request: Request,
        source: Source,
        view: View,
        cancelled: threading.Event,
    ) -> Iterator[View]:
        """What is done in its turn."""
        waveform = self.uploads.waveform(
            source.path, is_upload=source.is_upload, cancelled=cancelled.is_set
        )
        self.fair.hear(request.visitor, request.rounds * waveform.size / SAMPLE_RATE)
        work = race.Race(waveform, request.options, request.model, request.rounds, next(self._turn))
        results, engines = yield from self._watch(work, view, cancelled)
        run = self._describe(view, results, engines, request, waveform.size)
        finished = view_of(run, self.pool.names)
        if results:  # a race without any is not worth a link
            try:
                self.runs.save(run, waveform, is_passing=not request.is_kept)
            except OutputError as error:  # what was measured is shown all the same
                print(f"page: {error}", file=sys.stderr)
                finished.problem = str(error)
            else:
                if not request.is_kept:  # it goes when the page of `session` is closed
                    self._passing.setdefault(session, []).append((run.id, source.path))
        yield finished

    def _watch(
        self, work: race.Race, view: View, cancelled: threading.Event
    ) -> Generator[View, None, tuple[dict[str, race.LaneResult], dict[str, EngineInfo]]]:
        """Apply events to the lanes, yielding the view when it is worth redrawing; returns the
        results by engine, and what gave them: it may have died in a later round."""
        results: dict[str, race.LaneResult] = {}
        engines: dict[str, EngineInfo] = {}
        drawn_s = started_s = time.monotonic()
        for event in race.run_race(self.pool, work, cancelled):
            if isinstance(event, race.Started):
                started_s = time.monotonic()
            if isinstance(event, race.Finished):
                results[event.result.engine] = event.result
                engines |= self._ready_engines()
            self._apply(event, view, work.rounds, time.monotonic() - started_s)
            view.is_stopping = cancelled.is_set()
            if isinstance(event, race.Spoke) and time.monotonic() - drawn_s < REDRAW_S:
                continue
            drawn_s = time.monotonic()
            yield view
        return results, engines | self._ready_engines()

    def _apply(self, event: race.Event, view: View, rounds: int, elapsed_s: float) -> None:
        """Change the lanes by one event."""
        if isinstance(event, race.Started):
            lane = view.lanes[event.engine]
            lane.phase = "running"
            for other in view.lanes.values():
                if other.phase == "waiting":
                    other.note = "waiting its turn"
            lane.note = f"round {event.round + 1} of {rounds}" if rounds > 1 else "running"
        elif isinstance(event, race.Spoke):
            view.lanes[event.engine].texts.append((event.segment.start, event.segment.text))
        elif isinstance(event, race.Finished):
            lane = view.lanes[event.result.engine]
            lane.seconds = event.result.seconds
            lane.texts = [(s.start, s.text) for s in event.result.transcript.segments]
            lane.phase, lane.note = "done", "done"
        elif isinstance(event, race.Refused):
            lane = view.lanes[event.engine]
            lane.phase, lane.note = "refused", event.reason
        elif isinstance(event, race.Stopped):
            for lane in view.lanes.values():
                if lane.phase in ("waiting", "running"):
                    lane.phase, lane.note = "stopped", "stopped"
        else:
            self._note_waiting(view, elapsed_s)

    def _note_waiting(self, view: View, elapsed_s: float) -> None:
        statuses = self.pool.statuses()
        for lane in view.lanes.values():
            if lane.phase == "running":
                lane.note = f"{lane.note.partition(' · ')[0]} · {elapsed_s:.0f} s"
            elif lane.phase == "waiting":
                status = statuses[lane.engine]
                lane.note = "waiting its turn" if status.phase == "ready" else status_note(status)

    def _ready_engines(self) -> dict[str, EngineInfo]:
        statuses = self.pool.statuses()
        return {name: s.info for name, s in statuses.items() if s.info is not None}

    def _describe(
        self,
        view: View,
        results: dict[str, race.LaneResult],
        engines: dict[str, EngineInfo],
        request: Request,
        n_samples: int,
    ) -> Run:
        """The race as it will be kept."""
        return Run(
            id=new_run_id(),
            when=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            model=request.model,
            machine=self._machine,
            options=request.options,
            rounds=request.rounds,
            audio_name=request.validate().name,
            audio_s=n_samples / SAMPLE_RATE,
            reference=request.reference,
            results=tuple(results[name] for name in self.pool.names if name in results),
            refused={n: lane.note for n, lane in view.lanes.items() if lane.phase == "refused"},
            engines=engines,
        )


def _noted(view: View, note: str) -> View:
    """`view`, with the same note in every lane."""
    for lane in view.lanes.values():
        lane.note = note
    return view
