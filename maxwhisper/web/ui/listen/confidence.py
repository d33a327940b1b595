"""How confident an engine was of each segment: its figures, and a flag for each that crosses its
threshold.

Input: segments and the options they were decoded with. Output: flags, and a table as HTML.
"""

from collections.abc import Sequence

from maxwhisper.decoding.window import WindowQuality
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import Segment
from maxwhisper.web.ui.templates import render

SILENCE, UNSURE, REPEATS = "silence?", "unsure", "repetitive"
MEANINGS = {
    SILENCE: "probably no speech; the text may be made up",
    UNSURE: "the words may be wrong",
    REPEATS: "the text repeats itself",
}


def flags_of(segment: Segment, options: TranscribeOptions) -> list[str]:
    """Flags of a segment by the thresholds of `options`. A threshold of None raises no flag."""
    quality = WindowQuality.of(segment)
    raised = {
        SILENCE: quality.is_quiet(options),
        UNSURE: quality.is_improbable(options),
        REPEATS: quality.repeats(options),
    }
    return [flag for flag, is_raised in raised.items() if is_raised]


def legend_html(options: TranscribeOptions) -> str:
    """What raises each flag in this run."""
    limits = {
        SILENCE: ("no-speech probability above", options.no_speech_threshold),
        UNSURE: ("mean log-probability below", options.logprob_threshold),
        REPEATS: ("compression ratio above", options.compression_ratio_threshold),
    }
    return render("listen/legend.html", limits=limits, meanings=MEANINGS)


def segments_html(engine: str, segments: Sequence[Segment], options: TranscribeOptions) -> str:
    """All segments of one engine as a table, which scrolls sideways where it is too wide."""
    rows = [(segment, flags_of(segment, options)) for segment in segments]
    flagged = sum(bool(flags) for _, flags in rows)
    summary = f"{len(rows)} segment{'s' if len(rows) != 1 else ''}, {flagged} flagged"
    return render(
        "listen/segments.html",
        engine=engine,
        summary=summary if rows else "no speech found, no segments",
        rows=rows,
        meanings=MEANINGS,
    )
