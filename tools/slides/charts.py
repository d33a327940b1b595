"""Bars of a benchmark record as plain HTML and CSS, which print and scale with the projector.

Input: runs of one model on one clip. Output: HTML. Bars are drawn from the numbers beside them.
"""

from collections.abc import Sequence

from markupsafe import Markup

from maxwhisper.evaluation.bench.record import MeasuredRun
from maxwhisper.evaluation.bench.summary import UNTOLD, stages
from maxwhisper.text.wer import Unit
from tools.slides.markup import render


def speed_bars(runs: Sequence[MeasuredRun], unit: Unit) -> Markup:
    """Times real time, the fastest first, with the range of the rounds and the error rate, of
    words or characters."""
    ranked = sorted(runs, key=lambda run: -run.rtfx)
    rates = [[run.audio_s / s for s in run.seconds] for run in ranked]
    longest = max(map(max, rates))
    rows = [
        {
            "run": run,
            "length": run.rtfx / longest,
            "low": min(rate) / longest,
            "high": max(rate) / longest,
        }
        for run, rate in zip(ranked, rates, strict=True)
    ]
    return render("speed_bars.html", rows=rows, unit=unit)


def stage_bars(runs: Sequence[MeasuredRun]) -> Markup:
    """Seconds by stage, the fastest first."""
    ranked = sorted(runs, key=lambda run: run.median_s)
    longest = ranked[-1].median_s
    parts = [stages(run) for run in ranked]
    names = [*dict.fromkeys(name for part in parts for name in part if name != UNTOLD), UNTOLD]
    rows = [
        {"run": run, "lengths": {name: part.get(name, 0.0) / longest for name in names}}
        for run, part in zip(ranked, parts, strict=True)
    ]
    return render("stage_bars.html", rows=rows, names=names)
