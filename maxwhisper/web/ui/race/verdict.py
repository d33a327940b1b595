"""The verdict of a race: error rates, agreement, and sentences.

Input: results and, where known, the correct transcript. Output: numbers and plain text. Imports no
Gradio.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from maxwhisper.engine import OURS
from maxwhisper.engines.race import EngineResult
from maxwhisper.engines.verdict import Ruling, load_of, noise_of, ruling_of
from maxwhisper.options import GREEDY, TranscribeOptions
from maxwhisper.text import wer as scoring
from maxwhisper.transcript import Segment

NOT_MEASURED = "The noise of the machine was not measured."
REFERENCE_ENGINE = "openai-whisper"  # agreement is with its text, or with the next baseline's


@dataclass(frozen=True)
class Score:
    """An engine's result with its accuracy."""

    result: EngineResult
    errors: scoring.WordErrors | None  # None without a reference
    agreement: float | None  # with the text of `compared_with`; None for that engine
    compared_with: str = ""
    unit: scoring.Unit = "word"  # of errors and agreement
    unsure: str = ""  # why the engine itself doubts its text: see `unsure_of`

    @property
    def wer(self) -> float | None:
        """None without a reference, and for a reference without words."""
        return self.errors.wer if self.errors else None

    @property
    def invented(self) -> int | None:
        """Words of the transcript if nobody speaks in the recording, else None."""
        return self.errors.insertions if self.errors and self.errors.wer is None else None

    @property
    def engine(self) -> str:
        return self.result.engine


def score(
    results: Sequence[EngineResult],
    reference: str,
    language: str,
    options: TranscribeOptions = GREEDY,
) -> list[Score]:
    """Score every result. `reference` is the correct transcript, "" if unknown; `options` are those
    of the race."""
    texts = {result.engine: result.transcript.text for result in results}
    baselines = [REFERENCE_ENGINE, *(name for name in texts if name != OURS)]
    compared_with = next((name for name in baselines if name in texts), "")
    return [
        Score(
            result,
            scoring.word_error_rate(reference, result.transcript.text, language)
            if reference.strip()
            else None,
            scoring.agreement(texts[compared_with], result.transcript.text, language)
            if compared_with and result.engine != compared_with
            else None,
            compared_with,
            scoring.unit_of(language),
            unsure_of(result.transcript.segments, options),
        )
        for result in results
    ]


def unsure_of(segments: Sequence[Segment], options: TranscribeOptions) -> str:
    """Why an engine doubts its own text, as a clause; "" if it does not.

    The thresholds are Whisper's own, from `options`, by which a window counts as failed or as
    silence (openai/whisper transcribe.py:204-221, 298-308): here each of them counts alone, for any
    segment with text.
    """
    spoken = [each for each in segments if each.text.strip()]
    highest = {
        "text that repeats itself": (
            [each.compression_ratio for each in spoken],
            options.compression_ratio_threshold,
        ),
        "improbable words": (
            [-each.avg_logprob for each in spoken],
            None if options.logprob_threshold is None else -options.logprob_threshold,
        ),
        "text where it hears no speech": (
            [each.no_speech_prob for each in spoken],
            options.no_speech_threshold,
        ),
    }
    found = [
        f"{what} in {_share(sum(value > limit for value in values), len(values))}"
        for what, (values, limit) in highest.items()
        if limit is not None and any(value > limit for value in values)
    ]
    return ", ".join(found)


def _share(count: int, total: int) -> str:
    if total == 1:
        return "its only segment"
    return f"{count} of {total} segments"


def unit_of_scores(scores: Sequence[Score]) -> scoring.Unit:
    """The unit of all rates of a race."""
    return scores[0].unit if scores else "word"


def verdict(scores: Sequence[Score], devices: dict[str, str], model: str) -> list[str]:
    """The race in sentences, by the same rules whichever engine wins. `devices`: each engine's
    device and dtype; `model`: the limits of the weights, in one sentence."""
    if not scores:
        return ["No engine returned a result."]
    ruling = ruling_of([s.result for s in scores])
    sentences = [_speed(scores, ruling), *_texts(scores), model, *_caveats(scores, devices)]
    return [sentence for sentence in sentences if sentence]


