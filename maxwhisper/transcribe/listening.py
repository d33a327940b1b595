"""Hearing the window of a live stream: from its samples to all words in it, finished or not.

In: a network and up to 30 s of samples. Out: a `Hypothesis`, in the stream's time. Owns the prompt
and the language. Does not know which words were heard before: that is `stream`'s. Never sees a
logit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from maxwhisper.checkpoint.schema import Heads
from maxwhisper.clock import StageClock
from maxwhisper.decoding.language import SpokenLanguage, detect_language
from maxwhisper.decoding.protocols import Network
from maxwhisper.decoding.window import WindowResult, decode_windows
from maxwhisper.dims import FRAMES_PER_SECOND, HOP_LENGTH, N_FFT, TIME_PRECISION_S
from maxwhisper.engine import Waveform
from maxwhisper.errors import OptionError
from maxwhisper.languages import spoken_language
from maxwhisper.options import TranscribeOptions
from maxwhisper.tokenizer import Tokenizer, get_tokenizer
from maxwhisper.transcribe.history import History, new_history
from maxwhisper.transcribe.segments import Window, window_segments, without_empty
from maxwhisper.transcribe.sequential import padded_window, with_words
from maxwhisper.transcribe.silence import is_silence
from maxwhisper.transcribe.word_times import last_word_end
from maxwhisper.transcript import Segment, Word

# They choose parts of a recording, or judge silences and languages once all of it is there.
UNSUPPORTED = {
    "clip_timestamps",
    "hallucination_silence_threshold",
    "language_detection_segments",
    "language_detection_threshold",
}


@dataclass(frozen=True)
class Hypothesis:
    """All that is heard in a window. `seek` is the mel frame to read on from when it is full."""

    closed: tuple[Segment, ...]  # their ends were heard
    open: tuple[Segment, ...]  # one at most: its end was not heard, it is read again from `seek`
    seek: int

    @property
    def words(self) -> list[Word]:
        return [word for segment in (*self.closed, *self.open) for word in segment.words]

    @property
    def n_closed(self) -> int:
        """Words in closed segments."""
        return sum(len(segment.words) for segment in self.closed)


class Listener(Protocol):
    """Hears windows of a stream; `NetworkListener`, or a script in tests."""

    clock: StageClock

    @property
    def language(self) -> SpokenLanguage: ...

    def hear(self, waveform: Waveform, seek: int) -> Hypothesis:
        """Words in samples (n,), at most 30 s, that begin at mel frame `seek` of the stream."""
        ...

    def remember(self, segments: Sequence[Segment]) -> None:
        """These are over and will not be heard again: they prompt the windows to come."""
        ...

    def tokens(self, text: str) -> tuple[int, ...]: ...


def check_options(options: TranscribeOptions, heads: Heads) -> None:
    """Raise `OptionError` for what live transcription does not do.

    `word_timestamps` may be either: words have their times here in any case.
    """
    options.validate()
    options.require_supported("live transcription", set(options.to_dict()) - UNSUPPORTED)
    if not heads:
        raise OptionError("live transcription needs alignment heads: pass the checkpoint's")


@dataclass
class NetworkListener:
    """Hears with a network. A language that is not given is detected anew until the first text is
    remembered: by then up to 30 s were heard."""

    network: Network
    options: TranscribeOptions
    heads: Heads
    clock: StageClock = field(default_factory=StageClock)

    def __post_init__(self) -> None:
        check_options(self.options, self.heads)
        dims, task = self.network.dims, self.options.task
        code = spoken_language(dims, self.options.language, task)
        self._knows_language = code is not None
        self.language = SpokenLanguage(code or "en", {})
        self._tokenizer = get_tokenizer(dims, language=code, task=task)
        self._history: History = new_history(self._tokenizer, self.options, dims)
        self._random = np.random.default_rng(self.options.seed)
        self._last_speech_s = 0.0  # end of the last word remembered

    def hear(self, waveform: Waveform, seek: int) -> Hypothesis:
        window = Window(seek, len(waveform) // HOP_LENGTH)
        with self.clock.stage("mel"):  # zeros after the end, where more will follow
            mel = self.network.log_mel(waveform, padding=N_FFT)
        with self.clock.stage("encoder"):
            encoded = self.network.encode(padded_window(mel, Window(0, window.size))[None])
        if not self._knows_language:
            self._detect_language(encoded)
        (result,) = decode_windows(
            self.network,
            encoded,
            1,
            self._tokenizer,
            self.options,
            self._history.prompt(),
            self._random,
            self.clock,
        )
        if is_silence(result, self.options):
            return Hypothesis((), (), window.end)
        closed, seek = window_segments(result, window, self._tokenizer, first_id=0)
        seek = min(seek, window.end)  # a text may be said to end in the padding after the window
        unclosed = open_segment(result, closed, window, self._tokenizer)
        segments = self._with_words(without_empty([*closed, *unclosed]), encoded, window)
        if seek <= window.seek:  # no progress: as in the sequential mode
            return Hypothesis(tuple(segments), (), window.end)
        return Hypothesis(tuple(segments[: len(closed)]), tuple(segments[len(closed) :]), seek)

    def remember(self, segments: Sequence[Segment]) -> None:
        if not segments:
            return
        self._knows_language = True
        self._history.add(segments)
        if (
            not self.options.condition_on_previous_text
            or segments[-1].temperature > self.options.prompt_reset_on_temperature
        ):
            self._history.reset()
        self._last_speech_s = last_word_end(segments) or self._last_speech_s

    def tokens(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text))

    def _detect_language(self, encoded: Any) -> None:
        with self.clock.stage("language"):
            self.language = detect_language(self.network, encoded, self._tokenizer)
        self._tokenizer = get_tokenizer(
            self.network.dims, language=self.language.code, task=self.options.task
        )

    def _with_words(self, segments: list[Segment], encoded: Any, window: Window) -> list[Segment]:
        with self.clock.stage("words"):
            return with_words(
                self.network,
                encoded,
                segments,
                window,
                self._last_speech_s,
                self._tokenizer,
                self.options,
                self.heads,
            )


def open_segment(
    result: WindowResult, closed: Sequence[Segment], window: Window, tokenizer: Tokenizer
) -> list[Segment]:
    """What follows the closed segments of a window, up to its end; nothing if nothing does.

    It begins with a timestamp: only a pair of them leaves something unclosed.
    """
    tokens = result.tokens[sum(len(segment.tokens) for segment in closed) :]
    text = tokenizer.decode([token for token in tokens if token < tokenizer.eot])
    if not text.strip():
        return []
    start_s = window.start_s + (tokens[0] - tokenizer.timestamp_begin) * TIME_PRECISION_S
    end_s = window.end / FRAMES_PER_SECOND
    last = closed[-1]
    return [replace(last, id=last.id + 1, start=start_s, end=end_s, text=text, tokens=tokens)]
