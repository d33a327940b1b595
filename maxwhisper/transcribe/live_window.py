"""Transcribe the window of a live stream: from its samples to all words in it, finished or not.

In: a network and up to 30 s of samples. Out: a `Hypothesis` in the stream's time. Owns the prompt
and the language. Does not know earlier hypotheses: `stream` compares them. Never sees a logit.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

from maxwhisper.audio.waveform import Waveform
from maxwhisper.clock import StageClock
from maxwhisper.decoding.language import SpokenLanguage, detect_language
from maxwhisper.decoding.protocols import Network
from maxwhisper.decoding.window import WindowDecoder, WindowResult
from maxwhisper.errors import OptionError
from maxwhisper.network.dims import FRAMES_PER_SECOND, HOP_LENGTH, N_FFT, TIME_PRECISION_S
from maxwhisper.options import LIVE, TranscribeOptions
from maxwhisper.text.languages import spoken_language
from maxwhisper.text.tokenizer import Tokenizer, get_tokenizer
from maxwhisper.transcribe.history import new_history
from maxwhisper.transcribe.segments import Window, window_segments, without_empty
from maxwhisper.transcribe.sequential import padded_window
from maxwhisper.transcribe.word_times import last_word_end, with_words
from maxwhisper.transcript import Segment, Word


@dataclass(frozen=True)
class Hypothesis:
    """The transcript of a window. `seek` is the mel frame to continue at when the window is full.

    `closed` segments are complete. `open` has at most one segment: its end is not in the window, so
    it is decoded again from `seek`.
    """

    closed: tuple[Segment, ...]
    open: tuple[Segment, ...]
    seek: int

    @property
    def words(self) -> list[Word]:
        return [word for segment in (*self.closed, *self.open) for word in segment.words]

    @property
    def n_closed(self) -> int:
        """Words in closed segments."""
        return sum(len(segment.words) for segment in self.closed)


class WindowTranscriber(Protocol):
    """Transcribes windows of a stream. `LiveWindowTranscriber`, or a fake in tests."""

    clock: StageClock

    @property
    def language(self) -> SpokenLanguage: ...

    def transcribe(self, waveform: Waveform, seek: int) -> Hypothesis:
        """Transcribe samples (n,), at most 30 s, that begin at mel frame `seek` of the stream."""
        ...

    def remember(self, segments: Sequence[Segment]) -> None:
        """Add segments that will not be decoded again: they prompt later windows."""
        ...

    def tokens(self, text: str) -> tuple[int, ...]: ...


def check_options(options: TranscribeOptions, network: Network) -> None:
    """Raise `OptionError` for what live transcription does not support.

    `word_timestamps` may have any value: live words always have times.
    """
    options.validate()
    options.require_supported(LIVE)
    if not network.alignment_heads:
        raise OptionError("live transcription needs alignment heads, and this checkpoint has none")


class LiveWindowTranscriber:
    """Transcribes windows with a network. Implements `WindowTranscriber`.

    A language that is not given is detected in every window until the first text is remembered: by
    then up to 30 s have been transcribed.
    """

    def __init__(
        self,
        network: Network,
        options: TranscribeOptions,
        turn: Callable[[StageClock], AbstractContextManager[None]] | None = None,
    ) -> None:
        """`turn` waits until the network is free: see `scheduling.FairLock`."""
        check_options(options, network)
        self._turn = turn or (lambda _: nullcontext())
        code = spoken_language(network.dims, options.language, options.task)
        tokenizer = get_tokenizer(network.dims, language=code, task=options.task)
        self.clock = StageClock()
        self.language = SpokenLanguage(code or "en", {})
        self._knows_language = code is not None
        self._decoder = WindowDecoder(network, tokenizer, options, self.clock)
        self._history = new_history(tokenizer, options, network.dims)
        self._last_speech_s = 0.0  # end of the last word remembered

    def transcribe(self, waveform: Waveform, seek: int) -> Hypothesis:
        """Words in samples (n,), at most 30 s, that begin at mel frame `seek` of the stream."""
        with self._turn(self.clock):
            return self._transcribe(waveform, Window(seek, len(waveform) // HOP_LENGTH))

    def _transcribe(self, waveform: Waveform, window: Window) -> Hypothesis:
        encoded = self._encode(waveform, window)
        if not self._knows_language:
            self._detect_language(encoded)
        decoder = self._decoder
        (result,) = decoder.decode(encoded, 1, self._history.prompt())
        if result.quality.is_silence(decoder.options):
            return Hypothesis((), (), window.end)
        closed, seek = window_segments(result, window, decoder.tokenizer, first_id=0)
        seek = min(seek, window.end)  # a timestamp can be in the padding after the window
        unclosed = open_segment(result, closed, window, decoder.tokenizer)
        segments = without_empty([*closed, *unclosed])
        segments = with_words(decoder, encoded, segments, window, self._last_speech_s)
        if seek <= window.seek:  # no progress: as in the sequential mode
            return Hypothesis(tuple(segments), (), window.end)
        return Hypothesis(tuple(segments[: len(closed)]), tuple(segments[len(closed) :]), seek)

    def remember(self, segments: Sequence[Segment]) -> None:
        """Add segments that will not be decoded again: they prompt later windows."""
        if not segments:
            return
        self._knows_language = True
        self._history.add(segments, segments[-1].temperature)
        self._last_speech_s = last_word_end(segments) or self._last_speech_s

    def tokens(self, text: str) -> tuple[int, ...]:
        return tuple(self._decoder.tokenizer.encode(text))

    def _encode(self, waveform: Waveform, window: Window) -> Any:
        network = self._decoder.network
        with self.clock.stage("mel"):  # zeros after the end, where more samples will follow
            mel = network.log_mel(waveform, padding=N_FFT)
        with self.clock.stage("encoder"):
            return network.encode(padded_window(mel, Window(0, window.size))[None])

    def _detect_language(self, encoded: Any) -> None:
        network, task = self._decoder.network, self._decoder.options.task
        with self.clock.stage("language"):
            self.language = detect_language(network, encoded, self._decoder.tokenizer)
        tokenizer = get_tokenizer(network.dims, language=self.language.code, task=task)
        self._decoder = self._decoder.for_tokenizer(tokenizer)


def open_segment(
    result: WindowResult, closed: Sequence[Segment], window: Window, tokenizer: Tokenizer
) -> list[Segment]:
    """The text after the closed segments of a window as a segment; an empty list if there is none.

    It begins with a timestamp, because only a pair of timestamps leaves text unclosed.
    """
    tokens = result.tokens[sum(len(segment.tokens) for segment in closed) :]
    text = tokenizer.decode([token for token in tokens if token < tokenizer.eot])
    if not text.strip():
        return []
    start_s = window.start_s + (tokens[0] - tokenizer.timestamp_begin) * TIME_PRECISION_S
    end_s = window.end / FRAMES_PER_SECOND
    last = closed[-1]
    return [replace(last, id=last.id + 1, start=start_s, end=end_s, text=text, tokens=tokens)]
