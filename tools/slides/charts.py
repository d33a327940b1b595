"""Bars of a benchmark record as plain HTML and CSS: they print, and grow with the projector.

In: runs of one model on one clip. Out: HTML. Bars are drawn from the numbers beside them.
"""

from collections.abc import Sequence

from maxwhisper.bench_summary import Run
from maxwhisper.palette import colour, stage_colour
from tools.slides.markup import percent, seconds, text, times

REST = "other"  # time in no stage, or of an engine that does not tell its stages


def lane(run: Run) -> str:
    return f"{text(run['label'])} <small>{text(run['mode'])}</small>"


def speed_bars(runs: Sequence[Run]) -> str:
    """Times real time, the fastest first, with the range of the rounds; the word error rate
    beside it."""
    ranked = sorted(runs, key=lambda run: -run["rtfx"])
    rates = [[run["audio_s"] / s for s in run["seconds"]] for run in ranked]
    longest = max(map(max, rates))
    rows = []
    for run, rate in zip(ranked, rates, strict=True):
        low, high = min(rate) / longest, max(rate) / longest
        heard = "no reference" if run["wer"] is None else f"{percent(run['wer'])} word errors"
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
    names = [*dict.fromkeys(name for part in parts for name in part if name != REST), REST]
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


def stages(run: Run) -> dict[str, float]:
    """Seconds per stage, and what is left of the median."""
    told = {name: s for name, s in run["stages"].items() if name != "total"}
    return told | {REST: max(0.0, run["median_s"] - sum(told.values()))}


def main_clip(runs: Sequence[Run]) -> str:
    """The clip that most engines and modes have done; of those the longest."""
    clips = [run["clip"] for run in runs]
    lengths = {run["clip"]: run["audio_s"] for run in runs}
    return max(lengths, key=lambda clip: (clips.count(clip), lengths[clip]))
