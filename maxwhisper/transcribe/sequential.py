"""Long form as openai-whisper does it: window by window, each seeking from the last timestamp.

In: a network and a waveform of any length. Out: a `Transcript`. Never sees a logit. Source:
openai/whisper transcribe.py:38-515.
"""

import warnings
from dataclasses import dataclass, field

import numpy as np

from maxwhisper.audio.waveform import Waveform
from maxwhisper.clock import StageClock
from maxwhisper.decoding.language import SpokenLanguage, vote
from maxwhisper.decoding.protocols import Float32, LogMelFrames, Network
from maxwhisper.decoding.window import WindowDecoder, WindowResult
from maxwhisper.errors import OptionError
from maxwhisper.network.dims import FRAMES_PER_SECOND, N_FRAMES, N_SAMPLES, SAMPLE_RATE
from maxwhisper.options import WORDLESS, TranscribeOptions
from maxwhisper.text.languages import spoken_language
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcribe.clips import seek_clips
from maxwhisper.transcribe.history import History, new_history
from maxwhisper.transcribe.scheduling import Step, Steps, complete, found
from maxwhisper.transcribe.segments import (
    Window,
    ends_in_single_timestamp,
    window_segments,
    without_empty,
)
from maxwhisper.transcribe.silence import (
    drop_hallucinations,
    seek_after_words,
    seek_past_leading_silence,
)
from maxwhisper.transcribe.word_times import last_word_end, with_words
from maxwhisper.transcript import OnSegment, OnText, Segment, Transcript


def check_options(options: TranscribeOptions, network: Network) -> None:
    """Raise `OptionError` for invalid values, and for options that would have no effect."""
    options.validate()
    if not options.word_timestamps:
        options.require_supported(WORDLESS)
        return
    if options.task == "translate":
        warnings.warn("word times of a translation may be wrong", stacklevel=3)
    if not network.alignment_heads:
        raise OptionError("word_timestamps needs alignment heads, and this checkpoint has none")


@dataclass
class _Reader:
    """Decodes the windows of one recording and collects their segments."""

    decoder: WindowDecoder
    mel: LogMelFrames
    content_frames: int
    history: History
    segments: list[Segment] = field(default_factory=list)
    last_speech_s: float = 0.0  # end of the last word

    def read(self, window: Window) -> tuple[list[Segment], int]:
        """Decode a window and keep its segments. Returns them and the frame to seek to."""
        decoder = self.decoder
        with decoder.clock.stage("encoder"):
            encoded = decoder.network.encode(padded_window(self.mel, window)[None])
        (result,) = decoder.decode(encoded, 1, self.history.prompt())
        if result.quality.is_silence(decoder.options):
            return [], window.end
        found, seek = window_segments(result, window, decoder.tokenizer, len(self.segments))
        if decoder.options.word_timestamps:
            found = with_words(decoder, encoded, found, window, self.last_speech_s)
            kept, seek = self._use_word_times(found, seek, window, result)
            if kept is None:
                return [], seek
            found = kept
        found = without_empty(found)
        self.segments.extend(found)
        self.history.add(found, result.quality.temperature)
        return found, seek

    def _use_word_times(
        self, found: list[Segment], seek: int, window: Window, result: WindowResult
    ) -> tuple[list[Segment] | None, int]:
        """Use word times to move the seek and to drop hallucinated segments.

        Returns None instead of segments if the window must be decoded again from the new seek.
        """
        threshold_s = self.decoder.options.hallucination_silence_threshold
        if not ends_in_single_timestamp(result.tokens, self.decoder.tokenizer):
            seek = seek_after_words(found, window, seek, threshold_s)
        if threshold_s is not None:
            again = seek_past_leading_silence(found, window, threshold_s)
            if again is not None:
                return None, again
            found, seek = drop_hallucinations(
                found, window, seek, self.last_speech_s, self.content_frames, threshold_s
            )
        end_s = last_word_end(found)
        self.last_speech_s = self.last_speech_s if end_s is None else end_s
        return found, seek


def transcribe(
    network: Network,
    waveform: Waveform,
    options: TranscribeOptions,
    on_segment: OnSegment | None = None,
    speech_start_s: float = 0.0,
) -> Transcript:
    """Transcribe float32 mono 16 kHz samples (n,), window by window.

    The language is detected from `speech_start_s` on, by default from the beginning, as in the
    reference.
    """
    report = (lambda _, segment: on_segment(segment)) if on_segment else None
    return complete(found(steps(network, waveform, options, speech_start_s)), report)


def steps(
    network: Network,
    waveform: Waveform,
    options: TranscribeOptions,
    speech_start_s: float = 0.0,
    on_text: OnText | None = None,
) -> Steps[Transcript]:
    """`transcribe` in steps: the log-mel and the language first, then window by window. `on_text`
    is called within a step, with the text so far of its window."""
    check_options(options, network)
    return _steps(network, waveform, options, speech_start_s, on_text)


def _steps(
    network: Network,
    waveform: Waveform,
    options: TranscribeOptions,
    speech_start_s: float,
    on_text: OnText | None,
) -> Steps[Transcript]:
    clock, duration_s = StageClock(), len(waveform) / SAMPLE_RATE
    with clock.stage("mel"):
        mel = network.log_mel(waveform, padding=N_SAMPLES)
    content_frames = len(mel) - N_FRAMES
    language = choose_language(network, from_speech(mel, speech_start_s, options), options, clock)
    tokenizer = get_tokenizer(network.dims, language=language.code, task=options.task)
    history = new_history(tokenizer, options, network.dims)
    decoder = WindowDecoder(network, tokenizer, options, clock, on_text=on_text)
    reader = _Reader(decoder, mel, content_frames, history)
    yield Step((), 0.0, duration_s)
    for clip in seek_clips(options.clip_timestamps, content_frames):
        seek = clip.start
        while seek < clip.end:
            window = Window(seek, min(N_FRAMES, clip.end - seek))
            segments, seek = reader.read(window)
            if seek <= window.seek:  # possible with word times; the reference then never ends
                seek = window.end
            done_s = min(seek / FRAMES_PER_SECOND, duration_s)
            yield Step([(0, segment) for segment in segments], done_s, duration_s)
    yield Step((), duration_s, duration_s)
    return Transcript(
        text=tokenizer.decode(history.text_tokens()),
        language=language.code,
        language_probabilities=language.probabilities,
        segments=tuple(reader.segments),
        duration=duration_s,
        timings=clock.seconds,
    )


def from_speech(mel: LogMelFrames, start_s: float, options: TranscribeOptions) -> LogMelFrames:
    """The frames for language detection: windows from `start_s` on, and 30 s more."""
    start = round(start_s * FRAMES_PER_SECOND)
    return mel[start : start + (options.language_detection_segments + 1) * N_FRAMES]


def choose_language(
    network: Network, mel: LogMelFrames, options: TranscribeOptions, clock: StageClock
) -> SpokenLanguage:
    """The language in `options`, English for an English-only network, or the one detected in
    `mel`, which ends with 30 s of silence.

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

    A zero of the normalised log-mel is louder than silence. The reference pads windows the same way
    (transcribe.py:283-286), although its language detection sees true silence (:151).
    """
    content = mel[window.seek : window.seek + window.size]
    padded = np.zeros((N_FRAMES, content.shape[1]), np.float32)
    padded[: window.size] = content
    return padded
