"""A finished race as the Race tab shows it, whether it just ended or was opened by its link.

Input: a `Run`. Output: a `View` of plain data, and the chart as a page of its own for the ZIP.
Imports no Gradio.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from maxwhisper.checkpoint import about, available
from maxwhisper.engine import OURS
from maxwhisper.engines.verdict import ruling_of
from maxwhisper.text import writers
from maxwhisper.text.words import text_language
from maxwhisper.web.server.run import Run
from maxwhisper.web.ui.race.engine_panel import EnginePanel
from maxwhisper.web.ui.race.speed_chart import speed_chart
from maxwhisper.web.ui.race.verdict import REFERENCE_ENGINE, Score, score, verdict
from maxwhisper.web.ui.templates import page_source, render

OFFERED = ("txt", "srt")  # in each lane; the ZIP has all formats
MAX_FILE_CHARACTERS = 200_000  # of a file that is part of the page


@dataclass
class View:
    """The changing part of the tab at one moment."""

    panels: dict[str, EnginePanel]  # by engine
    chart: str = ""  # SVG
    sentences: list[str] = field(default_factory=list)
    run: Run | None = None  # None until the race is over
    problem: str = ""  # what went wrong; with a `run`, why it could not be saved
    n_ahead: int = 0  # runs before this one in the queue
    left_s: float | None = None  # of the run that has its turn, about; None: not known
    is_stopping: bool = False
    is_over: bool = False
    is_recorded: bool = False  # opened by a link or a button, not measured just now


def view_of(run: Run, names: Sequence[str], *, is_recorded: bool = False) -> View:
    """`run` in the panels of the engines `names`. Raises `EngineUnavailable` if the normalizer that
    scoring needs is not installed."""
    scores = scores_of(run)
    panels = {name: _panel(run, name) for name in names}
    factor = ruling_of(run.results).factor
    for engine_score in scores:
        if engine_score.engine in panels:
            panels[engine_score.engine].score = engine_score
    if OURS in panels:
        panels[OURS].factor = factor
    refusal = _one_refusal(run)
    if refusal:
        for panel in panels.values():
            panel.note = "refused" if panel.phase == "refused" else panel.note
    return View(
        panels=panels,
        chart=speed_chart(scores, factor),
        sentences=[] if refusal else sentences_of(run, scores, is_own=not is_recorded),
        run=run,
        problem=refusal,
        is_over=True,
        is_recorded=is_recorded,
    )


def scores_of(run: Run) -> list[Score]:
    """Word errors and agreement of every engine, in the language of the first transcript."""
    language = text_language(run.results[0].transcript, run.options) if run.results else "en"
    return score(run.results, run.reference, language, run.options)


def sentences_of(run: Run, scores: Sequence[Score], *, is_own: bool = False) -> list[str]:
    """The verdict, with the limits of the model if this version knows it. `is_own`: who
    reads it ran the race, and stopped it if anybody did."""
    stopped = "You stopped the race." if is_own else "The race was stopped before its end."
    if _stopped(run) and not scores:
        return [stopped]
    devices = {name: f"{info.device} {info.dtype}" for name, info in run.engines.items()}
    is_known = run.model in {row.name for row in available(is_verified=False)}
    lead, *rest = verdict(scores, devices, about(run.model) if is_known else "")
    sentences = [lead, *([stopped] if _stopped(run) else []), *rest]
    short = [s.engine for s in scores if len(s.result.seconds) < run.rounds]
    if failed := [name for name in short if name in run.refused]:
        sentences.append(f"Some rounds are missing: {' and '.join(failed)} failed.")
    if run.mode_name and REFERENCE_ENGINE in run.refused:
        sentences.append(
            f"{REFERENCE_ENGINE} did not take part: it has neither batches nor speech detection."
        )
    if run.audio_warning:
        sentences.append(
            f"{run.audio_warning} The recording is damaged: no engine heard that part."
        )
    return sentences


def chart_page(run: Run) -> str:
    """The chart of the race, as one HTML file that needs no network and no script."""
    scores = scores_of(run)
    lead, *rest = sentences_of(run, scores)
    chart = Markup(speed_chart(scores, ruling_of(run.results).factor))
    facts = {"lead": lead, "rest": rest, "run": run}
    return render(
        "race/chart_page.html",
        **facts,
        style=Markup(page_source("race/speed_chart.css")),
        chart=chart,
    )


def _one_refusal(run: Run) -> str:
    """The reason, if every engine of a race without results gave the same; else ""."""
    reasons = {reason.removeprefix(f"{name}: ") for name, reason in run.refused.items()}
    if run.results or len(run.refused) < 2 or len(reasons) > 1:
        return ""
    (reason,) = reasons
    return f"No engine gave a result: {reason}"


def _stopped(run: Run) -> set[str]:
    """Engines that were ready, did not refuse, and lack rounds."""
    rounds = {result.engine: len(result.seconds) for result in run.results}
    ready = set(run.engines) - set(run.refused)
    return {name for name in ready if rounds.get(name, 0) < run.rounds}


def _panel(run: Run, name: str) -> EnginePanel:
    result = next((r for r in run.results if r.engine == name), None)
    if name in run.refused:
        panel = EnginePanel(name, "refused", run.refused[name])
    elif result is not None:
        panel = EnginePanel(name, "done", "done")
    elif name in run.engines:
        panel = EnginePanel(name, "stopped", "stopped")
    else:
        panel = EnginePanel(name, "idle", "not part of this race")
    if result is not None:
        panel.texts = [(segment.start, segment.text) for segment in result.transcript.segments]
        panel.seconds = result.seconds
        files = {kind: writers.render(result.transcript, kind, run.options) for kind in OFFERED}
        if max(map(len, files.values())) <= MAX_FILE_CHARACTERS:
            panel.files = files
    return panel
