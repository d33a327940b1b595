"""Live transcription: chunks of samples in, words out as soon as two hearings agree on them.

A window is heard again with every hop of new audio. Words at its beginning that two successive
hearings write alike are committed and stand; the others are tentative. A pause commits what was
said before it. When the window is full it moves on, as the sequential mode does, to the end of its
last closed segment: what is committed is what the whole recording would say. Where nobody speaks,
nothing is decoded. Samples are counted from the stream's start. Knows no network.
"""

import time
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from maxwhisper.audio import from_array
from maxwhisper.dims import FRAMES_PER_SECOND, HOP_LENGTH, SAMPLE_RATE
from maxwhisper.engine import Waveform
from maxwhisper.errors import AudioError
from maxwhisper.stream_options import StreamOptions
from maxwhisper.transcribe.agreement import agreed, covered
from maxwhisper.transcribe.listening import Hypothesis, Listener
from maxwhisper.transcript import Segment, Transcript, Word


class Voice(Protocol):
    """Says where speech was last heard; `vad.VoiceMonitor`, or a script in tests."""

    speech_end: int  # sample after the last speech, 0 if there was none

    def hear(self, samples: Waveform) -> object: ...


@dataclass(frozen=True)
class Update:
    """What a chunk brought. `tentative` follows all words committed so far, and may change.

    `lag_s` is audio received since the last committed word, 0 where nothing is left to commit.
    `real_time_factor` is computing time over audio, of the whole stream: above 1 it falls behind.
    """

    committed: tuple[Word, ...]
    tentative: str
    received_s: float
    lag_s: float
    real_time_factor: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Stream:
    """A recording that is still being made. Memory: 30 s of samples, and the text. Not thread-safe.

    What is committed depends on the samples alone, not on how they are cut into chunks, unless
    `keep_up` leaves hops out. An error of the network loses nothing: the samples that were given
    are kept, and `feed` and `finish` go on where it broke off.
    """

    def __init__(
        self, listener: Listener, options: StreamOptions | None = None, voice: Voice | None = None
    ) -> None:
        """Without a `voice`, everything is taken for speech."""
        self._options = (options or StreamOptions()).validate()
        self._listener, self._voice = listener, voice
        self._hop = _whole_frames(self._options.hop_s)
        self._lead = _whole_frames(self._options.lead_s)
        self._buffer = np.zeros(_whole_frames(self._options.window_s), np.float32)
        self._start = 0  # of the window, which the buffer holds from here to `_received`
        self._received = 0
        self._unread = np.zeros(0, np.float32)  # given, but the network failed before their turn
        self._next = self._hop  # when the window is heard again
        self._settled = 0  # speech before is committed, to its last word
        self._said: list[Word] = []  # committed words of the window
        self._news: list[Word] = []  # committed, but in no update yet
        self._tentative: list[Word] = []
        self._hypothesis: Hypothesis | None = None  # the window as it was heard last
        self._segments: list[Segment] = []  # committed; their words alone are up to date
        self._transcript: Transcript | None = None
        self._busy_s = 0.0

    def feed(self, pcm: npt.ArrayLike) -> Update:
        """Add mono 16 kHz samples (n,), any number: float32 in about -1..1, or int16.

        Raises `AudioError` for what is no such array, and after `finish`; what the network raises
        comes through. The samples are taken all the same: do not feed them again.
        """
        if self._transcript is not None:
            raise AudioError(
                "stream_finished", "expected no samples after finish(): open another stream"
            )
        self._read(np.concatenate([self._unread, from_array(pcm)]))
        return self._update()

    def finish(self) -> Transcript:
        """Commit what is left; the transcript of all that was committed. Once: then it is kept.

        What the network raises comes through; then `committed` is what there is, and `finish` may
        be tried again.
        """
        if self._transcript is None:
            self._read(self._unread)
            start_s = time.perf_counter()
            if self._speech_end > self._settled and self._n_samples >= HOP_LENGTH:
                self._hear(is_last=True)
            self._busy_s += time.perf_counter() - start_s
            self._transcript = self.committed()
        return self._transcript

    def committed(self) -> Transcript:
        """The transcript of all that was committed so far."""
        segments = tuple(self._finished(segment) for segment in self._segments)
        return Transcript(
            text="".join(segment.text for segment in segments),
            language=self._listener.language.code,
            language_probabilities=self._listener.language.probabilities,
            segments=segments,
            duration=self._received / SAMPLE_RATE,
            timings={**self._listener.clock.seconds, "total": self._busy_s},
        )

    @property
    def _n_samples(self) -> int:
        return self._received - self._start

    @property
    def _speech_end(self) -> int:
        return self._received if self._voice is None else self._voice.speech_end

    @property
    def _is_full(self) -> bool:
        return self._n_samples == len(self._buffer)

    def _read(self, samples: Waveform) -> None:
        """Take samples hop by hop. If the network fails, the rest waits, and the hop with it."""
        start_s = time.perf_counter()
        try:
            while len(samples) or self._received == self._next:
                n = min(len(samples), self._next - self._received)
                self._append(samples[:n])
                samples = samples[n:]
                if self._received == self._next:
                    self._advance(is_behind=len(samples) >= self._hop)
        finally:
            self._unread = samples.copy()
            self._busy_s += time.perf_counter() - start_s

    def _append(self, samples: Waveform) -> None:
        if self._voice is not None:
            self._voice.hear(samples)
        self._buffer[self._n_samples : self._n_samples + len(samples)] = samples
        self._received += len(samples)

    def _advance(self, is_behind: bool) -> None:
        """A hop is complete, or the window is full."""
        if self._speech_end <= self._settled:
            self._rest()
        elif self._is_full or not (is_behind and self._options.keep_up):
            self._hear()
        self._next = min(self._received + self._hop, self._start + len(self._buffer))

    def _rest(self) -> None:
        """Nobody spoke since everything was committed: forget the window after a while."""
        silence_ms = (self._received - self._speech_end) / SAMPLE_RATE * 1000
        is_parted = silence_ms >= self._options.speech.min_silence_duration_ms
        if self._said and not is_parted and not self._is_full:
            return
        if self._hypothesis is not None:
            self._listener.remember([*self._hypothesis.closed, *self._hypothesis.open])
        self._hypothesis, self._said = None, []
        self._move_to(max(self._start, self._settled, self._received - self._lead))

    def _hear(self, is_last: bool = False) -> None:
        """Hear the window and commit what two hearings agree on, or all that a pause ends."""
        silence_s = (self._received - self._speech_end) / SAMPLE_RATE
        hypothesis = self._listener.hear(
            self._buffer[: self._n_samples].copy(), self._start // HOP_LENGTH
        )
        words = hypothesis.words
        n_said = covered(self._said, words)
        news = words[n_said:]
        if is_last or silence_s >= self._options.pause_s:
            n_new, self._settled = len(news), self._speech_end
        else:
            n_new = agreed(self._tentative, news)
        if self._is_full:
            n_new = max(n_new, hypothesis.n_closed - n_said)
        self._commit(hypothesis, n_said, n_said + n_new)
        self._tentative = news[n_new:]
        self._hypothesis = hypothesis
        if self._is_full and not is_last:
            self._close(hypothesis)

    def _commit(self, hypothesis: Hypothesis, first: int, end: int) -> None:
        """Keep words first..end of a hypothesis; none begins before the one before it has ended."""
        committed: list[Word] = []
        n = 0
        for segment in (*hypothesis.closed, *hypothesis.open):
            for i, word in enumerate(segment.words):
                if first <= n < end:
                    committed.append(self._keep(segment, word, opens=i == 0))
                n += 1
        self._said += committed
        self._news += committed

    def _keep(self, segment: Segment, word: Word, opens: bool) -> Word:
        """Add a word to the transcript, in a new segment if it opens one."""
        last = self._segments[-1] if self._segments else None
        start = max(word.start, last.words[-1].end) if last else word.start
        word = replace(word, start=start, end=max(start, word.end))
        if last is None or opens:
            kept = replace(segment, id=len(self._segments), words=(word,))
            self._segments.append(kept)
        else:
            self._segments[-1] = replace(last, words=(*last.words, word))
        return word

    def _close(self, hypothesis: Hypothesis) -> None:
        """The window is full: its closed segments are over, the rest is heard again."""
        closed = hypothesis.words[: hypothesis.n_closed]
        rest = self._said[covered(closed, self._said) :]
        end_s = hypothesis.seek / FRAMES_PER_SECOND
        self._said = [word for word in rest if word.end > end_s]
        self._listener.remember(hypothesis.closed)
        self._hypothesis = None
        self._move_to(hypothesis.seek * HOP_LENGTH)

    def _move_to(self, start: int) -> None:
        """Begin the window at `start`, or at the first whole frame after."""
        start = -(-start // HOP_LENGTH) * HOP_LENGTH
        rest = self._buffer[start - self._start : self._n_samples].copy()
        self._buffer[: len(rest)] = rest
        self._start = start

    def _update(self) -> Update:
        received_s, lag_s = self._received / SAMPLE_RATE, 0.0
        committed, self._news = tuple(self._news), []
        if self._speech_end > self._settled:
            last_word_s = self._said[-1].end if self._said else 0.0
            lag_s = received_s - max(last_word_s, max(self._start, self._settled) / SAMPLE_RATE)
        return Update(
            committed=committed,
            tentative="".join(word.word for word in self._tentative),
            received_s=received_s,
            lag_s=lag_s,
            real_time_factor=self._busy_s / received_s if received_s else 0.0,
        )

    def _finished(self, segment: Segment) -> Segment:
        """A committed segment, its text, tokens and times those of its words."""
        text = "".join(word.word for word in segment.words)
        start, end = segment.words[0].start, segment.words[-1].end
        tokens = self._listener.tokens(text)
        return replace(segment, start=start, end=end, text=text, tokens=tokens)


def _whole_frames(seconds: float) -> int:
    """Samples of the whole mel frames in so many seconds: windows begin with a frame."""
    return round(seconds * FRAMES_PER_SECOND) * HOP_LENGTH