def _speed(scores: Sequence[Score], ruling: Ruling) -> str:
    ranked = sorted(scores, key=lambda s: s.result.median_s)
    times = ", ".join(f"{s.engine} {s.result.median_s:.2f} s" for s in ranked)
    if len(ranked) == 1:
        return f"Only {ranked[0].engine} returned a result, in {ranked[0].result.median_s:.2f} s."
    if ruling.doubts:
        return f"Too close or too noisy to call: {'; '.join(ruling.doubts)}."
    factor = ruling.factor
    if factor is None:
        return f"{OURS} returned no result: {times}."
    spread = f" ({factor.spread} in {factor.rounds} rounds)" if factor.spread else ""
    if factor.times > 1:
        return f"{OURS} was fastest: {factor.text} as fast as {factor.baseline}{spread}."
    return f"{factor.baseline} was fastest: {OURS} was {factor.text} as fast{spread}."


def identical(n_texts: int) -> str:
    """The sentence of a race whose transcripts are all the same."""
    return f"All {n_texts} transcripts are identical, character for character."


def _texts(scores: Sequence[Score]) -> list[str]:
    sentences = []
    texts = [s.result.transcript.text.strip() for s in scores]
    invented = [s for s in scores if s.invented is not None]
    unit = unit_of_scores(scores)
    if len(scores) > 1 and len(set(texts)) == 1 and texts[0]:
        sentences.append(identical(len(scores)))
    elif not any(texts):
        sentences.append("No engine found speech.")
    elif not invented:  # without speech there is nothing to agree on
        sentences += [
            f"{s.engine} agrees with {s.compared_with} on {s.agreement:.0%} of the {unit}s."
            for s in scores
            if s.agreement is not None
        ]
    if invented:
        counts = ", ".join(f"{s.engine} {s.invented}" for s in invented)
        sentences.append(f"Nobody speaks in this recording. Invented {unit}s: {counts}.")
    if any(s.wer is not None for s in scores):
        rates = ", ".join(f"{s.engine} {s.wer:.1%}" for s in scores if s.wer is not None)
        sentences.append(f"{unit.title()} error rate: {rates}.")
    return sentences


def _caveats(scores: Sequence[Score], devices: dict[str, str]) -> list[str]:
    """Every known reason not to trust the figures."""
    sentences = []
    silent = [s.engine for s in scores if not s.result.transcript.text.strip()]
    is_speech_known = any(s.invented is None for s in scores)
    if is_speech_known and 0 < len(silent) < len(scores):
        sentences.append(
            f"{' and '.join(silent)} returned no text although another engine did: "
            "this is a failure, not a fast result."
        )
    used = {devices.get(s.engine, "") for s in scores}
    if len(used) > 1:
        sentences.append(
            "The engines used different devices or precisions: "
            + ", ".join(f"{s.engine} on {devices.get(s.engine, 'unknown')}" for s in scores)
            + "."
        )
    if any(segment.temperature for s in scores for segment in s.result.transcript.segments):
        sentences.append(
            "The temperature was above 0: each engine sampled its own words, so texts and times "
            "differ by chance."
        )
    if min(len(s.result.seconds) for s in scores) == 1:
        sentences.append("Measured once. Use 3 or more rounds for a reliable result.")
    sentences.append(_noise([s.result for s in scores]))
    return sentences


def _noise(results: Sequence[EngineResult]) -> str:
    """How far the times can be relied on."""
    noise, load = noise_of(results), load_of(results)
    known = []
    if noise is not None:
        known.append(f"{OURS} run twice differed by {noise:.1%}")
    if load is not None:
        known.append(f"other programs took {load:.0%} of the processor")
    if not known:
        return NOT_MEASURED
    unknown = "" if load is not None else " The load of other programs was not measured."
    return f"Noise: {', '.join(known)}.{unknown}"
