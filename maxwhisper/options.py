"""What a caller may ask of a transcription: one frozen object, named as openai-whisper names
things.

Every field of the reference's `transcribe()` and `DecodingOptions` is here, and what faster-whisper
adds to them under its names. `validate` refuses impossible values; `require_supported` refuses,
loudly, what an engine does not do. Nothing is ignored.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from maxwhisper.errors import OptionError

FALLBACK = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class TranscribeOptions:
    """Settings of one transcription. Source of names and defaults: openai/whisper
    transcribe.py:38-55, decoding.py:80-114."""

    language: str | None = None  # code or English name; None: detect on the first 30 s
    task: str = "transcribe"  # or "translate"
    temperature: float | tuple[float, ...] = FALLBACK  # the next where a window's text fails
    best_of: int | None = None
    beam_size: int | None = None
    patience: float | None = None
    length_penalty: float | None = None
    sample_len: int | None = None  # most tokens sampled per window; None: n_text_ctx // 2
    prefix: str | None = None
    suppress_tokens: str | tuple[int, ...] | None = "-1"  # "-1": the non-speech symbols
    suppress_blank: bool = True
    without_timestamps: bool = False
    max_initial_timestamp: float | None = 1.0  # seconds
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    condition_on_previous_text: bool = True
    prompt_reset_on_temperature: float = 0.5  # a window decoded hotter does not prompt the next
    initial_prompt: str | tuple[int, ...] | None = None  # text, or token ids
    carry_initial_prompt: bool = False
    hotwords: str | None = None  # words to expect, before the prompt of every window
    repetition_penalty: float = 1.0  # above 1: tokens said already become less likely
    no_repeat_ngram_size: int = 0  # no run of so many tokens twice in a window; 0: no limit
    seed: int = 0  # of sampling, above temperature 0
    language_detection_segments: int = 1  # windows of 30 s that vote on the language
    language_detection_threshold: float | None = None  # a window this sure decides at once
    word_timestamps: bool = False
    prepend_punctuations: str = "\"'“¿([{-"
    append_punctuations: str = "\"'.。,，!！?？:：”)]}、"
    clip_timestamps: str | tuple[float, ...] = "0"
    hallucination_silence_threshold: float | None = None  # seconds

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
        for name, (is_possible, expected) in _POSSIBLE.items():
            value = getattr(self, name)
            if value is not None and not is_possible(value):
                raise OptionError(f"{name} must {expected}, got {value!r}")
        self._validate_search()
        return self

    def _validate_search(self) -> None:
        """Options that only mean something together with others."""
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
    return (value,) if isinstance(value, (int, float)) else tuple(value)


# Field -> is this value possible, and what is. None is possible wherever it is the default.
_POSSIBLE: dict[str, tuple[Callable[[Any], bool], str]] = {
    "task": (lambda v: v in ("transcribe", "translate"), "be 'transcribe' or 'translate'"),
    "temperature": (lambda v: min(_temperatures(v), default=-1) >= 0, "be 0 or more"),
    "best_of": (lambda v: v >= 1, "be at least 1"),
    "beam_size": (lambda v: v >= 1, "be at least 1"),
    "patience": (lambda v: v > 0, "be above 0"),
    "length_penalty": (lambda v: 0 <= v <= 1, "lie in 0..1"),
    "sample_len": (lambda v: v >= 1, "be at least 1 token"),
    "max_initial_timestamp": (lambda v: 0 <= v <= 30, "lie in 0..30 s"),
    "repetition_penalty": (lambda v: v > 0, "be above 0"),
    "no_repeat_ngram_size": (lambda v: v >= 0, "be 0 or more"),
    "language_detection_segments": (lambda v: v >= 1, "be at least 1"),
}

# Greedy decoding alone, without fallback: nothing random, so that engines can be compared.
GREEDY = TranscribeOptions(temperature=0.0)
