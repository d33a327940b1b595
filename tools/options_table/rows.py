"""The rows of the table: each option, a value that is not its default, and what it needs beside it.

Also the reasons why an entry point refuses an option or has no place for it. The options' own
descriptions hold most of them; here are those of conditions and of entry points. A reason is used
only where the answer was no, and a test holds that none is left over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maxwhisper.options import (
    BATCHES,
    FASTER,
    LIVE,
    OPENAI,
    StreamOptions,
    TranscribeOptions,
    VadOptions,
    WindowOptions,
)
from maxwhisper.options.info import options_of


@dataclass(frozen=True)
class Row:
    """`name` is a field of `TranscribeOptions`, "vad.…" one of `VadOptions` and "stream.…" one of
    `StreamOptions`. An entry point is called with `beside`, and again with `value` as well."""

    name: str
    value: Any
    beside: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The part of the name that `WHY_ALL` gives reasons for."""
        return self.name.partition(".")[0]

    def settings(self, changed: bool) -> dict[str, Any]:
        """Settings by name. Greedy by default: one decoding of each window is enough."""
        return {"temperature": 0.0, **self.beside, **({self.name: self.value} if changed else {})}


_HOT = {"temperature": 0.7}
_FALLBACK = {"temperature": (0.0, 0.7)}
_WORDS = {"word_timestamps": True}
_SPEECH = {"vad.speech_pad_ms": 400.0}  # the default, given because batches have another

OPTIONS = (
    Row("language", "de"),
    Row("task", "translate"),
    Row("temperature", 0.7),
    Row("best_of", 3, _HOT),
    Row("beam_size", 3),
    Row("patience", 2.0, {"beam_size": 2}),
    Row("length_penalty", 0.1, {"beam_size": 3}),
    Row("sample_len", 4),
    Row("prefix", "And so"),
    Row("suppress_tokens", ""),
    Row("suppress_blank", False, {"without_timestamps": True}),
    Row("without_timestamps", True),
    Row("max_initial_timestamp", 0.2),
    Row("compression_ratio_threshold", 0.5, _FALLBACK),
    Row("logprob_threshold", -0.1, _FALLBACK),
    Row("no_speech_threshold", 0.01, {"logprob_threshold": 0.0}),
    Row("condition_on_previous_text", False),
    Row("prompt_reset_on_temperature", 0.9, _HOT),
    Row("initial_prompt", "My fellow Americans"),
    Row(
        "carry_initial_prompt",
        True,
        {"initial_prompt": "My fellow Americans", "condition_on_previous_text": False},
    ),
    Row("hotwords", "kernel"),
    Row("repetition_penalty", 3.0),
    Row("no_repeat_ngram_size", 1),
    Row("seed", 1, _HOT),
    Row("language_detection_segments", 2),
    Row("language_detection_threshold", 0.0, {"language_detection_segments": 2}),
    Row("word_timestamps", True),
    Row("prepend_punctuations", "", {**_WORDS, "suppress_tokens": ""}),
    Row("append_punctuations", "", {**_WORDS, "suppress_tokens": ""}),
    Row("clip_timestamps", "5,20"),
    Row("hallucination_silence_threshold", 0.1, _WORDS),
)
READING = (
    Row("temperature_increment_on_fallback", 0.5),
    Row("batch_size", 1),
    Row("vad", True, {"vad": False}),
    Row("vad.threshold", 0.9, _SPEECH),
    Row("vad.neg_threshold", 0.001, _SPEECH),
    Row("vad.min_speech_duration_ms", 5000.0, _SPEECH),
    Row("vad.max_speech_duration_s", 3.0, _SPEECH),
    Row("vad.min_silence_duration_ms", 4000.0, _SPEECH),
    Row("vad.speech_pad_ms", 100.0, _SPEECH),
    Row("stream.hop_s", 4.0),
    Row("stream.window_s", 20.0),
    Row("stream.pause_s", 2.0, {"vad": True}),
    Row("stream.keep_up", True),
)

SEQUENTIAL, BATCHED, STREAM = "sequential", "batched", "stream"
COMMAND_LINE, API = "command line", "HTTP API"
# The columns of engines and modes that do not honour every option, by their names in the options'
# descriptions, which hold the reasons.
DESCRIBED = {BATCHED: BATCHES, STREAM: LIVE, OPENAI: OPENAI, FASTER: FASTER}

# Accepted, and correct without an effect: the entry point always works that way.
ALWAYS_SO = {("condition_on_previous_text", BATCHED), ("word_timestamps", STREAM)}
# (row, column) -> reason that no description holds, in at most five words.
WHY = {
    ("condition_on_previous_text", BATCHED): "no window follows another",
    ("word_timestamps", STREAM): "words always have times",
    ("sample_len", FASTER): "counts the prompt's tokens",
    ("batch_size", SEQUENTIAL): "makes it the batched mode",
    **{
        ("temperature_increment_on_fallback", column): "give temperature a tuple"
        for column in (SEQUENTIAL, BATCHED, STREAM, OPENAI, FASTER)
    },
    ("temperature_increment_on_fallback", API): "never falls back",
}
# (group, column) -> reason for all rows of the group that have no reason of their own.
WHY_ALL = {
    ("vad", API): "always the defaults",
    ("vad", OPENAI): "it has none",
    **{
        ("stream", column): "for live audio only"
        for column in (SEQUENTIAL, BATCHED, API, OPENAI, FASTER)
    },
}
_GROUPS = {"batch_size": WindowOptions, "stream": StreamOptions, "vad": VadOptions}


def reason(row: Row, column: str) -> str:
    """Why the entry point does not honour the option; empty if nothing says so."""
    options = options_of(_GROUPS.get(row.group, TranscribeOptions))
    option = options.get(row.name.rpartition(".")[2])
    described = option.info.unsupported if option else {}
    return (
        described.get(DESCRIBED.get(column, ""))
        or WHY.get((row.name, column))
        or WHY_ALL.get((row.group, column), "")
    )
