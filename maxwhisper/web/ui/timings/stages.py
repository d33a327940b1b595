"""Time per stage of each engine: a stacked bar and a table.

In: seconds per stage, as in `Transcript.timings`. Out: shares, and HTML.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maxwhisper.palette import stage_colour
from maxwhisper.web.ui.templates import render

# The stages of `Transcript.timings`, in the order of the work.
STAGES: dict[str, str] = {
    "audio": "read and resample the file",
    "vad": "detect speech",
    "mel": "log-mel spectrogram",
    "language": "detect the language",
    "encoder": "encoder, cross-attention keys and values",
    "prefill": "decoder, the whole prompt at once",
    "decode": "decoder, token by token",
    "words": "word timestamps",
    "text": "tokens to text",
}
TOTAL, OTHER = "total", "other"
_UNREPORTED = {TOTAL: "the engine does not report its stages", OTHER: "between the stages"}
NEGLIGIBLE = 0.002  # of the total: clock resolution


@dataclass(frozen=True)
class EngineStages:
    """One engine's seconds by stage, in the order of the work; they add up to `total_s`."""

    engine: str
    seconds: dict[str, float]

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())

    @property
    def has_stages(self) -> bool:
        """False if the engine reports its total time only."""
        return set(self.seconds) != {TOTAL}


def engine_stages(engine: str, timings: Mapping[str, float], measured_s: float) -> EngineStages:
    """`timings` as stages. Time outside the stages becomes `OTHER`, or `TOTAL` if there are no
    stages. `measured_s` replaces a missing total."""
    stages = {name: timings[name] for name in STAGES if timings.get(name)}
    stages |= {n: s for n, s in timings.items() if n not in STAGES and n != "total" and s}
    total_s = timings.get("total", measured_s)
    other_s = total_s - sum(stages.values())
    if not stages:
        return EngineStages(engine, {TOTAL: total_s})
    return EngineStages(
        engine, stages | ({OTHER: other_s} if other_s > NEGLIGIBLE * total_s else {})
    )


def stages_html(engines: Sequence[EngineStages]) -> str:
    """All engines' bars on one scale, then the same numbers as a table."""
    seen = dict.fromkeys(name for stages in engines for name in stages.seconds)
    return render(
        "timings/stages.html",
        engines=engines,
        longest_s=max((stages.total_s for stages in engines), default=0.0) or 1.0,
        names=[name for name in STAGES if name in seen] + [n for n in seen if n not in STAGES],
        descriptions=STAGES | _UNREPORTED,
        unreported=_UNREPORTED,
        stage_colour=stage_colour,
    )
