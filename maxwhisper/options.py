"""What a caller may ask of a transcription: one frozen object, named as openai-whisper names
things.

What the reference's `transcribe()` and `DecodingOptions` let one say about text is here, and what
faster-whisper adds to decoding, under its names. `validate` refuses values without a meaning;
`require_supported` refuses, loudly, what an engine does not do. Nothing is ignored.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from maxwhisper.errors import OptionError
from maxwhisper.validation import AT_LEAST_0, AT_LEAST_1, FROM_0_TO_1, Rule, check_options

FALLBACK = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class TranscribeOptions:
    """Settings of one transcription. Source of names and defaults: openai/whisper
    transcribe.py:38-55, decoding.py:80-114."""

    language: str | None = None  # code or English name; None: detect it
    task: str = "transcribe"  # or "translate"
    temperature: float | tuple[float, ...] = FALLBACK  # the next where a window's text fails
    best_of: int | None = None  # samples to choose from above temperature 0; None: 1
    beam_size: int | None = None  # at temperature 0; None: greedy
    patience: float | None = None  # a search ends with so many candidates a beam; None: 1
    length_penalty: float | None = None  # exponent in 0..1; None: by mean log-probability
    sample_len: int | None = None  # most tokens sampled per window; None: n_text_ctx // 2
    prefix: str | None = None  # begins the text of every window, and is left out of the result
    # "-1": the non-speech symbols; None or "": nothing, not even the tokens of tasks and prompts
    suppress_tokens: str | tuple[int, ...] | None = "-1"
    suppress_blank: bool = True
    without_timestamps: bool = False
    max_initial_timestamp: float | None = 1.0  # seconds into a window; 0 or None: no limit
    compression_ratio_threshold: float | None = 2.4  # above it a window's text has failed
    logprob_threshold: float | None = -1.0  # below it too
    no_speech_threshold: float | None = 0.6  # above it, and below logprob_threshold: silence
    condition_on_previous_text: bool = True  # what was said prompts the next window
    prompt_reset_on_temperature: float = 0.5  # up to a window hotter than this it does not
    initial_prompt: str | tuple[int, ...] | None = None  # text, or token ids
    carry_initial_prompt: bool = False  # before every window, whatever was said since
    hotwords: str | None = None  # words to expect, before the prompt of every window
    repetition_penalty: float = 1.0  # above 1: tokens said already become less likely
    no_repeat_ngram_size: int = 0  # no run of so many tokens twice in a window; 0: no limit
    seed: int = 0  # of sampling, above temperature 0
    language_detection_segments: int = 1  # windows of 30 s that vote on the language
    language_detection_threshold: float | None = None  # a window surer than this decides at once
    word_timestamps: bool = False
    prepend_punctuations: str = "\"'“¿([{-"
    append_punctuations: str = "\"'.。,，!！?？:：”)]}、"
    clip_timestamps: str | tuple[float, ...] = "0"  # start,end,start,… of what is read, seconds
    hallucination_silence_threshold: float | None = None  # seconds of it round doubtful text

    @property
    def temperatures(self) -> tuple[float, ...]:
        """The temperatures to try, in order."""
        return _temperatures(self.temperature)

    def changed(self, changes: Mapping[str, Any]) -> "TranscribeOptions":
        """A copy with some fields changed. Raises `OptionError` for a name that is no option."""
        known = {field.name for field in fields(self)}
        if unknown := set(changes) - known:
            raise OptionError(
                f"no option called {', '.join(sorted(unknown))}: "
                f"choose from {', '.join(sorted(known))}"
            )
        return replace(self, **changes)

    def validate(self) -> "TranscribeOptions":
        """Return self, or raise `OptionError` naming the field, its value and what is allowed."""
        check_options(self, _RULES)
        self._validate_together()
        return self

    def _validate_together(self) -> None:
        """Options that only mean something together with others, or without them."""
        if self.patience is not None and self.beam_size is None:
            raise OptionError("patience needs beam_size: give both or neither")
        if self.patience and self.beam_size and round(self.beam_size * self.patience) < 1:
            raise OptionError(
                f"patience {self.patience} with beam_size {self.beam_size} keeps no candidate: "
                "their product must be above 0.5"
            )
        if self.best_of is not None and not any(self.temperatures):
            raise OptionError("best_of needs a temperature above 0: at 0 every sample is the same")
        if self.beam_size is not None and all(self.temperatures):
            raise OptionError("beam_size needs temperature 0: above 0 samples are drawn")
        if self.hotwords and self.prefix:  # faster-whisper drops the hotwords
            raise OptionError("hotwords and prefix both begin a window: give one of them")

    def require_supported(self, engine: str, supported: Collection[str]) -> None:
        """Raise `OptionError` if a field outside `supported` differs from its default."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in supported and value != field.default:
                raise OptionError(
                    f"{engine} does not support {field.name}={value!r}: "
                    f"leave it at {field.default!r}"
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready mapping of every field."""
        return {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in fields(self)
            for value in [getattr(self, field.name)]
        }


def _temperatures(value: Any) -> tuple[float, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


_A_NUMBER: Rule = (lambda v: not math.isnan(v), "be a number")

_RULES: dict[str, Rule] = {
    "task": (lambda v: v in ("transcribe", "translate"), "be 'transcribe' or 'translate'"),
    "temperature": (
        lambda v: bool(_temperatures(v)) and all(0 <= t < math.inf for t in _temperatures(v)),
        "be 0 or more, finite, and one at least",
    ),
    "best_of": AT_LEAST_1,
    "beam_size": AT_LEAST_1,
    "patience": (lambda v: 0 < v < math.inf, "be above 0 and finite"),
    "length_penalty": FROM_0_TO_1,
    "sample_len": (lambda v: v >= 1, "be at least 1 token"),
    "max_initial_timestamp": (lambda v: 0 <= v < math.inf, "be 0 s or more and finite"),
    # Any number is a limit that no window reaches, or each: the reference only compares.
    "compression_ratio_threshold": _A_NUMBER,
    "logprob_threshold": _A_NUMBER,
    "no_speech_threshold": _A_NUMBER,
    "prompt_reset_on_temperature": _A_NUMBER,
    "repetition_penalty": (lambda v: 0 < v < math.inf, "be above 0 and finite"),
    "no_repeat_ngram_size": AT_LEAST_0,
    "seed": AT_LEAST_0,
    "language_detection_segments": AT_LEAST_1,
    "language_detection_threshold": FROM_0_TO_1,
    "hallucination_silence_threshold": (lambda v: v >= 0, "be 0 s or more"),
}

# Greedy decoding alone, without fallback: nothing random, so that engines can be compared.
GREEDY = TranscribeOptions(temperature=0.0)
