"""Where an engine's seconds went: its stages side by side in a bar, and in a table.

In: seconds per stage, as `Transcript.timings` has them. Out: shares, and HTML.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maxwhisper.palette import colour, stage_colour

# What each stage of `Transcript.timings` is, in the order of the work.
STAGES: dict[str, str] = {
    "audio": "reading and resampling the file",
    "vad": "looking for speech",
    "mel": "log-mel spectrogram",
    "language": "which language it is",
    "encoder": "encoder and cross-attention keys and values",
    "prefill": "decoder, the prompt at once",
    "decode": "decoder, token after token",
    "words": "times of each word",
    "text": "tokens to text",
}
WHOLE, REST = "whole", "rest"
_UNTOLD = {WHOLE: "the engine does not tell its stages", REST: "between the stages"}
NEGLIGIBLE = 0.002  # of the total: rounding of clocks


@dataclass(frozen=True)
class Work:
    """One engine's seconds by stage, in the order of the work; they add up to `total_s`."""

    engine: str
    seconds: dict[str, float]

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())


def work_of(engine: str, timings: Mapping[str, float], measured_s: float) -> Work:
    """`timings` as stages; what they do not explain of their total is `rest`, or `whole` where
    there are none. Without a total, `measured_s` from outside stands for it."""
    stages = {name: timings[name] for name in STAGES if timings.get(name)}
    stages |= {n: s for n, s in timings.items() if n not in STAGES and n != "total" and s}
    total_s = timings.get("total", measured_s)
    rest_s = total_s - sum(stages.values())
    if not stages:
        return Work(engine, {WHOLE: total_s})
    return Work(engine, stages | ({REST: rest_s} if rest_s > NEGLIGIBLE * total_s else {}))


def stages_html(works: Sequence[Work]) -> str:
    """All engines' bars on one scale, then the same numbers as a table."""
    longest_s = max((work.total_s for work in works), default=0.0) or 1.0
    bars = "".join(_bar(work, longest_s) for work in works)
    return f'<div class="stages">{bars}</div>{_table(works)}'


def _bar(work: Work, longest_s: float) -> str:
    parts = []
    for name, seconds in work.seconds.items():
        label = html.escape(name)
        parts.append(
            f'<i class="{"untold" if name in _UNTOLD else "stage"}" '
            f'style="width: {seconds / longest_s:.2%}; --stage: {stage_colour(name)}" '
            f'title="{label}: {seconds:.3f} s"><span>{label}</span></i>'
        )
    return (
        f'<div class="work"><strong style="--lane: {colour(work.engine)}">'
        f"{html.escape(work.engine)}</strong><span>{work.total_s:.2f} s</span>"
        f'<div class="shares" aria-hidden="true">{"".join(parts)}</div></div>'
    )


def _table(works: Sequence[Work]) -> str:
    seen = dict.fromkeys(name for work in works for name in work.seconds)
    names = [name for name in STAGES if name in seen] + [n for n in seen if n not in STAGES]
    head = "".join(f'<th scope="col">{html.escape(work.engine)}</th>' for work in works)
    rows = "".join(
        f'<tr><th scope="row"><i class="swatch" style="--stage: {stage_colour(name)}"></i>'
        f"{html.escape(name)} <small>{({**STAGES, **_UNTOLD}).get(name, '')}</small></th>"
        + "".join(f"<td>{_cell(work, name)}</td>" for work in works)
        + "</tr>"
        for name in names
    )
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="seconds per stage"><table>'
        f'<thead><tr><th scope="col">stage</th>{head}</tr></thead><tbody>{rows}</tbody>'
        "</table></div>"
    )


def _cell(work: Work, name: str) -> str:
    seconds = work.seconds.get(name)
    if seconds is None:
        return "–"
    return f"{seconds:.3f} s <small>{seconds / (work.total_s or 1):.0%}</small>"
