"""Bars of a benchmark record as plain HTML and CSS: they print, and grow with the projector.

In: runs of one model on one clip. Out: HTML. Bars are drawn from the numbers beside them.
"""

from collections.abc import Sequence

from maxwhisper.bench_summary import UNTOLD, Run, stages
from maxwhisper.palette import colour, stage_colour
from maxwhisper.scoring import Unit
from tools.slides.markup import percent, seconds, text, times


def lane(run: Run) -> str:
    return f"{text(run['label'])} <small>{text(run['mode'])}</small>"


def speed_bars(runs: Sequence[Run], unit: Unit) -> str:
    """Times real time, the fastest first, with the range of the rounds; the rate of errors, of
    words or characters, beside it."""
    ranked = sorted(runs, key=lambda run: -run["rtfx"])
    rates = [[run["audio_s"] / s for s in run["seconds"]] for run in ranked]
    longest = max(map(max, rates))
    rows = []
    for run, rate in zip(ranked, rates, strict=True):
        low, high = min(rate) / longest, max(rate) / longest
        heard = "no reference" if run["wer"] is None else f"{percent(run['wer'])} {unit} errors"
        rows.append(
            f'<li><span class="lane">{lane(run)}</span>'
            f'<span class="track"><i class="bar" style="width:{run["rtfx"] / longest:.2%};'
            f'background:{colour(run["engine"])}"></i>'
            f'<i class="range" style="left:{low:.2%};width:{high - low:.2%}"></i></span>'
            f'<span class="figure">{times(run["rtfx"])}</span>'
            f'<span class="side">{heard}</span></li>'
        )
    return f'<ol class="bars">{"".join(rows)}</ol>'


def stage_bars(runs: Sequence[Run]) -> str:
    """Seconds by stage, the fastest first."""
    ranked = sorted(runs, key=lambda run: run["median_s"])
    longest = ranked[-1]["median_s"]
    parts = [stages(run) for run in ranked]
    names = [*dict.fromkeys(name for part in parts for name in part if name != UNTOLD), UNTOLD]
    rows = [
        f'<li><span class="lane">{lane(run)}</span><span class="track">'
        + "".join(
            f'<i class="bar" style="width:{part.get(name, 0.0) / longest:.2%};'
            f'background:{stage_colour(name)}"></i>'
            for name in names
        )
        + f'</span><span class="figure">{seconds(run["median_s"])}</span></li>'
        for run, part in zip(ranked, parts, strict=True)
    ]
    key = "".join(
        f'<li><i style="background:{stage_colour(name)}"></i>{text(name)}</li>' for name in names
    )
    return f'<ol class="bars stages">{"".join(rows)}</ol><ul class="key">{key}</ul>'
