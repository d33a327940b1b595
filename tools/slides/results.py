"""The slides made from records: speed, stages, the bundled checkpoint, what we lost, what next.

Input: benchmark records and the evaluation of the bundled checkpoint. Output: slides. Where nothing
has been measured, the slide gives the command that measures it.
"""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from maxwhisper.engine import OURS
from maxwhisper.evaluation.bench.record import NOISY, BenchRecord, MeasuredRun
from maxwhisper.evaluation.bench.summary import Ratio, error_unit, main_clip, ratios, scaling
from tools.slides.charts import speed_bars, stage_bars
from tools.slides.markup import render
from tools.slides.story import BENCH
from tools.train_demo.record import Evaluation

PLACES = ("cpu", "gpu")  # a talk should have numbers from both
MAX_LOSSES = 6  # that are listed one by one, the worst first


def results(records: Sequence[BenchRecord]) -> Iterator[Markup]:
    for record in records:
        for model in record.models:
            if runs := [run for run in record.measured if run.model == model]:
                yield _of_model(record, model, runs)
        if rows := scaling(record):
            yield render("lengths.html", record=record, rows=rows)
    for place in _missing_places(records):
        line = f"{BENCH} --device {place}"
        yield render("not_measured.html", place=place.upper(), line=line)


def _of_model(record: BenchRecord, model: str, runs: Sequence[MeasuredRun]) -> Markup:
    """Two slides: speed, and stages."""
    clip = main_clip(runs)
    on_clip = [run for run in runs if run.clip == clip]
    of_cell = [run for run in record.runs if run.model == model and run.clip == clip]
    return render(
        "model.html",
        record=record,
        model=model,
        clip=clip,
        audio_s=on_clip[0].audio_s,
        speed_bars=speed_bars(on_clip, error_unit(record)),
        stage_bars=stage_bars(on_clip),
        ratios=[row for row in ratios(record) if row.model == model and row.clip == clip],
        missing=[run for run in of_cell if not isinstance(run, MeasuredRun)],
    )


def heard(evaluation: Evaluation) -> Markup:
    """Word error rates of the bundled checkpoint, and whether three engines agree."""
    return render(
        "heard.html",
        rates=evaluation.word_error_rates,
        differ=sum(group.differ for group in evaluation.agreement.values()),
        items=sum(group.items for group in evaluation.agreement.values()),
        machine=evaluation.machine,
    )


def lost(records: Sequence[BenchRecord], evaluation: Evaluation) -> Markup:
    """Everything in the records that speaks against us."""
    rows = [row for record in records for row in ratios(record)]
    slower = sorted((r for r in rows if r.verdict == "slower"), key=lambda row: row.speed)
    missed, goals = _goals(evaluation)
    return render(
        "lost.html",
        slower=slower[:MAX_LOSSES],
        n_more=max(0, len(slower) - MAX_LOSSES),
        memory=_more_memory(rows),
        failures=[run for r in records for run in r.runs if run.engine == OURS and run.error],
        noisy=[record for record in records if record.aa.verdict == NOISY],
        missed=missed,
        goals=goals,
        bench=None if records else BENCH,
    )


def _more_memory(rows: Sequence[Ratio]) -> dict[str, float]:
    """{baseline: our memory over its, in the worst case}, where ours is more."""
    worst = {
        baseline: max(row.memory or 0.0 for row in rows if row.baseline == baseline)
        for baseline in dict.fromkeys(row.baseline for row in rows)
    }
    return {baseline: times for baseline, times in worst.items() if times > 1}


def after(records: Sequence[BenchRecord], evaluation: Evaluation) -> Markup:
    """What comes next, first what the records demand."""
    slower = dict.fromkeys(
        f"Catch up with {row.baseline} where it is faster: {row.mode}"
        for record in records
        for row in ratios(record)
        if row.verdict == "slower"
    )
    items = [*slower, *(f"Measure on a {place.upper()}" for place in _missing_places(records))]
    if _goals(evaluation)[0]:
        items.append("Better bundled weights: meet the goals that are missed")
    items += [
        "Windows of several visitors in one batch: the decoder can, the page still takes turns",
        "Quantised weights, which faster-whisper has and we have not",
    ]
    return render("after.html", items=items)


def _goals(evaluation: Evaluation) -> tuple[int, int]:
    """(missed, all that were measured) through our engine."""
    ours = [goal for goal in evaluation.goals if goal.engine == OURS]
    measured = [goal for goal in ours if goal.met is not None]
    return sum(not goal.met for goal in measured), len(measured)


def _missing_places(records: Sequence[BenchRecord]) -> list[str]:
    """Those of `PLACES` that no record is from."""
    found = {_place(record) for record in records}
    return [place for place in PLACES if place not in found]


def _place(record: BenchRecord) -> str:
    """ "gpu" if an engine ran on one, else "cpu"."""
    devices = [run.info.device for run in record.runs if run.info is not None]
    return "gpu" if any(device.startswith("gpu") for device in devices) else "cpu"
