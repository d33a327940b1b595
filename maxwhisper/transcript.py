"""The result of a transcription: segments of text with times, in the reference's field names.

Times are seconds from the start of the recording.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from maxwhisper.errors import OptionError, OutputError, quoted


@dataclass(frozen=True)
class Word:
    """One word with its times, in the reference's field names. `word` keeps its leading space."""

    word: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, repr=False)
class Segment:
    """A segment of text between two timestamps.

    `avg_logprob`, `compression_ratio` and `no_speech_prob` belong to the whole window in which the
    segment was decoded (openai/whisper transcribe.py:249-264).
    """

    id: int
    seek: int  # mel frame (10 ms) at which the window began
    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: tuple[Word, ...] = ()

    def __repr__(self) -> str:
        return f"<Segment {self.start:.2f} to {self.end:.2f} s: {quoted(self.text)}>"


OnSegment = Callable[[Segment], None]  # called with each segment as soon as it is final
OnText = Callable[[str], None]  # called with text that may still change, while it is decoded
OnRecordingSegment = Callable[[int, Segment], None]  # and with the index of its recording
OnProgress = Callable[[float, float], None]  # seconds of audio: transcribed so far, in total


@dataclass(frozen=True, repr=False)
class Transcript:
    """The transcript of a whole recording.

    `timings` are seconds per stage (for example `mel`, `encoder`, `prefill`, `decode`, `total`). An
    engine that does not expose its stages reports `total` only.
    """

    text: str
    language: str
    segments: tuple[Segment, ...]
    duration: float  # seconds of audio
    timings: dict[str, float] = field(default_factory=dict)
    language_probabilities: dict[str, float] = field(default_factory=dict)  # empty if not detected

    def __repr__(self) -> str:
        return (
            f"<Transcript of {self.duration:.1f} s in {self.language!r}, {len(self.segments)} "
            f"segments: {quoted(self.text)}>"
        )

    @property
    def words(self) -> tuple[Word, ...]:
        """All words in order; empty without word times."""
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def n_tokens(self) -> int:
        """Number of tokens in all segments."""
        return sum(len(segment.tokens) for segment in self.segments)

    def to_dict(self) -> dict[str, Any]:
        """Return a mapping that `json.dumps` accepts: text, language and its probabilities,
        duration, segments, timings."""
        return {
            "text": self.text,
            "language": self.language,
            "language_probabilities": self.language_probabilities,
            "duration": self.duration,
            "segments": [asdict(segment) for segment in self.segments],
            "timings": self.timings,
        }

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "Transcript":
        """Rebuild a transcript from `to_dict`. Raises `ValueError` with the offending field."""
        return msgspec.convert(mapping, cls)

    def save(self, path: str | Path) -> None:
        """Write a file in the format that its ending names: txt, srt, vtt, tsv or json.

        The content is openai-whisper's, subtitles of words if there are word times. Raises
        `OptionError` for another ending, `OutputError` if the file cannot be written.
        """
        from maxwhisper.options import TranscribeOptions
        from maxwhisper.text import writers

        path = Path(os.path.expanduser(path))
        ending = path.suffix.removeprefix(".").lower()
        if ending not in writers.ALL:
            endings = ", ".join(f".{each}" for each in writers.ALL)
            raise OptionError(f"expected a name that ends in {endings}, got {quoted(path.name)}")
        text = writers.render(self, ending, TranscribeOptions(word_timestamps=bool(self.words)))
        try:
            path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
