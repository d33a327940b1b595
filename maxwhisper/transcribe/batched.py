"""Long form in batches: windows of one recording, or of many, decoded together.

In: a network and waveforms of any length. Out: a `Transcript` each. A recording is cut in its
pauses; every stretch between two cuts is read as `sequential` reads a recording, from timestamp to
timestamp; the next windows of several stretches make a batch. No window is prompted with the text
before it, so this is not the sequential mode made faster, but another one. Never sees a logit.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from maxwhisper.checkpoint.schema import Heads
from maxwhisper.clock import StageClock
from maxwhisper.decoding.alignment import align_words
from maxwhisper.decoding.protocols import LogMelFrames, Network
from maxwhisper.decoding.window import WindowResult, decode_windows
from maxwhisper.dims import FRAMES_PER_SECOND, N_FRAMES, N_SAMPLES, SAMPLE_RATE
from maxwhisper.engine import Waveform
from maxwhisper.errors import NumericError, OptionError, SomeFailed
from maxwhisper.options import TranscribeOptions
from maxwhisper.tokenizer import Tokenizer, get_tokenizer
from maxwhisper.transcribe import sequential
from maxwhisper.transcribe.clips import Stretch, seek_clips
from maxwhisper.transcribe.history import new_history
from maxwhisper.transcribe.packing import pack, quiet_stretches, to_frames
from maxwhisper.transcribe.pieces import Piece, Recording
from maxwhisper.transcribe.segments import Window, ends_in_single_timestamp, window_segments
from maxwhisper.transcribe.silence import is_silence, seek_after_words
from maxwhisper.transcribe.word_times import add_word_times, text_tokens
from maxwhisper.transcript import Segment, Transcript
from maxwhisper.vad import PAUSES, VadOptions, speech_spans
from maxwhisper.validation import AT_LEAST_1, check_value

BATCH_SIZE = 8  # windows, as in faster-whisper's batched pipeline

# They steer how one window follows another, or judge silences that are not even read here.
UNSUPPORTED = {"hallucination_silence_threshold", "prompt_reset_on_temperature"}

OnRecordingSegment = Callable[[int, Segment], None]  # index of the recording, segment


def check_options(options: TranscribeOptions, batch_size: int, heads: Heads) -> None:
    """Raise `OptionError` for what this mode does not do.

    `condition_on_previous_text` may be either: no window here has a previous one.
    """
    sequential.check_options(options)
    options.require_supported("maxwhisper in batches", set(options.to_dict()) - UNSUPPORTED)
    check_value("batch_size", batch_size, int, AT_LEAST_1)
    if options.word_timestamps and not heads:
        raise OptionError("word_timestamps needs alignment heads: pass the checkpoint's")


def transcribe_batch(
    network: Network,
    waveforms: Iterable[Waveform],
    options: TranscribeOptions,
    *,
    batch_size: int = BATCH_SIZE,
    vad: VadOptions | None = PAUSES,
    heads: Heads = (),
    on_segment: OnRecordingSegment | None = None,
) -> list[Transcript]:
    """Transcribe recordings of float32 mono 16 kHz samples (n,), `batch_size` windows at a time.

    `vad` finds the speech, and nothing else is read. Without it everything is, cut at the quietest
    points. `heads` are the checkpoint's alignment heads; word times need them. `initial_prompt`
    prompts the first window of every recording, and all others with `carry_initial_prompt`. A
    recording's segments come in order. Timings are those of all recordings together. Waveforms are
    taken one by one, when a batch has room for more, and let go of when they are read.

    Raises `SomeFailed`, when all others are transcribed, for recordings that the network gave no
    numbers for.
    """
    check_options(options, batch_size, heads)
    if vad is not None:
        vad.validate()
    reader = _Reader(network, options, vad, heads)
    recordings: list[Recording] = []
    coming = iter(waveforms)
    waiting: list[Piece] = []
    while True:
        while len(waiting) < batch_size and (waveform := next(coming, None)) is not None:
            recordings.append(reader.open(waveform))
            waiting += recordings[-1].pieces
        if not waiting:
            break
        reader.read([piece for piece in waiting if _alike(piece, waiting[0])][:batch_size])
        waiting = [piece for piece in waiting if not piece.is_read]
        for index, recording in enumerate(recordings):
            for segment in recording.settle():
                if on_segment:
                    on_segment(index, segment)
    transcripts = [_transcript(recording, reader.clock) for recording in recordings]
    if failures := {i: each.failure for i, each in enumerate(recordings) if each.failure}:
        kept = [None if i in failures else each for i, each in enumerate(transcripts)]
        raise SomeFailed(kept, failures)
    return transcripts


def _transcript(recording: Recording, clock: StageClock) -> Transcript:
    return Transcript(
        text="".join(segment.text for segment in recording.segments),
        language=recording.language.code,
        language_probabilities=recording.language.probabilities,
        segments=tuple(recording.segments),
        duration=recording.duration_s,
        timings=dict(clock.seconds),
    )


def _alike(piece: Piece, other: Piece) -> bool:
    """One batch has one beginning: prompt, language, task."""
    return (piece.prompt, piece.recording.tokenizer) == (other.prompt, other.recording.tokenizer)


@dataclass
class _Heard:
    """A window and what was heard in it; `seek` is where to read on."""

    piece: Piece
    window: Window
    result: WindowResult
    segments: list[Segment]
    seek: int


@dataclass
class _Reader:
    """Opens recordings, and reads their pieces window by window."""

    network: Network
    options: TranscribeOptions
    vad: VadOptions | None
    heads: Heads
    clock: StageClock = field(default_factory=StageClock)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.options.seed)

    def open(self, waveform: Waveform) -> Recording:
        """Log-mel, speech and language of a recording, and the pieces it is read in."""
        with self.clock.stage("mel"):
            mel = self.network.log_mel(waveform, padding=N_SAMPLES)
        speech: list[Stretch] = []
        if self.vad is not None:
            with self.clock.stage("vad"):  # `pack` pads what is found
                speech = to_frames(speech_spans(waveform, replace(self.vad, speech_pad_ms=0)))
        stretches = self._stretches(mel, speech)
        start_s = stretches[0].start / FRAMES_PER_SECOND if stretches else 0.0
        heard = sequential.from_speech(mel, start_s, self.options)
        language = sequential.choose_language(self.network, heard, self.options, self.clock)
        code, task = language.code, self.options.task
        tokenizer = get_tokenizer(self.network.dims, language=code, task=task)
        history = new_history(tokenizer, self.options, self.network.dims)
        recording = Recording(mel, len(waveform) / SAMPLE_RATE, speech, language, tokenizer)
        for stretch in stretches:
            is_prompted = history.carry or not recording.pieces
            prompt = history.initial_prompt if is_prompted else ()
            recording.pieces.append(Piece(recording, stretch, prompt, stretch.start))
        return recording

    def _stretches(self, mel: LogMelFrames, speech: Sequence[Stretch]) -> list[Stretch]:
        clips = seek_clips(self.options.clip_timestamps, content_frames=len(mel) - N_FRAMES)
        if self.vad is None:
            return [stretch for clip in clips for stretch in quiet_stretches(mel, clip)]
        padding = round(self.vad.speech_pad_ms * FRAMES_PER_SECOND / 1000)
        return [stretch for clip in clips for stretch in pack(speech, padding, clip)]

    def read(self, batch: Sequence[Piece]) -> None:
        """Decode the next window of each piece; they are alike.

        A batch that the network gives no numbers for is read again by halves: no row depends on
        another, so only recordings whose own row is to blame are given up.
        """
        try:
            self._read(batch)
            return
        except NumericError as error:
            failure = error.with_traceback(None)  # its frames hold what was encoded
        if len(batch) == 1:
            batch[0].recording.give_up(failure)
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            if going := [piece for piece in half if not piece.is_read]:
                self.read(going)

    def _read(self, batch: Sequence[Piece]) -> None:
        tokenizer, prompt = batch[0].recording.tokenizer, batch[0].prompt
        with self.clock.stage("encoder"):
            windows = [piece.next_window() for piece in batch]
            mels = [
                sequential.padded_window(piece.recording.mel, window)
                for piece, window in zip(batch, windows, strict=True)
            ]
            encoded = self.network.encode(np.stack(mels))
        results = decode_windows(
            self.network,
            encoded,
            len(batch),
            tokenizer,
            self.options,
            prompt,
            self._random,
            self.clock,
        )
        heard = [
            _Heard(piece, window, result, *self._segments(result, window, tokenizer))
            for piece, window, result in zip(batch, windows, results, strict=True)
        ]
        if self.options.word_timestamps:
            self._add_words(heard, encoded, tokenizer)
        for part in heard:
            self._seek_missed(part, tokenizer)
            part.piece.add(part.window, part.segments, part.seek)
            if not self.options.carry_initial_prompt:
                part.piece.prompt = ()

    def _segments(
        self, result: WindowResult, window: Window, tokenizer: Tokenizer
    ) -> tuple[list[Segment], int]:
        if is_silence(result, self.options):
            return [], window.end
        return window_segments(result, window, tokenizer, first_id=0)

    def _add_words(self, heard: Sequence[_Heard], encoded: Any, tokenizer: Tokenizer) -> None:
        """Word times of all windows at once, and as in the sequential mode where to read on."""
        with self.clock.stage("words"):
            texts = [text_tokens(part.segments, tokenizer) for part in heard]
            sizes = [part.window.size for part in heard]
            words = align_words(self.network, encoded, tokenizer, texts, sizes, self.heads)
            for part, timings in zip(heard, words, strict=True):
                part.segments = add_word_times(
                    part.segments, timings, part.piece.heard_until_s, tokenizer, self.options
                )
                if not ends_in_single_timestamp(part.result.tokens, tokenizer):
                    part.seek = seek_after_words(part.segments, part.window, part.seek, None)

    def _seek_missed(self, part: _Heard, tokenizer: Tokenizer) -> None:
        """The decoder may say that nothing follows; where there was speech, read on there."""
        if part.segments and ends_in_single_timestamp(part.result.tokens, tokenizer):
            missed_from = part.piece.missed_from(part.window, part.segments)
            part.seek = part.seek if missed_from is None else missed_from
