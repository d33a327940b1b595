"""The keywords of `Whisper.transcribe` for type checkers.

A type checker cannot read the fields of a dataclass as keywords, so they stand here once more; a
test holds names and types equal to those of `TranscribeOptions`.
"""

from typing import TypedDict


class TranscribeChanges(TypedDict, total=False):
    """Fields of `TranscribeOptions` as keywords, all of them optional."""

    language: str | None
    task: str
    temperature: float | tuple[float, ...]
    best_of: int | None
    beam_size: int | None
    patience: float | None
    length_penalty: float | None
    sample_len: int | None
    prefix: str | None
    suppress_tokens: str | tuple[int, ...] | None
    suppress_blank: bool
    without_timestamps: bool
    max_initial_timestamp: float | None
    compression_ratio_threshold: float | None
    logprob_threshold: float | None
    no_speech_threshold: float | None
    condition_on_previous_text: bool
    prompt_reset_on_temperature: float
    initial_prompt: str | tuple[int, ...] | None
    carry_initial_prompt: bool
    hotwords: str | None
    repetition_penalty: float
    no_repeat_ngram_size: int
    seed: int
    language_detection_segments: int
    language_detection_threshold: float | None
    word_timestamps: bool
    prepend_punctuations: str
    append_punctuations: str
    clip_timestamps: str | tuple[float, ...]
    hallucination_silence_threshold: float | None
