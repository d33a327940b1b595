"""What happens between Run and the verdict: a request in, a stream of views out.

One `Runner` per page. It owns the races that can be stopped, turns race events into panels, and
saves finished races. Imports no Gradio.
"""

import contextlib
import dataclasses
import datetime
import itertools
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import UNSET

from maxwhisper.audio.container import Recording
from maxwhisper.engine import OURS, EngineInfo
from maxwhisper.engines import race
from maxwhisper.engines.background import in_background
from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.status import RunCancelled
from maxwhisper.engines.timing import TimedTranscript
from maxwhisper.errors import OutputError
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.transcript import Segment
from maxwhisper.web.server.fair_use import RACES
from maxwhisper.web.server.queue import Place, VisitorQueue
from maxwhisper.web.server.run import Run
from maxwhisper.web.server.run_store import RunNotFound, RunStore
from maxwhisper.web.server.transcriber import Job, Transcriber
from maxwhisper.web.server.uploads import Uploads
from maxwhisper.web.ui.race.engine_panel import EnginePanel, arrival
from maxwhisper.web.ui.race.ongoing import Ongoing
from maxwhisper.web.ui.race.request import Request, Source, automatic_rounds
from maxwhisper.web.ui.race.result_view import View, view_of
from maxwhisper.web.ui.race.time_left import Pace, TimeLeft
from maxwhisper.web.ui.wording import status_note

log = logging.getLogger(__name__)

REDRAW_S = 0.12  # every redraw goes over the network
CLOCK_S = 5.0  # a page that comes back to a race sets its clock by what was drawn last


