"""Live transcription: samples in, words out as soon as two successive hypotheses agree on them.

The window is transcribed again with every hop of new audio. Words at its beginning that are the
same in two successive hypotheses are committed and final; the others are tentative, and so is a
word that has only just ended, because more of it may follow. A pause commits all words before it. A
full window moves to the end of its last closed segment, as in the sequential mode, so the committed
text equals that of the whole recording. Silence is not decoded. Samples are counted from the
stream's start. Knows no network.
"""

import threading
import time
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from maxwhisper.audio.arrays import LiveSamples
from maxwhisper.audio.waveform import Waveform
from maxwhisper.errors import AudioError
from maxwhisper.network.dims import FRAMES_PER_SECOND, HOP_LENGTH, SAMPLE_RATE
from maxwhisper.options import StreamOptions
from maxwhisper.transcribe.agreement import agreed, covered, unfinished
from maxwhisper.transcribe.live_window import Hypothesis, WindowTranscriber
from maxwhisper.transcript import Segment, Transcript, Word

AGREE_S = 0.7  # two hypotheses closer than that share their errors
EDGE_S = 0.2  # a word that ended this recently may be a part of a longer one: "sing", "singing"


class Voice(Protocol):
    """Detects where speech last ended. `vad.VoiceMonitor`, or a script in tests."""

    speech_end: int  # sample after the last speech; 0 if there was none

    def hear(self, samples: Waveform) -> object: ...


