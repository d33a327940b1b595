"""Long form as openai-whisper does it: window after window, each seeking from the last timestamp.

In: a network and a waveform of any length. Out: a `Transcript`. Never sees a logit. Source:
openai/whisper transcribe.py:38-515.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maxwhisper.checkpoint.schema import Heads
from maxwhisper.clock import StageClock
from maxwhisper.decoding.alignment import align_words
from maxwhisper.decoding.language import SpokenLanguage, vote
from maxwhisper.decoding.protocols import Float32, LogMelFrames, Network
from maxwhisper.decoding.window import WindowResult, decode_windows
from maxwhisper.dims import FRAMES_PER_SECOND, N_FRAMES, N_SAMPLES, SAMPLE_RATE
from maxwhisper.engine import OnSegment, Waveform
from maxwhisper.errors import OptionError
from maxwhisper.languages import spoken_language
from maxwhisper.options import TranscribeOptions
from maxwhisper.tokenizer import Tokenizer, get_tokenizer
from maxwhisper.transcribe.clips import seek_clips
from maxwhisper.transcribe.history import History, new_history
from maxwhisper.transcribe.segments import (
    Window,
    ends_in_single_timestamp,
    window_segments,
    without_empty,
)
from maxwhisper.transcribe.silence import (
    drop_hallucinations,
    is_silence,
    seek_after_words,
    seek_past_leading_silence,
)
from maxwhisper.transcribe.word_times import add_word_times, last_word_end, text_tokens
from maxwhisper.transcript import Segment, Transcript

# Options that say how words get their times; without words there is nothing for them to do.
OF_WORDS = ("prepend_punctuations", "append_punctuations", "hallucination_silence_threshold")

SUPPORTED = frozenset(TranscribeOptions().to_dict())


def check_options(options: TranscribeOptions) -> None:
    """Raise `OptionError` for impossible values, and for options that nothing would come of."""
    options.validate()
    if not options.word_timestamps:
        options.require_supported("without word_timestamps, maxwhisper", SUPPORTED - set(OF_WORDS))
    elif options.task == "translate":
        warnings.warn("word times of a translation may be wrong", stacklevel=3)


@dataclass
class Reading:
    """A recording being read: what was heard so far, and how to hear the next window."""

    network: Network
    mel: LogMelFrames
    tokenizer: Tokenizer
    options: TranscribeOptions
    heads: Heads
    content_frames: int
    history: History
    clock: StageClock
    segments: list[Segment] = field(default_factory=list)
    last_speech_s: float = 0.0  # end of the last word

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.options.seed)

    def read(self, window: Window) -> tuple[list[Segment], int]:
        """Decode a window: its segments, now part of the reading, and the frame to read on from."""
        options, threshold_s = self.options, self.options.hallucination_silence_threshold
        with self.clock.stage("encoder"):
            encoded = self.network.encode(padded_window(self.mel, window)[None])
        prompt = self.history.prompt()
        (result,) = decode_windows(
            self.network, encoded, 1, self.tokenizer, options, prompt, self._random, self.clock
        )
        if is_silence(result, options):
            return [], window.end
        found, seek = window_segments(result, window, self.tokenizer, len(self.segments))
        if options.word_timestamps:
            with self.clock.stage("words"):
                found = with_words(
                    self.network,
                    encoded,
                    found,
                    window,
                    self.last_speech_s,
                    self.tokenizer,
                    options,
                    self.heads,
                )
            if not ends_in_single_timestamp(result.tokens, self.tokenizer):
                seek = seek_after_words(found, window, seek, threshold_s)
            if threshold_s is not None:
                again = seek_past_leading_silence(found, window, threshold_s)
                if again is not None:
                    return [], again
                found, seek = drop_hallucinations(
                    found, window, seek, self.last_speech_s, self.content_frames, threshold_s
                )
            end_s = last_word_end(found)
            self.last_speech_s = self.last_speech_s if end_s is None else end_s
        found = without_empty(found)
        self._keep(found, result)
        return found, seek

    def _keep(self, segments: list[Segment], result: WindowResult) -> None:
        self.segments.extend(segments)
        self.history.add(segments)
        if (
            not self.options.condition_on_previous_text
            or result.temperature > self.options.prompt_reset_on_temperature
        ):
            self.history.reset()


def transcribe(
    network: Network,
    waveform: Waveform,
    options: TranscribeOptions,
    on_segment: OnSegment | None = None,
    heads: Heads = (),
    speech_start_s: float = 0.0,
) -> Transcript:
    """Transcribe float32 mono 16 kHz samples (n,), window by window.

    `heads` are the checkpoint's alignment heads; word times need them. The language is listened for
    from `speech_start_s` on, by default from the beginning, as in the reference.
    """
    check_options(options)
    if options.word_timestamps and not heads:
        raise OptionError("word_timestamps needs alignment heads: pass the checkpoint's")
    clock = StageClock()
    with clock.stage("mel"):
        mel = network.log_mel(waveform, padding=N_SAMPLES)
    content_frames = len(mel) - N_FRAMES
    language = choose_language(network, from_speech(mel, speech_start_s, options), options, clock)
    tokenizer = get_tokenizer(network.dims, language=language.code, task=options.task)
    history = new_history(tokenizer, options, network.dims)
    reading = Reading(network, mel, tokenizer, options, heads, content_frames, history, clock)
    for clip in seek_clips(options.clip_timestamps, content_frames):
        seek = clip.start
        while seek < clip.end:
            window = Window(seek, min(N_FRAMES, clip.end - seek))
            found, seek = reading.read(window)
            if seek <= window.seek:  # possible after word times; the reference never ends then
                seek = window.end
            for segment in found if on_segment else ():
                on_segment(segment)  # type: ignore[misc]
    return Transcript(
        text=tokenizer.decode(history.said()),
        language=language.code,
        language_probabilities=language.probabilities,
        segments=tuple(reading.segments),
        duration=len(waveform) / SAMPLE_RATE,
        timings=clock.seconds,
    )


def from_speech(mel: LogMelFrames, start_s: float, options: TranscribeOptions) -> LogMelFrames:
    """The frames that a vote on the language may look at, from `start_s` on, and 30 s more."""
    start = round(start_s * FRAMES_PER_SECOND)
    return mel[start : start + (options.language_detection_segments + 1) * N_FRAMES]


def with_words(
    network: Network,
    encoded: Any,
    segments: Sequence[Segment],
    window: Window,
    last_speech_s: float,
    tokenizer: Tokenizer,
    options: TranscribeOptions,
    heads: Heads,
) -> list[Segment]:
    """The segments of one encoded window with their words; see `add_word_times`."""
    text = text_tokens(segments, tokenizer)
    (words,) = align_words(network, encoded, tokenizer, [text], [window.size], heads)
    return add_word_times(segments, words, last_speech_s, tokenizer, options)


def choose_language(
    network: Network, mel: LogMelFrames, options: TranscribeOptions, clock: StageClock
) -> SpokenLanguage:
    """The language asked for, English for an English-only network, or the one heard in `mel`,
    which ends in 30 s of silence.

    Raises `OptionError` for a language or a task that the network was not trained for.
    """
    code = spoken_language(network.dims, options.language, options.task)
    if code is not None:
        return SpokenLanguage(code, {})
    with clock.stage("language"):
        return vote(
            network,
            mel,
            get_tokenizer(network.dims),
            options.language_detection_segments,
            options.language_detection_threshold,
        )


def padded_window(mel: LogMelFrames, window: Window) -> Float32:
    """(T, M) -> (3000, M): the window, then zeros.

    Zero in the normalised domain is louder than silence; that is what the reference feeds
    (transcribe.py:283-286), although its language detection sees true silence (:151).
    """
    content = mel[window.seek : window.seek + window.size]
    padded = np.zeros((N_FRAMES, content.shape[1]), np.float32)
    padded[: window.size] = content
    return padded