class Runner:
    """Runs races on `pool`. Each session can run, and stop, one race at a time."""

    def __init__(
        self,
        pool: EnginePool,
        uploads: Uploads,
        runs: RunStore,
        machine: Mapping[str, Any],
        queue: VisitorQueue,
    ) -> None:
        self.queue = queue
        self.ongoing = Ongoing()  # races whose page may come back
        self.transcriber = Transcriber(pool, uploads, queue)
        self._downloads = self.transcriber.downloads
        self.pool = pool
        self.uploads = uploads
        self.runs = runs
        self._machine = machine
        self._running: dict[str, threading.Event] = {}
        self._temporary: dict[str, list[tuple[str, Path]]] = {}  # by session: run id, recording
        self._offset = itertools.count()  # rotates the order of engines from race to race
        self._pace: Pace = {}

    def stop(self, session: str) -> bool:
        """Stop the race of `session`. False if it has none."""
        cancelled = self._running.get(session)
        if cancelled is not None:
            cancelled.set()
        return cancelled is not None

    def leave(self, session: str) -> None:
        """The page was closed: delete its temporary runs, and stop a race that nobody can come back
        to."""
        if not self.ongoing.leave(session):
            self.stop(session)
        for run_id, path in self._temporary.pop(session, []):
            self.uploads.forget(path)
            with contextlib.suppress(RunNotFound):  # already deleted, by hand or by age
                self.runs.delete(run_id)

    def discard(self, request: Request) -> None:
        """Delete the recording of a program's request, which may have ended before it was read. A
        visitor of the page keeps it and may run it again."""
        if request.source is not None and request.source.is_upload:
            self.uploads.delete(request.source.path)

    def run(self, session: str, request: Request) -> Iterator[View]:
        """Download missing weights, wait in the queue, decode, race, score, save. The last view
        `is_over`. Raises `MaxWhisperError`. Closing the iterator stops the race."""
        source = request.validate()
        self.pool.check_model(request.model)
        self.stop(session)
        cancelled = self._running[session] = threading.Event()
        view = View({n: EnginePanel(n, "waiting", "waiting") for n in self.pool.names})
        try:
            for note in self._downloads.download(request.model, request.visitor, cancelled):
                yield _noted(view, note)
            with self.queue.join(request.visitor, RACES) as place:
                yield from self._wait(place, source, view, cancelled)
                with place.turn():
                    finished = yield from self._race(session, request, place, view, cancelled)
            yield finished  # the next turn does not wait for its drawing
        except RunCancelled:  # before the race started
            stopped = {n: EnginePanel(n, "stopped", "stopped") for n in self.pool.names}
            yield View(stopped, sentences=["You stopped the race."], is_over=True)
        finally:
            cancelled.set()
            if self._running.get(session) is cancelled:
                del self._running[session]

    def transcribe(self, request: Request) -> Iterator[str | TimedTranscript]:
        """The transcript of one recording by our engine alone, in the same queue and under the same
        limits as a race. Yields progress in words, the transcript last. Raises `MaxWhisperError`,
        and `RunCancelled` when an engine is stopped. Closing the iterator stops the work."""
        source = request.validate()
        self.pool.check_model(request.model)
        cancelled = threading.Event()
        job = Job(
            path=source.path,
            is_upload=source.is_upload,
            engine=OURS,
            model=request.model,
            options=request.options,
            visitor=request.visitor,
            is_alone=True,
        )

        def work(emit: Callable[[str | Segment | TimedTranscript], None]) -> None:
            emit(self.transcriber.run(job, emit, cancelled).timed)

        for step in in_background(work, cancelled):
            if not isinstance(step, Segment):
                yield step or "transcribing"

    def _wait(
        self, place: Place, source: Source, view: View, cancelled: threading.Event
    ) -> Iterator[View]:
        """Yield the number of visitors ahead, about how long the first of them still takes, and the
        progress of engines that are still loading. Raises `RunCancelled`."""
        for view.n_ahead in place.wait(cancelled.is_set):
            view.left_s = place.first_left_s()
            if source.is_upload:
                self.uploads.keep(source.path)
            self._note_waiting(view)
            yield view
        view.n_ahead = 0
        yield _noted(view, "reading the recording")

    def _race(
        self,
        session: str,
        request: Request,
        place: Place,
        view: View,
        cancelled: threading.Event,
    ) -> Generator[View, None, View]:
        """Decode, race, score and save. Returns the last view."""
        source = request.source
        assert source is not None, "a race has a recording"
        recording = self.uploads.recording(
            source.path, is_upload=source.is_upload, cancelled=cancelled.is_set
        )
        waveform = recording.waveform
        rounds = request.rounds or automatic_rounds(waveform.size / SAMPLE_RATE)
        request = dataclasses.replace(request, rounds=rounds)
        for panel in view.panels.values():
            panel.rounds = rounds
        work = race.Race(
            waveform, request.options, request.model, rounds, next(self._offset), request.mode
        )
        place.left_s = left = TimeLeft(work, self.pool.names, self._pace)
        results, engines = yield from self._watch(work, view, left, cancelled)
        run = self._describe(view, results, engines, request, recording)
        finished = view_of(run, self.pool.names)
        if results:  # a race without results gets no link
            try:
                self.runs.save(
                    run, waveform, visitor=request.visitor, is_temporary=not request.is_kept
                )
            except OutputError as error:  # show the results anyway
                log.warning("race not saved: %s", error)
                finished.problem = str(error)
            else:
                if not request.is_kept:  # deleted when the page is closed
                    self._temporary.setdefault(session, []).append((run.id, source.path))
        return finished

    def _watch(
        self, work: race.Race, view: View, left: TimeLeft, cancelled: threading.Event
    ) -> Generator[View, None, tuple[dict[str, race.EngineResult], dict[str, EngineInfo]]]:
        """Apply events to the panels and yield the view, at most every `REDRAW_S` while text comes.
        Returns the results by engine, and the description of each engine that gave one, even if it
        crashed in a later round."""
        results: dict[str, race.EngineResult] = {}
        engines: dict[str, EngineInfo] = {}
        for place, name in enumerate(dict.fromkeys(work.planned(self.pool.names)), start=1):
            panel = view.panels[name]
            panel.place, panel.arrival = place, arrival(name, work.options)
        drawn_s = started_s = time.monotonic()
        for event in race.run_race(self.pool, work, cancelled):
            left.see(event)
            if isinstance(event, race.Started):
                started_s = time.monotonic()
            if isinstance(event, race.Finished):
                results[event.result.engine] = event.result
                engines |= self._ready_engines()
            self._apply(event, view)
            view.is_stopping = cancelled.is_set()
            is_text = isinstance(event, race.Spoke | race.Heard)
            if is_text and time.monotonic() - drawn_s < REDRAW_S:
                continue
            drawn_s = time.monotonic()
            elapsed_s = round(drawn_s - started_s, 1)
            for panel in view.panels.values():  # the clock ticks by itself: redraw it seldom
                if not isinstance(event, race.Waiting) or elapsed_s - panel.elapsed_s > CLOCK_S:
                    panel.elapsed_s = elapsed_s
            yield view
        return results, engines | self._ready_engines()

    def _apply(self, event: race.Event, view: View) -> None:
        """Change the panels by one event."""
        if isinstance(event, race.Started):
            panel = view.panels[event.engine]
            panel.start(_turn(event, panel.rounds))
            self._note_waiting(view)
        elif isinstance(event, race.Spoke):
            panel = view.panels[event.engine]
            panel.texts.append((event.segment.start, event.segment.text))
            panel.partial = ""
        elif isinstance(event, race.Heard):
            view.panels[event.engine].partial = event.text
        elif isinstance(event, race.Finished):
            panel = view.panels[event.result.engine]
            panel.seconds = event.result.seconds
            panel.texts = [(s.start, s.text) for s in event.result.transcript.segments]
            panel.phase = "done" if event.is_last else "waiting"
            panel.note = "done" if event.is_last else panel.progress
            panel.partial = ""
        elif isinstance(event, race.Refused):
            panel = view.panels[event.engine]
            panel.phase, panel.note, panel.partial = "refused", event.reason, ""
        elif isinstance(event, race.Stopped):
            for panel in view.panels.values():
                if panel.phase in ("waiting", "running"):
                    panel.phase, panel.note = "stopped", "stopped"
        else:
            self._note_waiting(view)

    def _note_waiting(self, view: View) -> None:
        statuses = self.pool.statuses()
        for panel in view.panels.values():
            if panel.phase == "waiting":
                status = statuses[panel.engine]
                panel.note = panel.progress if status.phase == "ready" else status_note(status)

    def _ready_engines(self) -> dict[str, EngineInfo]:
        statuses = self.pool.statuses()
        return {name: s.info for name, s in statuses.items() if s.info is not None}

    def _describe(
        self,
        view: View,
        results: dict[str, race.EngineResult],
        engines: dict[str, EngineInfo],
        request: Request,
        recording: Recording,
    ) -> Run:
        """The race as it is saved."""
        source = request.source
        assert source is not None, "a race has a recording"
        return Run(
            id=request.id,
            when=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            model=request.model,
            machine=self._machine,
            options=request.options,
            batch_size=request.batch_size or UNSET,
            vad=request.vad or UNSET,
            rounds=request.rounds or 1,
            audio_name=source.name,
            audio_s=recording.waveform.size / SAMPLE_RATE,
            audio_warning=recording.warning or UNSET,
            reference=request.reference,
            results=tuple(results[name] for name in self.pool.names if name in results),
            refused={n: panel.note for n, panel in view.panels.items() if panel.phase == "refused"},
            engines=engines,
        )


def _turn(event: race.Started, rounds: int) -> str:
    """What the engine that runs is doing."""
    if event.is_again:
        return "extra run to measure noise"
    return f"round {event.round + 1} of {rounds}" if rounds > 1 else "running"


def _noted(view: View, note: str) -> View:
    """`view` with the same note in every panel."""
    for panel in view.panels.values():
        panel.note = note
    return view
