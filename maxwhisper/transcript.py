"""The result of a transcription: segments of text with times, in the reference's field names.

Times are seconds from the start of the recording.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec


@dataclass(frozen=True)
class Word:
    """One word with its times, in the reference's field names. `word` keeps its leading space."""

    word: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True)
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


OnSegment = Callable[[Segment], None]  # called with each segment as soon as it is final
OnRecordingSegment = Callable[[int, Segment], None]  # and with the index of its recording
OnProgress = Callable[[float, float], None]  # seconds of audio: transcribed so far, in total


@dataclass(frozen=True)
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
