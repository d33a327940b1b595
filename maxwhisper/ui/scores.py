"""What a finished race says: errors of words or characters, agreement, and the sentences of the
verdict.

In: lane results and, where known, what was really said. Out: numbers and plain text. No gradio.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from maxwhisper import scoring
from maxwhisper.engine import OURS
from maxwhisper.serving.race import LaneResult

REFERENCE_ENGINE = "openai-whisper"  # agreement and ×-factors are measured against it
TIE = 1.03  # closer than 3 %: a difference that a second run may turn round


@dataclass(frozen=True)
class Score:
    """A lane's result beside its word `errors` (None without a reference) and its agreement with
    openai-whisper's text (None for that engine itself, or without its text)."""

    result: LaneResult
    errors: scoring.WordErrors | None
    agreement: float | None
    unit: scoring.Unit = "word"  # of errors and agreement

    @property
    def wer(self) -> float | None:
        """None without a reference, and for one without words."""
        return self.errors.wer if self.errors else None

    @property
    def invented(self) -> int | None:
        """Words of the text where it is known that nothing was said, else None."""
        return self.errors.insertions if self.errors and self.errors.wer is None else None

    @property
    def engine(self) -> str:
        return self.result.engine


def score(results: Sequence[LaneResult], reference: str, language: str) -> list[Score]:
    """Score every lane; `reference` is what was said, "" when unknown."""
    texts = {result.engine: result.transcript.text for result in results}
    return [
        Score(
            result,
            scoring.word_error_rate(reference, result.transcript.text, language)
            if reference.strip()
            else None,
            scoring.agreement(texts[REFERENCE_ENGINE], result.transcript.text, language)
            if REFERENCE_ENGINE in texts and result.engine != REFERENCE_ENGINE
            else None,
            scoring.unit_of(language),
        )
        for result in results
    ]


def unit_of_scores(scores: Sequence[Score]) -> scoring.Unit:
    """What the rates of a race are of, the same for all its engines."""
    return scores[0].unit if scores else "word"


def baseline_of(scores: Sequence[Score]) -> Score:
    """The engine that ×-factors refer to: openai-whisper, or the slowest where that is missing."""
    for candidate in scores:
        if candidate.engine == REFERENCE_ENGINE:
            return candidate
    return max(scores, key=lambda s: s.result.median_s)


def verdict(scores: Sequence[Score], devices: dict[str, str], model: str) -> list[str]:
    """The race in sentences, the same whoever wins. `devices`: each engine's device and dtype;
    `model`: what the weights may be trusted for, in one sentence."""
    if not scores:
        return ["No engine gave a result."]
    sentences = [_speed(scores), *_texts(scores), model, *_doubts(scores, devices)]
    return [sentence for sentence in sentences if sentence]


def _speed(scores: Sequence[Score]) -> str:
    ranked = sorted(scores, key=lambda s: s.result.median_s)
    first, *others = ranked
    if not others:
        return f"Only {first.engine} gave a result, in {first.result.median_s:.2f} s."
    times = ", ".join(
        f"{_times(_factor(other, first))} as fast as {other.engine}"
        for other in others
        if _factor(other, first) >= TIE
    )
    level = [other.engine for other in others if _factor(other, first) < TIE]
    if len(level) == len(others):
        return f"Level: {' and '.join([first.engine, *level])} differ by less than 3 %."
    lead = f"{first.engine} was fastest: {times}"
    if level:
        lead += f"; level with {' and '.join(level)} (less than 3 % apart)"
    ours = next((s for s in others if s.engine == OURS), None)
    if ours is not None and OURS not in level:
        lead += f". {OURS} lost this one: it took {_times(_factor(ours, first))} as long"
    return lead + "."


def _times(factor: float) -> str:
    """Never "1.0×" for what was called a difference."""
    return f"{factor:.2f}×" if factor < 1.1 else f"{factor:.1f}×"


def _factor(slower: Score, faster: Score) -> float:
    return slower.result.median_s / faster.result.median_s


def _texts(scores: Sequence[Score]) -> list[str]:
    sentences = []
    texts = [s.result.transcript.text.strip() for s in scores]
    invented = [s for s in scores if s.invented is not None]
    unit = unit_of_scores(scores)
    if len(scores) > 1 and len(set(texts)) == 1 and texts[0]:
        sentences.append(f"All {len(scores)} transcripts are identical, character for character.")
    elif not any(texts):
        sentences.append("No engine found speech.")
    elif not invented:  # where nobody speaks, there is nothing to agree on
        sentences += [
            f"{s.engine}’s {unit}s agree {s.agreement:.0%} with {REFERENCE_ENGINE}’s."
            for s in scores
            if s.agreement is not None
        ]
    if invented:
        counts = ", ".join(f"{s.engine} {s.invented}" for s in invented)
        sentences.append(f"Nobody speaks here. {unit.title()}s invented: {counts}.")
    if any(s.wer is not None for s in scores):
        rates = ", ".join(f"{s.engine} {s.wer:.1%}" for s in scores if s.wer is not None)
        sentences.append(f"{unit.title()} error rate: {rates}.")
    return sentences


def _doubts(scores: Sequence[Score], devices: dict[str, str]) -> list[str]:
    """Every reason known here not to trust the figures."""
    sentences = []
    silent = [s.engine for s in scores if not s.result.transcript.text.strip()]
    is_speech_known = any(s.invented is None for s in scores)
    if is_speech_known and 0 < len(silent) < len(scores):
        sentences.append(
            f"{' and '.join(silent)} returned no text where another did: "
            "a failure, not a fast result."
        )
    disturbers = sorted({name for s in scores for name in s.result.disturbed_by})
    if disturbers:
        sentences.append(
            f"{' and '.join(disturbers)} was still loading meanwhile: not a fair time, run again."
        )
    used = {devices.get(s.engine, "") for s in scores}
    if len(used) > 1:
        sentences.append(
            "Not the same device or precision: "
            + ", ".join(f"{s.engine} on {devices.get(s.engine, 'unknown')}" for s in scores)
            + "."
        )
    if any(segment.temperature for s in scores for segment in s.result.transcript.segments):
        sentences.append(
            "Sampled, at a temperature above 0: each engine drew its own words, "
            "so texts and times differ by chance."
        )
    if min(len(s.result.seconds) for s in scores) == 1:
        sentences.append("One round: choose more for a median with its range.")
    return sentences
