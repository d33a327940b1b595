"""Long form in batches: windows of one recording, or of many, decoded together.

In: a network and waveforms of any length. Out: a `Transcript` each. A recording is cut at pauses
into chunks. Each chunk is decoded like a recording in `sequential`, from timestamp to timestamp;
the next windows of several chunks make a batch. No window is prompted with the text before it, so
the text can differ from the sequential mode's. Never sees a logit.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from maxwhisper.audio.vad import speech_spans
from maxwhisper.audio.waveform import Waveform
from maxwhisper.clock import StageClock
from maxwhisper.decoding.protocols import LogMelFrames, Network
from maxwhisper.decoding.window import WindowDecoder, WindowResult
from maxwhisper.errors import AudioError, NumericError, SomeFailed
from maxwhisper.network.dims import FRAMES_PER_SECOND, N_FRAMES, N_SAMPLES, SAMPLE_RATE
from maxwhisper.options import (
    AT_LEAST_1,
    BATCHES,
    PAUSES,
    TranscribeOptions,
    VadOptions,
    check_value,
)
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcribe import sequential
from maxwhisper.transcribe.chunks import Chunk, Recording
from maxwhisper.transcribe.clips import Stretch, seek_clips
from maxwhisper.transcribe.history import new_history
from maxwhisper.transcribe.packing import pack, quiet_stretches, to_frames
from maxwhisper.transcribe.scheduling import Step, Steps, complete, found
from maxwhisper.transcribe.segments import Window, ends_in_single_timestamp, window_segments
from maxwhisper.transcribe.silence import seek_after_words
from maxwhisper.transcribe.word_times import add_word_times, text_tokens
from maxwhisper.transcript import OnRecordingSegment, OnText, Segment, Transcript

BATCH_SIZE = 8  # windows, as in faster-whisper's batched pipeline
LOOK_AHEAD_BATCHES = 4  # of windows that wait for others of their language


def check_options(options: TranscribeOptions, network: Network, batch_size: int) -> None:
    """Raise `OptionError` for what this mode does not support.

    `condition_on_previous_text` may have any value: no window here has a previous one.
    """
    sequential.check_options(options, network)
    options.require_supported(BATCHES)
    check_value("batch_size", batch_size, int, AT_LEAST_1)


def transcribe_batch(
    network: Network,
    waveforms: Iterable[Waveform],
    options: TranscribeOptions,
    *,
    batch_size: int = BATCH_SIZE,
    vad: VadOptions | None = PAUSES,
    on_segment: OnRecordingSegment | None = None,
) -> list[Transcript]:
    """Transcribe recordings of float32 mono 16 kHz samples (n,), `batch_size` windows at a time.

    `vad` detects speech, and only speech is transcribed. With None, everything is, cut at the
    quietest points. `initial_prompt` prompts the first window of every recording, and all windows
    with `carry_initial_prompt`. Segments of a recording are reported in order. The timings of each
    transcript are those of all recordings together. Waveforms are taken one by one, when a batch
    has room for more, and released when they are done.

    Raises `SomeFailed`, after all other recordings are transcribed, if the network returned NaN for
    some of them.
    """
    all_steps = steps(network, waveforms, options, batch_size=batch_size, vad=vad)
    return complete(found(all_steps), on_segment)


def steps(
    network: Network,
    waveforms: Iterable[Waveform],
    options: TranscribeOptions,
    *,
    batch_size: int = BATCH_SIZE,
    vad: VadOptions | None = PAUSES,
    on_text: OnText | None = None,
) -> Steps[list[Transcript]]:
    """`transcribe_batch` in steps: a batch each. `on_text` is called within a step, with the texts
    so far of all windows in the batch."""
    check_options(options, network, batch_size)
    if vad is not None:
        vad.validate()
    return _collected(_steps(_Reader(network, options, vad, on_text), iter(waveforms), batch_size))


def each_step(
    network: Network,
    waveforms: Iterable[Waveform],
    options: TranscribeOptions,
    *,
    batch_size: int = BATCH_SIZE,
    vad: VadOptions | None = PAUSES,
) -> Steps[None]:
    """`steps` for any number of recordings: each is in a step's `ended` as soon as it is done, and
    nothing of it is kept. A transcript's timings are those of all recordings until then."""
    check_options(options, network, batch_size)
    if vad is not None:
        vad.validate()
    return _steps(_Reader(network, options, vad, None), iter(waveforms), batch_size)


