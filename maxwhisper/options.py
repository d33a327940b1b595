"""What a caller may ask of a transcription: one frozen object, named as openai-whisper names
things.

Every field of the reference's `transcribe()` and `DecodingOptions` is here, and what faster-whisper
adds to them under its names. `validate` refuses impossible values; `require_supported` refuses,
loudly, what an engine does not do. Nothing is ignored.
"""

from collections.abc import Collection, Mapping
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
        given = self.temperature
        return (given,) if isinstance(given, (int, float)) else tuple(given)

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
        if self.task not in ("transcribe", "translate"):
            raise OptionError(f"task must be 'transcribe' or 'translate', got {self.task!r}")
        if self.patience is not None and self.beam_size is None:
            raise OptionError("patience needs beam_size: give both or neither")
        if self.sample_len is not None and self.sample_len < 1:
            raise OptionError(f"sample_len must be at least 1 token, got {self.sample_len}")
        if self.beam_size is not None and self.beam_size < 1:
            raise OptionError(f"beam_size must be at least 1, got {self.beam_size}")
        if self.best_of is not None and self.best_of < 1:
            raise OptionError(f"best_of must be at least 1, got {self.best_of}")
        if self.patience is not None and self.patience <= 0:
            raise OptionError(f"patience must be above 0, got {self.patience}")
        if self.patience and self.beam_size and round(self.beam_size * self.patience) < 1:
            raise OptionError(
                f"patience {self.patience} with beam_size {self.beam_size} keeps no candidate: "
                "their product must be above 0.5"
            )
        if self.repetition_penalty <= 0:
            raise OptionError(f"repetition_penalty must be above 0, got {self.repetition_penalty}")
        if self.no_repeat_ngram_size < 0:
            raise OptionError(
                f"no_repeat_ngram_size must be 0 or more, got {self.no_repeat_ngram_size}"
            )
        if self.language_detection_segments < 1:
            raise OptionError(
                "language_detection_segments must be at least 1, "
                f"got {self.language_detection_segments}"
            )
        if self.length_penalty is not None and not 0 <= self.length_penalty <= 1:
            raise OptionError(f"length_penalty must lie in 0..1, got {self.length_penalty}")
        if self.max_initial_timestamp is not None and not 0 <= self.max_initial_timestamp <= 30:
            raise OptionError(
                f"max_initial_timestamp must lie in 0..30 s, got {self.max_initial_timestamp}"
            )
        temperatures = self.temperatures
        if not temperatures or any(t < 0 for t in temperatures):
            raise OptionError(f"temperature must be 0 or more, got {self.temperature}")
        if self.best_of is not None and not any(temperatures):
            raise OptionError("best_of needs a temperature above 0: at 0 every sample is the same")
        if self.beam_size is not None and all(temperatures):
            raise OptionError("beam_size needs temperature 0: above 0 samples are drawn")
        return self

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


# Greedy decoding alone, without fallback: nothing random, so that engines can be compared.
GREEDY = TranscribeOptions(temperature=0.0)
