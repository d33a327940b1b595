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
_UNREPORTED = {
    TOTAL: "not separated: see above",
    OTHER: "between the stages: the engine's own Python, for example the search for the next token",
}
_DECODER = ("prefill", "decode")
NEGLIGIBLE = 0.002  # of the total: clock resolution


@dataclass(frozen=True)
class EngineStages:
    """One engine's seconds by stage, in the order of the work; they add up to `total_s`."""

    engine: str
    seconds: dict[str, float]
    n_tokens: int = 0  # of the transcript

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())

    @property
    def has_stages(self) -> bool:
        """False if the engine reports its total time only."""
        return set(self.seconds) != {TOTAL}

    @property
    def token_ms(self) -> float | None:
        """Milliseconds of all work per token; None without tokens."""
        return 1000 * self.total_s / self.n_tokens if self.n_tokens else None

    @property
    def decoder_ms(self) -> float | None:
        """Milliseconds in the decoder per token; None if they are not known."""
        decoder_s = sum(self.seconds.get(name, 0.0) for name in _DECODER)
        return 1000 * decoder_s / self.n_tokens if self.n_tokens and decoder_s else None


def engine_stages(
    engine: str, timings: Mapping[str, float], measured_s: float, n_tokens: int = 0
) -> EngineStages:
    """`timings` as stages. Time outside the stages becomes `OTHER`, or `TOTAL` if there are no
    stages. `measured_s` replaces a missing total."""
    stages = {name: timings[name] for name in STAGES if timings.get(name)}
    stages |= {n: s for n, s in timings.items() if n not in STAGES and n != "total" and s}
    total_s = timings.get("total", measured_s)
    other_s = total_s - sum(stages.values())
    if not stages:
        return EngineStages(engine, {TOTAL: total_s}, n_tokens)
    other = {OTHER: other_s} if other_s > NEGLIGIBLE * total_s else {}
    return EngineStages(engine, stages | other, n_tokens)


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
