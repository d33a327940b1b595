"""Options of a transcription, named as in openai-whisper."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from maxwhisper.errors import OptionError, or_nearest
from maxwhisper.options.info import (
    ABOVE_0_FINITE,
    AT_LEAST_0,
    AT_LEAST_0_FINITE,
    AT_LEAST_1,
    FROM_0_TO_1,
    Allowed,
    check_options,
    option,
    require_supported,
)

FALLBACK = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

# Engines and modes that do not honour every option, by the names that error messages use.
OPENAI, FASTER = "openai-whisper", "faster-whisper"
FASTER_BATCHES = "faster-whisper in batches"
BATCHES = "maxwhisper in batches"
LIVE = "live transcription"
WORDLESS = "maxwhisper without word_timestamps"

# Special tokens as text (openai/whisper tokenizer.py:331-364). In a prompt openai-whisper refuses
# them, and faster-whisper takes them for the tokens themselves.
_SPECIAL = re.compile(
    r"<\|(endoftext|startoftranscript|translate|transcribe|startoflm|startofprev|nospeech"
    r"|notimestamps|[a-z]{2,3}|\d\d?\.\d\d)\|>"
)
_CANDIDATES = Allowed(minimum=1, maximum=1000)  # each has a decoder cache of its own
_PROMPTS = ("initial_prompt", "prefix", "hotwords")

# Arguments of `Whisper.transcribe` that are no fields here: suggested for misspelt names.
ARGUMENTS = ("batch_size", "on_segment", "on_text", "progress", "sample_rate", "vad")
# Names that users of other engines type: whose, and what to give instead.
OF_OTHERS = {
    "vad_filter": (FASTER, "give vad=True"),
    "vad_parameters": (FASTER, "give vad=VadOptions(...), which has the same fields"),
    "log_prob_threshold": (FASTER, "its name here is logprob_threshold"),
    "max_new_tokens": (FASTER, "its name here is sample_len"),
    "multilingual": (FASTER, "the language is detected once, so leave it out"),
    "chunk_length": (FASTER, "a window has 30 s, so leave it out"),
    "log_progress": (FASTER, "give progress=, which is called with seconds of audio"),
    "verbose": (OPENAI, "give on_segment=print"),
    "fp16": (OPENAI, "give dtype to load() instead"),
}

_FASTER_WHISPERS = {OPENAI: "it has none"}
_ONE_WINDOW = {LIVE: "one window at a time", OPENAI: "always the first 30 s"}
_OF_WORDS = {WORDLESS: "only words have times"}


@dataclass(frozen=True)
class TranscribeOptions:
    """Settings of one transcription. Names and defaults: openai/whisper transcribe.py:38-55 and
    decoding.py:80-114; names of what only faster-whisper has: its `transcribe`."""

    language: str | None = option(
        None, "spoken language, as a code or an English name; detected when not given"
    )
    task: str = option(
        "transcribe",
        "transcribe in the spoken language, or translate into English",
        Allowed(choices=("transcribe", "translate")),
    )
    temperature: float | tuple[float, ...] = option(
        FALLBACK,
        "sampling temperature, 0 is deterministic; of several, the next is used for a window that "
        "failed",
        AT_LEAST_0_FINITE,
    )
    best_of: int | None = option(
        None, "samples to choose from at temperatures above 0; 1 when not given", _CANDIDATES
    )
    beam_size: int | None = option(
        None, "beams of the search at temperature 0; greedy when not given", _CANDIDATES
    )
    patience: float | None = option(
        None,
        "a beam search ends with patience x beam_size candidates; 1 when not given",
        ABOVE_0_FINITE,
    )
    length_penalty: float | None = option(
        None,
        "exponent of the length penalty; mean log-probability when not given",
        FROM_0_TO_1,
        unsupported={FASTER: "another formula"},  # n ** a instead of ((5 + n) / 6) ** a
    )
    sample_len: int | None = option(
        None,
        "maximum number of tokens per window; half the text context when not given",
        AT_LEAST_1,
        unit="tokens",
    )
    prefix: str | None = option(
        None,
        "text that every window begins with, left out of the result",
        unsupported={FASTER: "in the first window only"},  # and after a timestamp
    )
    # None or "" suppresses nothing, not even the tokens of tasks and prompts.
    suppress_tokens: str | tuple[int, ...] | None = option(
        "-1", "comma list of token ids that are never sampled; -1 is the non-speech symbols"
    )
    suppress_blank: bool = option(True, "no blank at the beginning of a window")
    without_timestamps: bool = option(False, "decode windows without timestamp tokens")
    max_initial_timestamp: float | None = option(
        1.0,
        "latest first timestamp of a window; no limit with 0 or None",
        AT_LEAST_0_FINITE,
        unit="seconds",
        unsupported={FASTER_BATCHES: "it is not read"},
    )
    # Any number is a limit for the three thresholds: the reference only compares.
    compression_ratio_threshold: float | None = option(
        2.4, "a window has failed above this ratio: its text repeats itself"
    )
    logprob_threshold: float | None = option(
        -1.0, "a window has failed below this mean log-probability"
    )
    no_speech_threshold: float | None = option(
        0.6, "a window above this no-speech probability and below logprob_threshold is silence"
    )
    condition_on_previous_text: bool = option(True, "prompt each window with the text before it")
    prompt_reset_on_temperature: float = option(
        0.5,
        "text decoded at a temperature above this does not prompt the next window",
        unsupported={
            BATCHES: "no window follows another",
            FASTER_BATCHES: "no window follows another",
            OPENAI: "always 0.5",
        },
    )
    initial_prompt: str | tuple[int, ...] | None = option(
        None,
        "text that prompts the first window",
        unsupported={FASTER_BATCHES: "it would prompt every window"},
    )
    carry_initial_prompt: bool = option(
        False,
        "prompt every window with initial_prompt, not only the first",
        unsupported={FASTER: "it has none"},
    )
    hotwords: str | None = option(
        None,
        "words to expect, before the prompt of every window",
        unsupported=_FASTER_WHISPERS,
    )
    repetition_penalty: float = option(
        1.0,
        "above 1, tokens already in the window become less likely",
        ABOVE_0_FINITE,
        unsupported=_FASTER_WHISPERS,
    )
    no_repeat_ngram_size: int = option(
        0,
        "no run of this many tokens twice in a window; no limit with 0",
        AT_LEAST_0,
        unit="tokens",
        unsupported=_FASTER_WHISPERS,
    )
    seed: int = option(
        0,
        "seed of the random numbers that temperatures above 0 sample with",
        AT_LEAST_0,
        unsupported={FASTER: "seeds each thread once"},  # CTranslate2, when it first samples
    )
    language_detection_segments: int = option(
        1,
        "windows of 30 s that vote on the language",
        AT_LEAST_1,
        unit="windows",
        unsupported=_ONE_WINDOW,
    )
    language_detection_threshold: float | None = option(
        None,
        "a window surer than this decides the language at once",
        FROM_0_TO_1,
        unsupported=_ONE_WINDOW,
    )
    word_timestamps: bool = option(False, "find the times of each word")
    prepend_punctuations: str = option(
        "\"'“¿([{-", "punctuation that belongs to the word after it", unsupported=_OF_WORDS
    )
    append_punctuations: str = option(
        "\"'.。,，!！?？:：”)]}、",
        "punctuation that belongs to the word before it",
        unsupported=_OF_WORDS,
    )
    clip_timestamps: str | tuple[float, ...] = option(
        "0",
        "comma list start,end,start,end,… of the parts to transcribe",
        unit="seconds",
        unsupported={LIVE: "there is no recording yet"},
    )
    hallucination_silence_threshold: float | None = option(
        None,
        "skip a longer silence beside doubtful words",
        AT_LEAST_0,
        unit="seconds",
        unsupported={
            **_OF_WORDS,
            BATCHES: "silences are not read",
            LIVE: "what follows is not known",
            FASTER: "leaves out a rule",  # one branch of the reference
        },
    )

    @property
    def temperatures(self) -> tuple[float, ...]:
        """The temperatures to try, in order."""
        value = self.temperature
        return tuple(value) if isinstance(value, tuple | list) else (value,)

    def changed(self, changes: Mapping[str, Any]) -> "TranscribeOptions":
        """A copy with some fields changed. Raises `OptionError` for an unknown name."""
        known = {field.name for field in fields(self)}
        for name in changes:
            if name not in known:
                raise OptionError(_unknown(name, known))
        return replace(self, **changes)

    def validate(self) -> "TranscribeOptions":
        """Return self, or raise `OptionError` with the field, its value and what is allowed."""
        check_options(self)
        for name in _PROMPTS:
            text = getattr(self, name)
            if isinstance(text, str) and (found := _SPECIAL.search(text)):
                raise OptionError(
                    f"{name} must be ordinary text, got the special token {found[0]!r}: remove it"
                )
        self._validate_together()
        return self

    def _validate_together(self) -> None:
        """Raise `OptionError` for options that contradict each other."""
        if not self.temperatures:
            raise OptionError("temperature must have at least one value, got none")
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

    def require_supported(self, engine: str) -> None:
        """Raise `OptionError` if an option that `engine` does not honour differs from its
        default. `engine` is one of the names above."""
        require_supported(self, engine)

    def to_dict(self) -> dict[str, Any]:
        """Every field by name, ready for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}


def _unknown(name: str, known: Collection[str]) -> str:
    """What to say about a name that is no option here."""
    if name in OF_OTHERS:
        return f"no option called {name} (of {OF_OTHERS[name][0]}): {OF_OTHERS[name][1]}"
    if nearest := or_nearest(name, [*known, *ARGUMENTS]):
        return f"no option called {name[:60]}{nearest}"
    return f"no option called {name[:60]}: choose from {', '.join(sorted(known))}"


# Greedy decoding without fallback: deterministic, so that engines can be compared.
GREEDY = TranscribeOptions(temperature=0.0)
