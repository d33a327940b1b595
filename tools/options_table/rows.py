"""The rows of the table: each option, a value that is not its default, and what it needs beside it.

Then the words that no code has: why an entry point refuses an option, or has no place for one. A
reason is asked for only where the answer was no, and a test holds that none is left over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """`name` is a field of `TranscribeOptions`, or "vad.…", "stream.…" for those of `VadOptions`
    and `StreamOptions`. Asked for with and without `name`: `beside`, and `value`."""

    name: str
    value: Any
    beside: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """What its reasons may be given under, for all of its kind at once."""
        return self.name.partition(".")[0]

    def settings(self, changed: bool) -> dict[str, Any]:
        """By name. Greedy unless it says otherwise: one decoding a window is enough to see."""
        return {"temperature": 0.0, **self.beside, **({self.name: self.value} if changed else {})}


_HOT = {"temperature": 0.7}
_FALLBACK = {"temperature": (0.0, 0.7)}
_WORDS = {"word_timestamps": True}
_SPEECH = {"vad.speech_pad_ms": 400.0}  # the default, said aloud: batches have others of their own

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
OPENAI, FASTER = "openai-whisper", "faster-whisper"

# Accepted, and rightly without effect: there is nothing else.
ALWAYS_SO = {("condition_on_previous_text", BATCHED), ("word_timestamps", STREAM)}
# (row or group, column) -> why not, in five words.
WHY = {
    ("condition_on_previous_text", BATCHED): "no window follows another",
    ("prompt_reset_on_temperature", BATCHED): "no window follows another",
    ("hallucination_silence_threshold", BATCHED): "silences are not read",
    ("clip_timestamps", STREAM): "there is no recording yet",
    ("hallucination_silence_threshold", STREAM): "what follows is not known",
    ("language_detection_segments", STREAM): "one window at a time",
    ("language_detection_threshold", STREAM): "one window at a time",
    ("word_timestamps", STREAM): "words always have times",
    ("prompt_reset_on_temperature", OPENAI): "always 0.5",
    ("hotwords", OPENAI): "it has none",
    ("repetition_penalty", OPENAI): "it has none",
    ("no_repeat_ngram_size", OPENAI): "it has none",
    ("language_detection_segments", OPENAI): "always the first 30 s",
    ("language_detection_threshold", OPENAI): "always the first 30 s",
    ("length_penalty", FASTER): "another formula",
    ("sample_len", FASTER): "counts what prompts the window",
    ("prefix", FASTER): "in the first window only",
    ("carry_initial_prompt", FASTER): "it has none",
    ("seed", FASTER): "seeds each thread once",
    ("hallucination_silence_threshold", FASTER): "leaves out a rule",
    ("vad.max_speech_duration_s", STREAM): "window_s bounds it",
    ("batch_size", SEQUENTIAL): "makes it the batched mode",
    ("batch_size", STREAM): "one window at a time",
    ("batch_size", API): "one window at a time",
    ("batch_size", OPENAI): "one window at a time",
    **{
        ("temperature_increment_on_fallback", column): "give temperature a tuple"
        for column in (SEQUENTIAL, BATCHED, STREAM, OPENAI, FASTER)
    },
    ("temperature_increment_on_fallback", API): "never falls back",
}
# The same for all rows of a group that have no reason of their own.
WHY_ALL = {
    ("vad", API): "everything is read",
    ("vad", OPENAI): "it has none",
    **{
        ("stream", column): "for live audio alone"
        for column in (SEQUENTIAL, BATCHED, API, OPENAI, FASTER)
    },
}
