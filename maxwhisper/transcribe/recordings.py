"""Recordings to transcripts: each is read, transcribed alone or in batches with others, and timed.

In: recordings in any form, and a network that callers share. Out: steps, whose result are
transcripts with the timings of everything, reading and waiting included. Knows no MAX.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from maxwhisper.audio.arrays import from_array
from maxwhisper.audio.inputs import Audio, to_waveform
from maxwhisper.audio.waveform import Waveform
from maxwhisper.clock import StageClock
from maxwhisper.decoding.protocols import Network
from maxwhisper.errors import AudioError, NumericError, SomeFailed
from maxwhisper.options import TranscribeOptions, WindowOptions, check_value
from maxwhisper.transcribe import batched, scheduling, sequential
from maxwhisper.transcribe.packing import speech_clips
from maxwhisper.transcribe.scheduling import FairLock, Steps
from maxwhisper.transcript import OnRecordingSegment, OnText, Transcript

Failure = AudioError | NumericError  # of one recording among many


@dataclass(frozen=True)
class Recordings:
    """Transcribes recordings on `network`, which callers of `lock` have in turn."""

    network: Network
    lock: FairLock

    def one(
        self,
        audio: Audio,
        options: TranscribeOptions,
        windows: WindowOptions,
        sample_rate: int | None,
        on_text: OnText | None = None,
    ) -> Steps[Transcript]:
        """The transcription of one recording, which is read now unless it is cut into batches."""
        if windows.batch_size is not None:
            return _only(self.many([audio], options, windows, sample_rate, on_text))
        windows.validate()
        options.validate()
        timer = _Timer()
        waveform = timer.read(audio, sample_rate)
        clips: tuple[float, ...] = (0.0,)
        if windows.speech is not None:
            with timer.clock.stage("vad"):
                clips = speech_clips(waveform, options.clip_timestamps, windows.speech)
            options = options.changed({"clip_timestamps": clips})
        steps = sequential.steps(self.network, waveform, options, clips[0], on_text)
        return _timed(scheduling.in_turns(steps, self.lock, timer.clock), timer)

    def many(
        self,
        audios: Iterable[Audio],
        options: TranscribeOptions,
        windows: WindowOptions,
        sample_rate: int | None,
        on_text: OnText | None = None,
    ) -> Steps[list[Transcript]]:
        """The transcription of recordings, which are read when a batch has room for them."""
        timer = _Timer()
        failed: dict[int, Failure] = {}
        steps = batched.steps(
            self.network,
            self._waveforms(audios, sample_rate, timer, failed),
            options,
            batch_size=_size(windows),
            vad=windows.validate().speech,
            on_text=on_text,
        )
        return _all_timed(scheduling.in_turns(steps, self.lock, timer.clock), timer, failed)

    def each(
        self,
        audios: Iterable[Audio],
        options: TranscribeOptions,
        windows: WindowOptions,
        sample_rate: int | None,
        on_segment: OnRecordingSegment | None = None,
    ) -> Iterator[tuple[int, Transcript | Failure]]:
        """`many` without an end: the index of each recording and its transcript, or the error of
        one that failed, as soon as it is done."""
        timer = _Timer()
        failed: dict[int, Failure] = {}
        steps = batched.each_step(
            self.network,
            self._waveforms(audios, sample_rate, timer, failed),
            options,
            batch_size=_size(windows),
            vad=windows.validate().speech,
        )
        with closing(scheduling.in_turns(steps, self.lock, timer.clock)) as in_turns:
            for step in in_turns:
                if on_segment is not None:
                    for index, segment in step.found:
                        on_segment(index, segment)
                for index, outcome in step.ended:
                    if isinstance(outcome, Transcript):
                        outcome = timer.add_to(outcome)
                    yield index, failed.pop(index, outcome)

    def _waveforms(
        self,
        audios: Iterable[Audio],
        sample_rate: int | None,
        timer: "_Timer",
        failed: dict[int, Failure],
    ) -> Iterator[Waveform]:
        """The samples of each recording, read while others have the network; none for one that
        cannot be read, whose error goes into `failed`."""
        unread, index = iter(audios), 0
        while True:
            with self.lock.released(timer.clock):  # also while the caller makes the next recording
                try:
                    audio = next(unread)
                except StopIteration:
                    return
                try:
                    waveform = timer.read(audio, sample_rate)
                except AudioError as error:
                    failed[index] = error
                    waveform = np.zeros(0, np.float32)
                del audio
            yield waveform
            del waveform
            index += 1


def samples(audio: Audio, sample_rate: int | None, clock: StageClock) -> Waveform:
    """The samples of a recording; reading and resampling it is timed as `audio`."""
    if isinstance(audio, np.ndarray) and sample_rate is None:
        return from_array(audio)
    with clock.stage("audio"):
        return to_waveform(audio, sample_rate)


@dataclass(frozen=True)
class _Timer:
    """Times one call: its own stages, and the total since the timer was made."""

    clock: StageClock = field(default_factory=StageClock)
    start: float = field(default_factory=time.perf_counter)

    def read(self, audio: Audio, sample_rate: int | None) -> Waveform:
        return samples(audio, sample_rate, self.clock)

    def add_to(self, transcript: Transcript) -> Transcript:
        """The transcript with the timings of the call so far, in seconds."""
        total = {"total": time.perf_counter() - self.start}
        timings = {**self.clock.seconds, **transcript.timings, **total}
        return replace(transcript, timings=timings)


def _size(windows: WindowOptions) -> int:
    """The batch size. Raises `OptionError` without one."""
    check_value("batch_size", windows.batch_size, int)
    return cast(int, windows.batch_size)


def _timed(steps: Steps[Transcript], timer: _Timer) -> Steps[Transcript]:
    return timer.add_to((yield from steps))


def _all_timed(
    steps: Steps[list[Transcript]], timer: _Timer, failed: dict[int, Failure]
) -> Steps[list[Transcript]]:
    """The steps of many recordings. Raises `SomeFailed` if some of them have `failed`."""
    transcripts: Sequence[Transcript | None]
    try:
        transcripts = yield from steps
    except SomeFailed as error:
        transcripts, failed = error.transcripts, error.errors | failed
    done = {i: timer.add_to(each) for i, each in enumerate(transcripts) if each is not None}
    if failed:
        kept = [None if i in failed else done[i] for i in range(len(transcripts))]
        raise SomeFailed(kept, failed)
    return list(done.values())


def _only(steps: Steps[list[Transcript]]) -> Steps[Transcript]:
    """The one transcript of a list, or its error."""
    try:
        (transcript,) = yield from steps
    except SomeFailed as error:
        raise error.errors[0] from None
    return transcript