@dataclass(frozen=True)
class Update:
    """The result of new samples.

    `committed` are the new final words. `tentative` is the text after all committed words; it may
    still change, and ends without a full stop while speech goes on. `lag_s` is the audio received
    since the last committed word; 0 if nothing is left to commit. `real_time_factor` is computing
    time over audio for the whole stream: above 1 the stream falls behind.
    """

    committed: tuple[Word, ...]
    tentative: str
    received_s: float
    lag_s: float
    real_time_factor: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Stream:
    """Transcribes a recording in progress. Keeps 30 s of samples and the text.

    Committed words depend on the samples only, not on how they are cut into chunks, unless
    `keep_up` skips hops. If the network fails, nothing is lost: samples are kept, and the next call
    of `feed` or `finish` continues where it failed.
    """

    def __init__(
        self,
        transcriber: WindowTranscriber,
        options: StreamOptions | None = None,
        voice: Voice | None = None,
    ) -> None:
        """Without a `voice`, all audio counts as speech."""
        self._options = (options or StreamOptions()).validate()
        self._transcriber, self._voice = transcriber, voice
        self._hop = _whole_frames(self._options.hop_s)
        self._lead = _whole_frames(self._options.lead_s)
        self._buffer = np.zeros(_whole_frames(self._options.window_s), np.float32)
        self._start = 0  # of the window, which the buffer holds from here to `_received`
        self._received = 0
        self._unread = np.zeros(0, np.float32)  # not processed yet, because the network failed
        self._next = self._hop  # when the window is transcribed again
        self._settled = 0  # speech before this sample is committed
        self._committed: list[Word] = []  # in the window
        self._unreported: list[Word] = []  # committed, but not in an update yet
        self._tentative: list[Word] = []
        self._n_committed = 0  # in the whole stream
        self._heard: list[tuple[int, int, list[Word]]] = []  # end, words committed before, words
        self._hypothesis: Hypothesis | None = None  # the last one of this window
        self._segments: list[Segment] = []  # committed; only their words are up to date
        self._transcript: Transcript | None = None
        self._samples = LiveSamples()
        self._lock = threading.RLock()  # one call at a time
        self._busy_s = 0.0

    def __repr__(self) -> str:
        seconds = self._received / SAMPLE_RATE
        return f"<Stream of {seconds:.1f} s so far, {len(self._segments)} segments>"

    def feed(self, samples: npt.ArrayLike, sample_rate: int = SAMPLE_RATE) -> Update:
        """Add any number of samples at `sample_rate`: an array as in `audio.arrays.from_array`, or
        bytes of little-endian int16 mono, cut anywhere.

        Raises `AudioError` for anything else, and after `finish`. Errors of the network are passed
        on; the samples are kept even then, so do not feed them again.
        """
        with self._lock:
            if self._transcript is not None:
                raise AudioError(
                    "stream_finished", "expected no samples after finish(): open another stream"
                )
            self._read(np.concatenate([self._unread, self._samples.add(samples, sample_rate)]))
            return self._update()

    def finish(self) -> Transcript:
        """Commit all remaining words and return the transcript. Later calls return the same one.

        Errors of the network are passed on. `committed` then returns the transcript so far, and
        `finish` can be called again.
        """
        with self._lock:
            if self._transcript is None:
                self._read(np.concatenate([self._unread, self._samples.finish()]))
                start_s = time.perf_counter()
                if self._speech_end > self._settled and self._n_samples >= HOP_LENGTH:
                    self._transcribe(is_last=True)
                self._busy_s += time.perf_counter() - start_s
                self._transcript = self.committed()
            return self._transcript

    def committed(self) -> Transcript:
        """The transcript of all words committed so far."""
        with self._lock:
            return self._so_far()

    def _so_far(self) -> Transcript:
        segments = tuple(self._finished(segment) for segment in self._segments)
        return Transcript(
            text="".join(segment.text for segment in segments),
            language=self._transcriber.language.code,
            language_probabilities=self._transcriber.language.probabilities,
            segments=segments,
            duration=self._received / SAMPLE_RATE,
            timings={**self._transcriber.clock.seconds, "total": self._busy_s},
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
        """Process samples hop by hop. If the network fails, keep the rest and repeat the hop."""
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
        """Process a complete hop, or a full window."""
        if self._speech_end <= self._settled:
            self._skip_silence()
        elif self._is_full or not (is_behind and self._options.keep_up):
            self._transcribe()
        self._next = min(self._received + self._hop, self._start + len(self._buffer))

    def _skip_silence(self) -> None:
        """Empty the window once it holds no uncommitted speech and the pause is long enough."""
        silence_ms = (self._received - self._speech_end) / SAMPLE_RATE * 1000
        is_long_pause = silence_ms >= self._options.speech.min_silence_duration_ms
        if self._committed and not is_long_pause and not self._is_full:
            return
        if self._hypothesis is not None:
            self._transcriber.remember([*self._hypothesis.closed, *self._hypothesis.open])
        self._hypothesis, self._committed = None, []
        self._move_to(max(self._start, self._settled, self._received - self._lead))

    def _transcribe(self, is_last: bool = False) -> None:
        """Transcribe the window; commit words two hypotheses agree on, or all before a pause."""
        silence_s = (self._received - self._speech_end) / SAMPLE_RATE
        hypothesis = self._transcriber.transcribe(
            self._buffer[: self._n_samples].copy(), self._start // HOP_LENGTH
        )
        words = hypothesis.words
        n_old = covered(self._committed, words)
        new = words[n_old:]
        if is_last or silence_s >= self._options.pause_s:
            n_new, self._settled = len(new), self._speech_end
        else:
            n_new = self._n_final(new)
        if self._is_full:
            n_new = max(n_new, hypothesis.n_closed - n_old)
        self._commit(hypothesis, n_old, n_old + n_new)
        self._tentative = new[n_new:]
        self._hypothesis = hypothesis
        if self._is_full and not is_last:
            self._close(hypothesis)

    def _n_final(self, new: list[Word]) -> int:
        """Number of words at the beginning on which two hypotheses agree and which are complete.
        The end of the audio looks like that of a sentence, so a full stop must be `pause_s` old.
        """
        n_final = agreed(self._heard_before(), new)
        self._heard.append((self._received, self._n_committed, new))
        for word in reversed(new[:n_final]):
            ends_sentence = unfinished(word.word) != word.word
            age_s = self._received / SAMPLE_RATE - word.end
            if age_s >= (self._options.pause_s if ends_sentence else EDGE_S):
                break
            n_final -= 1
        return n_final

    def _heard_before(self) -> list[Word]:
        """The words not committed yet of the last hypothesis that is `AGREE_S` old; none if there
        is no such hypothesis."""
        latest = self._received - round(AGREE_S * SAMPLE_RATE)
        while len(self._heard) > 1 and self._heard[1][0] <= latest:
            del self._heard[0]
        if not self._heard or self._heard[0][0] > latest:
            return []
        _, n_before, words = self._heard[0]
        return words[self._n_committed - n_before :]

    def _commit(self, hypothesis: Hypothesis, first: int, end: int) -> None:
        """Commit words first..end of a hypothesis. No word begins before the previous one ends."""
        committed: list[Word] = []
        n = 0
        for segment in (*hypothesis.closed, *hypothesis.open):
            for i, word in enumerate(segment.words):
                if first <= n < end:
                    committed.append(self._keep(segment, word, opens=i == 0))
                n += 1
        self._n_committed += len(committed)
        self._committed += committed
        self._unreported += committed

    def _keep(self, segment: Segment, word: Word, opens: bool) -> Word:
        """Add a word to the transcript, in a new segment if `opens` is True."""
        last = self._segments[-1] if self._segments else None
        start = max(word.start, last.words[-1].end) if last else word.start
        word = replace(word, start=start, end=max(start, word.end))
        if last is None or opens:
            self._segments.append(replace(segment, id=len(self._segments), words=(word,)))
        else:
            self._segments[-1] = replace(last, words=(*last.words, word))
        return word

    def _close(self, hypothesis: Hypothesis) -> None:
        """Move a full window past its closed segments; the rest is transcribed again."""
        closed = hypothesis.words[: hypothesis.n_closed]
        rest = self._committed[covered(closed, self._committed) :]
        end_s = hypothesis.seek / FRAMES_PER_SECOND
        self._committed = [word for word in rest if word.end > end_s]
        self._transcriber.remember(hypothesis.closed)
        self._hypothesis = None
        self._move_to(hypothesis.seek * HOP_LENGTH)

    def _move_to(self, start: int) -> None:
        """Begin the window at `start`, rounded up to a whole frame."""
        start = -(-start // HOP_LENGTH) * HOP_LENGTH
        rest = self._buffer[start - self._start : self._n_samples].copy()
        self._buffer[: len(rest)] = rest
        self._start = start

    def _update(self) -> Update:
        received_s, lag_s = self._received / SAMPLE_RATE, 0.0
        committed, self._unreported = tuple(self._unreported), []
        if self._speech_end > self._settled:
            last_word_s = self._committed[-1].end if self._committed else 0.0
            lag_s = received_s - max(last_word_s, max(self._start, self._settled) / SAMPLE_RATE)
        return Update(
            committed=committed,
            tentative=unfinished("".join(word.word for word in self._tentative)),
            received_s=received_s,
            lag_s=lag_s,
            real_time_factor=self._busy_s / received_s if received_s else 0.0,
        )

    def _finished(self, segment: Segment) -> Segment:
        """A committed segment with the text, tokens and times of its words."""
        text = "".join(word.word for word in segment.words)
        start, end = segment.words[0].start, segment.words[-1].end
        tokens = self._transcriber.tokens(text)
        return replace(segment, start=start, end=end, text=text, tokens=tokens)


def _whole_frames(seconds: float) -> int:
    """`seconds` in samples, rounded to whole mel frames: windows begin with a frame."""
    return round(seconds * FRAMES_PER_SECOND) * HOP_LENGTH
