"""What a transcription returns: segments of text with their times, in the reference's field names.

Times are seconds from the start of the recording.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Word:
    word: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True)
class Segment:
    """One stretch of text. `avg_logprob`, `compression_ratio` and `no_speech_prob` belong to the
    whole window it was decoded in (openai/whisper transcribe.py:249-264)."""

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


@dataclass(frozen=True)
class Transcript:
    """A whole recording. `timings` are seconds per stage (for example `mel`, `encoder`, `prefill`,
    `decode`, `total`); an engine that cannot see its stages gives `total` alone."""

    text: str
    language: str
    segments: tuple[Segment, ...]
    duration: float  # seconds of audio
    timings: dict[str, float] = field(default_factory=dict)
    language_probabilities: dict[str, float] = field(default_factory=dict)  # if it was detected

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def n_tokens(self) -> int:
        return sum(len(segment.tokens) for segment in self.segments)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready mapping: text, language and its probabilities, duration, segments,
        timings."""
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
        """What `to_dict` wrote. Raises `TypeError` or `KeyError` for anything else."""
        segments = tuple(
            Segment(
                **{
                    **entry,
                    "tokens": tuple(entry["tokens"]),
                    "words": tuple(Word(**word) for word in entry["words"]),
                }
            )
            for entry in mapping["segments"]
        )
        return cls(**{**mapping, "segments": segments})
