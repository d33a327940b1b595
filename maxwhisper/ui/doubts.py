"""How sure an engine was of each segment: its own figures, and flags where they cross thresholds.

In: segments and the options they were decoded with. Out: flags, and a table as HTML.
"""

import html
from collections.abc import Sequence

from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import Segment

SILENCE, UNSURE, REPEATS = "silence?", "unsure", "repeats itself"
_WHY = {
    SILENCE: "probably nobody speaks: the text may be made up",
    UNSURE: "the words may be wrong",
    REPEATS: "the text goes round in circles",
}


def doubts(segment: Segment, options: TranscribeOptions) -> list[str]:
    """Flags of a segment, by the thresholds of `options`; one that is None raises no flag."""
    silence, unsure = options.no_speech_threshold, options.logprob_threshold
    repeats = options.compression_ratio_threshold
    raised = {
        SILENCE: silence is not None and segment.no_speech_prob > silence,
        UNSURE: unsure is not None and segment.avg_logprob < unsure,
        REPEATS: repeats is not None and segment.compression_ratio > repeats,
    }
    return [flag for flag, is_raised in raised.items() if is_raised]


def flags_html(flags: Sequence[str]) -> str:
    """Flags as words in little frames; nothing for none."""
    return "".join(f'<span class="flag" title="{_WHY[flag]}">▲ {flag}</span>' for flag in flags)


def legend_html(options: TranscribeOptions) -> str:
    """What raises each flag in this run."""
    limits = {
        SILENCE: ("no-speech probability above", options.no_speech_threshold),
        UNSURE: ("mean log-probability below", options.logprob_threshold),
        REPEATS: ("compression ratio above", options.compression_ratio_threshold),
    }
    items = [
        f"{flags_html([flag])} {figure} {limit:g}, {_WHY[flag]}"
        if limit is not None
        else f"{flags_html([flag])} off in this run"
        for flag, (figure, limit) in limits.items()
    ]
    return f'<ul class="legend">{"".join(f"<li>{item}</li>" for item in items)}</ul>'


def segments_html(engine: str, segments: Sequence[Segment], options: TranscribeOptions) -> str:
    """All segments of one engine in a table that scrolls by itself where it is too wide."""
    name = html.escape(engine)
    flagged = sum(bool(doubts(segment, options)) for segment in segments)
    summary = f"{len(segments)} segment{'s' if len(segments) != 1 else ''}, {flagged} flagged"
    if not segments:
        return f"<details><summary>{name}: no speech found, no segments</summary></details>"
    head = "".join(
        f'<th scope="col">{title}</th>'
        for title in ("start", "end", "text", "no speech", "log-prob.", "compr.", "temp.", "flags")
    )
    rows = "".join(_row(segment, options) for segment in segments)
    return (
        f"<details><summary>{name}: {summary}</summary>"
        f'<div class="wide" tabindex="0" role="region" aria-label="segments of {name}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _row(segment: Segment, options: TranscribeOptions) -> str:
    figures = (
        f"{segment.no_speech_prob:.2f}",
        f"{segment.avg_logprob:.2f}",
        f"{segment.compression_ratio:.2f}",
        f"{segment.temperature:g}",
    )
    return (
        f"<tr><td>{segment.start:.2f}</td><td>{segment.end:.2f}</td>"
        f"<td>{html.escape(segment.text.strip())}</td>"
        + "".join(f"<td>{figure}</td>" for figure in figures)
        + f"<td>{flags_html(doubts(segment, options)) or 'none'}</td></tr>"
    )
