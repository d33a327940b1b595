"""A transcriber and a voice that follow a script: words with true times, transcribed with errors of
a live stream. For tests of everything that only knows the `WindowTranscriber` protocol.

The word at the window's end is cut short or garbled, the last one gets an extra full stop, times
vary, and words can come out wrong. The samples are a ramp, so tests can compare the window that
arrives with the one that was sent.
"""

import random
from dataclasses import dataclass, field

import numpy as np

from maxwhisper.clock import StageClock
from maxwhisper.decoding.language import SpokenLanguage
from maxwhisper.transcribe.live_window import Hypothesis
from maxwhisper.transcript import Segment, Word

RATE = 16_000
RAMP = 2**24  # samples from 0 to 1: float32 is exact
JITTER_S = 0.06


@dataclass(frozen=True)
class Said:
    """A word of the script; `utterance` counts the sentences."""

    text: str
    start: float
    end: float
    utterance: int


def ramp(seconds):
    return np.arange(round(seconds * RATE), dtype=np.float32) / RAMP


def script(texts, word_s=0.3, pause_s=0.8, lead_s=0.4):
    """Words of sentences, one after the other, with a pause between sentences."""
    words, now = [], lead_s
    for utterance, text in enumerate(texts):
        for word in text.split():
            words.append(Said(word, round(now, 3), round(now + word_s, 3), utterance))
            now += word_s
        now += pause_s
    return words


@dataclass
class ScriptedTranscriber:
    """Transcribes `words`; `mishears` is the chance that a word comes out wrong."""

    words: list[Said]
    mishears: float = 0.0
    edge_errors: bool = True
    clock: StageClock = field(default_factory=StageClock)
    language: SpokenLanguage = SpokenLanguage("en", {})  # noqa: RUF009 (frozen)
    windows: list[tuple[float, float]] = field(default_factory=list)
    remembered: list[str] = field(default_factory=list)

    def transcribe(self, waveform, seek):
        first = seek * RATE // 100
        expected = np.arange(first, first + len(waveform), dtype=np.float32) / RAMP
        np.testing.assert_array_equal(waveform, expected)
        begin, end = first / RATE, (first + len(waveform)) / RATE
        assert len(waveform) <= 30 * RATE
        self.windows.append((begin, end))
        segments = self._segments(begin, end)
        heard = {said.utterance for said in self.words if said.end <= end}
        cut = {said.utterance for said in self.words if said.end > end}
        n_closed = sum(segment.id in heard - cut for segment in segments)
        if n_closed in (0, len(segments)):
            return Hypothesis(tuple(segments), (), round(end * 100))
        closed = segments[:n_closed]
        return Hypothesis(tuple(closed), tuple(segments[n_closed:]), round(closed[-1].end * 100))

    def remember(self, segments):
        self.remembered += [word.word for segment in segments for word in segment.words]

    def tokens(self, text):
        return tuple(text.encode())

    def _segments(self, begin, end):
        chance = random.Random(f"{begin} {end}")
        by_utterance = {}
        for said in self.words:
            if (said.start + said.end) / 2 < begin or said.start >= end:
                continue
            word = self._heard(said, begin, end, chance)
            by_utterance.setdefault(said.utterance, []).append(word)
        return [
            Segment(
                utterance,
                round(begin * 100),
                words[0].start,
                words[-1].end,
                "".join(word.word for word in words),
                (),
                0.0,
                -0.3,
                1.2,
                0.1,
                tuple(words),
            )
            for utterance, words in by_utterance.items()
        ]

    def _heard(self, said, begin, end, chance):
        text = f" {said.text}"
        if chance.random() < self.mishears:
            text += f"-misheard{chance.randrange(100)}"
        if self.edge_errors and said.end > end:
            text = text[: 1 + len(text) // 2] + f"~{chance.randrange(100)}"
        elif self.edge_errors and end - said.end < 0.3:
            text += "."
        start, stop = (
            min(max(time + chance.uniform(-JITTER_S, JITTER_S), begin), end)
            for time in (said.start, said.end)
        )
        return Word(text, start, max(start, stop), 0.9)


@dataclass
class ScriptedVoice:
    """Knows where the words of the script are."""

    words: list[Said]
    speech_end: int = 0
    n_samples: int = 0

    def hear(self, samples):
        self.n_samples += len(samples)
        now = self.n_samples / RATE
        ends = [min(said.end, now) for said in self.words if said.start < now]
        self.speech_end = round(max(ends, default=0.0) * RATE)