def _collected(steps: Steps[None]) -> Steps[list[Transcript]]:
    """The transcripts of all recordings, in order, as the result of the steps."""
    done: dict[int, Transcript] = {}
    failures: dict[int, AudioError | NumericError] = {}
    timings: dict[str, float] = {}
    with closing(steps):
        for step in steps:
            for index, outcome in step.ended:
                if isinstance(outcome, Transcript):
                    done[index], timings = outcome, outcome.timings
                else:
                    failures[index] = outcome
            yield step
    done = {index: replace(transcript, timings=timings) for index, transcript in done.items()}
    if failures:
        raise SomeFailed([done.get(i) for i in range(len(done) + len(failures))], failures)
    return [done[index] for index in range(len(done))]


def _steps(reader: "_Reader", unread: Iterator[Waveform], batch_size: int) -> Steps[None]:
    opened: dict[int, Recording] = {}
    waiting: list[Chunk] = []
    n_read, ended_s = 0, 0.0
    is_over = False
    while not (is_over and not opened):
        outcomes: list[tuple[int, Transcript | NumericError]] = []
        while not is_over and _has_room(waiting, len(opened), batch_size):
            waveform = next(unread, None)
            if waveform is None:
                is_over = True
                break
            try:
                opened[n_read] = reader.open(waveform)
                waiting += opened[n_read].chunks
            except NumericError as error:
                outcomes.append((n_read, error.with_traceback(None)))
            del waveform
            n_read += 1
        if waiting:
            fit = (chunk for chunk in waiting if _fit_together(chunk, waiting[0]))
            reader.read(list(islice(fit, batch_size)))
            waiting = [chunk for chunk in waiting if not chunk.is_done]
        found = [(i, segment) for i, each in opened.items() for segment in each.settle()]
        done_s = ended_s + sum(recording.done_s for recording in opened.values())
        total_s = ended_s + sum(recording.duration_s for recording in opened.values())
        for index, recording in [each for each in opened.items() if each[1].is_settled]:
            outcomes.append((index, recording.failure or _transcript(recording, reader.clock)))
            ended_s += recording.duration_s
            del opened[index]
        yield Step(found, done_s, total_s, outcomes)


def _has_room(waiting: Sequence[Chunk], n_opened: int, batch_size: int) -> bool:
    """True if another recording may fill the next batch: too few chunks fit together. Chunks that
    do not, as in an archive of several languages, and recordings without speech may be some more.
    """
    n_fit = sum(_fit_together(chunk, waiting[0]) for chunk in waiting)
    max_waiting = LOOK_AHEAD_BATCHES * batch_size
    return n_fit < batch_size and max(len(waiting), n_opened) < max_waiting


def _transcript(recording: Recording, clock: StageClock) -> Transcript:
    return Transcript(
        text="".join(segment.text for segment in recording.segments),
        language=recording.language.code,
        language_probabilities=recording.language.probabilities,
        segments=tuple(recording.segments),
        duration=recording.duration_s,
        timings=dict(clock.seconds),
    )


def _fit_together(chunk: Chunk, other: Chunk) -> bool:
    """True if prompt, language and task are the same: all rows of a batch begin alike."""
    return (chunk.prompt, chunk.recording.tokenizer) == (other.prompt, other.recording.tokenizer)


@dataclass
class _Decoded:
    """A decoded window of a chunk; `seek` is the frame to continue at."""

    chunk: Chunk
    window: Window
    result: WindowResult
    segments: list[Segment]
    seek: int


@dataclass
class _Reader:
    """Opens recordings, and decodes their chunks window by window."""

    network: Network
    options: TranscribeOptions
    vad: VadOptions | None
    on_text: OnText | None
    clock: StageClock = field(default_factory=StageClock)

    def open(self, waveform: Waveform) -> Recording:
        """Compute log-mel, speech and language of a recording, and cut it into chunks."""
        with self.clock.stage("mel"):
            mel = self.network.log_mel(waveform, padding=N_SAMPLES)
        speech: list[Stretch] = []
        if self.vad is not None:
            with self.clock.stage("vad"):  # without padding: `pack` adds it
                speech = to_frames(speech_spans(waveform, replace(self.vad, speech_pad_ms=0)))
        stretches = self._stretches(mel, speech)
        start_s = stretches[0].start / FRAMES_PER_SECOND if stretches else 0.0
        frames = sequential.from_speech(mel, start_s, self.options)
        language = sequential.choose_language(self.network, frames, self.options, self.clock)
        code, task = language.code, self.options.task
        tokenizer = get_tokenizer(self.network.dims, language=code, task=task)
        history = new_history(tokenizer, self.options, self.network.dims)
        recording = Recording(mel, len(waveform) / SAMPLE_RATE, speech, language, tokenizer)
        for stretch in stretches:
            is_prompted = history.carry or not recording.chunks
            prompt = history.initial_prompt if is_prompted else ()
            recording.chunks.append(Chunk(recording, stretch, prompt, stretch.start))
        return recording

    def _stretches(self, mel: LogMelFrames, speech: Sequence[Stretch]) -> list[Stretch]:
        clips = seek_clips(self.options.clip_timestamps, content_frames=len(mel) - N_FRAMES)
        if self.vad is None:
            return [stretch for clip in clips for stretch in quiet_stretches(mel, clip)]
        padding = round(self.vad.speech_pad_ms * FRAMES_PER_SECOND / 1000)
        return [stretch for clip in clips for stretch in pack(speech, padding, clip)]

    def read(self, batch: Sequence[Chunk]) -> None:
        """Decode the next window of each chunk; prompt, language and task must be the same.

        If the network returns NaN, each half of the batch is decoded again: rows do not depend on
        each other, so only recordings whose own row fails are given up.
        """
        try:
            self._read(batch)
            return
        except NumericError as error:
            failure = error.with_traceback(None)  # its frames hold encoded audio
        if len(batch) == 1:
            batch[0].recording.give_up(failure)
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            if remaining := [chunk for chunk in half if not chunk.is_done]:
                self.read(remaining)

    def _read(self, batch: Sequence[Chunk]) -> None:
        tokenizer, prompt = batch[0].recording.tokenizer, batch[0].prompt
        decoder = WindowDecoder(
            self.network, tokenizer, self.options, self.clock, on_text=self.on_text
        )
        with self.clock.stage("encoder"):
            windows = [chunk.next_window() for chunk in batch]
            mels = [
                sequential.padded_window(chunk.recording.mel, window)
                for chunk, window in zip(batch, windows, strict=True)
            ]
            encoded = self.network.encode(np.stack(mels))
        seeks = [window.seek for window in windows]
        results = decoder.decode(encoded, len(batch), prompt, seeks)
        decoded = [
            _Decoded(chunk, window, result, *_segments(result, window, decoder))
            for chunk, window, result in zip(batch, windows, results, strict=True)
        ]
        if self.options.word_timestamps:
            _add_words(decoded, encoded, decoder)
        for part in decoded:
            _seek_missed(part, decoder)
            part.chunk.add(part.window, part.segments, part.seek)
            if not self.options.carry_initial_prompt:
                part.chunk.prompt = ()


def _segments(
    result: WindowResult, window: Window, decoder: WindowDecoder
) -> tuple[list[Segment], int]:
    if result.quality.is_silence(decoder.options):
        return [], window.end
    return window_segments(result, window, decoder.tokenizer, first_id=0)


def _add_words(decoded: Sequence[_Decoded], encoded: Any, decoder: WindowDecoder) -> None:
    """Add word times to all windows at once, and move seeks as in the sequential mode."""
    tokenizer = decoder.tokenizer
    with decoder.clock.stage("words"):
        texts = [text_tokens(part.segments, tokenizer) for part in decoded]
        words = decoder.align(encoded, texts, [part.window.size for part in decoded])
        for part, timings in zip(decoded, words, strict=True):
            part.segments = add_word_times(
                part.segments, timings, part.chunk.speech_end_s, tokenizer, decoder.options
            )
            if not ends_in_single_timestamp(part.result.tokens, tokenizer):
                part.seek = seek_after_words(part.segments, part.window, part.seek, None)


def _seek_missed(part: _Decoded, decoder: WindowDecoder) -> None:
    """Seek to speech after the text, even if the decoder says that nothing follows."""
    if part.segments and ends_in_single_timestamp(part.result.tokens, decoder.tokenizer):
        missed_from = part.chunk.missed_from(part.window, part.segments)
        part.seek = part.seek if missed_from is None else missed_from
