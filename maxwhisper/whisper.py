"""The facade: a loaded Whisper that transcribes. The one module where runtime meets decoding.

Fulfils `engine.Engine`. In: a checkpoint and a recording. Out: a `Transcript`.
"""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self, Unpack

import numpy as np
from max import driver

from maxwhisper import checkpoint as checkpoints
from maxwhisper.audio.arrays import from_array
from maxwhisper.audio.inputs import Audio, to_waveform
from maxwhisper.audio.vad import VoiceMonitor
from maxwhisper.audio.waveform import Waveform
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.clock import StageClock
from maxwhisper.decoding.language import SpokenLanguage, require_languages
from maxwhisper.engine import OURS, EngineInfo, Progress
from maxwhisper.errors import (
    ArtifactError,
    AudioError,
    EngineUnavailable,
    NumericError,
    SomeFailed,
)
from maxwhisper.network.dims import N_SAMPLES, Dims
from maxwhisper.options import (
    PAUSES,
    StreamOptions,
    TranscribeChanges,
    TranscribeOptions,
    VadOptions,
    check_value,
)
from maxwhisper.runtime.artifacts import artifact_sources, discard
from maxwhisper.runtime.device import Placement, choose, limit_threads
from maxwhisper.runtime.model import MaxNetwork, load_network
from maxwhisper.runtime.probe import verify_once
from maxwhisper.transcribe import batched, sequential, turns
from maxwhisper.transcribe.live_window import LiveWindowTranscriber
from maxwhisper.transcribe.packing import speech_clips
from maxwhisper.transcribe.stream import Stream
from maxwhisper.transcribe.turns import Steps, Turns
from maxwhisper.transcript import (
    OnProgress,
    OnRecordingSegment,
    OnSegment,
    OnText,
    Segment,
    Transcript,
)

Failure = AudioError | NumericError  # of one recording among many
SHOWN_EVERY_S = 15.0  # a line of progress, if nobody asked for it

log = logging.getLogger("maxwhisper")


class Whisper:
    """A checkpoint, compiled and on a device.

    Any number of threads may use a model: they take turns, a window each, in the order in which
    they ask. A process that is forked after the model was loaded cannot use it.
    """

    def __init__(
        self, checkpoint: Checkpoint, network: MaxNetwork, cache_dir: Path | None = None
    ) -> None:
        self.checkpoint = checkpoint
        self.network = network
        self.cache_dir = cache_dir
        self._turns = Turns()

    @property
    def placement(self) -> Placement:
        return self.network.placement

    @property
    def dims(self) -> Dims:
        return self.checkpoint.dims

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(
            name=OURS,
            version=f"max {driver.__version__}",
            model=self.checkpoint.name,
            device=self.placement.label,
            device_reason=self.placement.reason,
            dtype=self.placement.dtype_name,
            weights=self.checkpoint.place,
        )

    def transcribe(
        self,
        audio: Audio,
        options: TranscribeOptions | None = None,
        on_segment: OnSegment | None = None,
        *,
        batch_size: int | None = None,
        vad: VadOptions | bool | None = None,
        progress: OnProgress | None = None,
        on_text: OnText | None = None,
        sample_rate: int | None = None,
        **changes: Unpack[TranscribeChanges],
    ) -> Transcript:
        """Transcribe a recording: a path, bytes, an open file, or samples at `sample_rate`.

        `audio.inputs.to_waveform` lists all forms. Samples are at 16 kHz if nothing says otherwise.
        Keyword `changes` are fields of `TranscribeOptions` and override those of `options`.
        `on_segment` is called with each segment as soon as it is final, `progress` after each
        window with the seconds of audio done and in total, and `on_text` up to 20 times a second
        with the text so far of the window that is being decoded, which may still change; using the
        model in `on_text` raises `EngineUnavailable`.
        Windows are decoded one after the other, as in openai-whisper; with a `batch_size`, that
        many are decoded together. With `vad` (True or `VadOptions`) only speech
        is transcribed, which is the default in batches. Without batches, each stretch of speech is
        then a clip of its own: docs/options.md says why.
        `timings` of the result are seconds per stage, including `audio` (reading and resampling a
        file), `waiting` (for other threads that use this model), and `total`. Raises `AudioError`
        for a recording that cannot be read, `OptionError` for an option that cannot be honoured,
        and `EngineUnavailable` if a package that `vad` needs is not installed.
        """
        options = _options(options, changes)
        steps = self._steps(audio, options, batch_size, vad, sample_rate, on_text)
        report = (lambda _, segment: on_segment(segment)) if on_segment else None
        return turns.complete(turns.found(steps, progress), report)

    def segments(
        self,
        audio: Audio,
        options: TranscribeOptions | None = None,
        *,
        batch_size: int | None = None,
        vad: VadOptions | bool | None = None,
        progress: OnProgress | None = None,
        sample_rate: int | None = None,
        **changes: Unpack[TranscribeChanges],
    ) -> Generator[Segment, None, Transcript]:
        """Transcribe lazily: `for segment in model.segments("talk.mp3")`.

        Arguments and errors as in `transcribe`. The recording is read at once, and a window is
        decoded when the loop asks for a segment that no earlier window had. Leaving the loop early
        frees everything. The transcript is the generator's return value: `transcript = yield from
        model.segments(...)`.
        """
        options = _options(options, changes)
        steps = self._steps(audio, options, batch_size, vad, sample_rate)
        return turns.segments_only(turns.found(steps, progress))

    async def atranscribe(
        self,
        audio: Audio,
        options: TranscribeOptions | None = None,
        on_segment: OnSegment | None = None,
        *,
        batch_size: int | None = None,
        vad: VadOptions | bool | None = None,
        progress: OnProgress | None = None,
        on_text: OnText | None = None,
        sample_rate: int | None = None,
        **changes: Unpack[TranscribeChanges],
    ) -> Transcript:
        """`transcribe` in a thread, for `asyncio`. The callbacks are called in the event loop.

        If the task is cancelled, the thread stops after the window that it is decoding, and the
        model stays usable.
        """
        loop, cancelled = asyncio.get_running_loop(), threading.Event()

        def report(segment: Segment) -> None:
            if on_segment is not None:
                loop.call_soon_threadsafe(on_segment, segment)

        def read(text: str) -> None:
            if on_text is not None:
                loop.call_soon_threadsafe(on_text, text)

        def advance(done_s: float, total_s: float) -> None:
            if cancelled.is_set():
                raise asyncio.CancelledError
            if progress is not None:
                loop.call_soon_threadsafe(progress, done_s, total_s)

        def work() -> Transcript:
            return self.transcribe(
                audio,
                options,
                report,
                batch_size=batch_size,
                vad=vad,
                progress=advance,
                on_text=read if on_text is not None else None,
                sample_rate=sample_rate,
                **changes,
            )

        try:
            return await asyncio.to_thread(work)
        finally:
            cancelled.set()

    def transcribe_many(
        self,
        audios: Sequence[Audio],
        options: TranscribeOptions | None = None,
        on_segment: OnRecordingSegment | None = None,
        *,
        batch_size: int = batched.BATCH_SIZE,
        vad: VadOptions | bool | None = None,
        progress: OnProgress | None = None,
        sample_rate: int | None = None,
        **changes: Unpack[TranscribeChanges],
    ) -> list[Transcript]:
        """Transcribe recordings, decoding `batch_size` windows of all of them together.

        Arguments as in `transcribe`; `on_segment` is called with the recording's index as well, and
        the total that `progress` gets is that of the recordings read so far. Every result has the
        timings of all recordings together. A recording that cannot be read, or for which the
        network returns NaN, does not stop the others: when those are done, `SomeFailed` is raised
        with their `transcripts` and the `errors` by index. Any other error is raised at once.
        """
        options = _options(options, changes)
        steps = self._batches(audios, options, batch_size, vad, sample_rate)
        return turns.complete(turns.found(steps, progress), on_segment)

    def transcribe_each(
        self,
        audios: Iterable[Audio],
        options: TranscribeOptions | None = None,
        on_segment: OnRecordingSegment | None = None,
        *,
        batch_size: int = batched.BATCH_SIZE,
        vad: VadOptions | bool | None = None,
        sample_rate: int | None = None,
        **changes: Unpack[TranscribeChanges],
    ) -> Iterator[tuple[int, Transcript | AudioError | NumericError]]:
        """Transcribe any number of recordings: `transcribe_many` for an archive.

        `audios` may be a generator: the next recording is taken when a batch has room for it, and
        let go of when it is done. Yields the index of each recording and its transcript, or the
        error of one that failed, as soon as it is done, so not always in order. The texts are those
        of `transcribe_many`, and `on_segment` is called as there; the timings are of all recordings
        until then.
        """
        options = _options(options, changes)
        vad = _batch_vad(vad)
        clock, start = StageClock(), time.perf_counter()
        failed: dict[int, Failure] = {}
        waveforms = self._readable(audios, sample_rate, clock, failed)
        steps = batched.each_step(self.network, waveforms, options, batch_size=batch_size, vad=vad)
        with closing(turns.in_turns(steps, self._turns, clock)) as in_turns:
            for step in in_turns:
                if on_segment is not None:
                    for index, segment in step.found:
                        on_segment(index, segment)
                for index, outcome in step.ended:
                    if isinstance(outcome, Transcript):
                        outcome = _with_timings(outcome, clock, start)
                    yield index, failed.pop(index, outcome)

    def close(self) -> None:
        """Free the network and its weights after the window that is being decoded.

        Everything that uses the model later raises `EngineUnavailable`. `with load(...) as model`
        closes it at the end of the block.
        """
        self._turns.require_none()
        with suppress(EngineUnavailable), self._turns.turn(StageClock()):
            self._turns.close()
            self.network.close()
            self.checkpoint = replace(self.checkpoint, weights={})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Whisper {self.checkpoint.name} on {self.placement.label}>"

    def _steps(
        self,
        audio: Audio,
        options: TranscribeOptions,
        batch_size: int | None,
        vad: VadOptions | bool | None,
        sample_rate: int | None,
        on_text: OnText | None = None,
    ) -> Steps[Transcript]:
        """The transcription of one recording, which is read now."""
        if batch_size is not None:
            return _only(self._batches([audio], options, batch_size, vad, sample_rate, on_text))
        check_value("vad", vad, VadOptions | bool | None)
        options.validate()
        clock, start = StageClock(), time.perf_counter()
        waveform = _samples(audio, sample_rate, clock)
        clips: tuple[float, ...] = (0.0,)
        if vad:
            with clock.stage("vad"):
                how = vad if isinstance(vad, VadOptions) else VadOptions()
                clips = speech_clips(waveform, options.clip_timestamps, how)
            options = options.changed({"clip_timestamps": clips})
        steps = sequential.steps(self.network, waveform, options, clips[0], on_text)
        return _timed(turns.in_turns(steps, self._turns, clock), clock, start)

    def _batches(
        self,
        audios: Sequence[Audio],
        options: TranscribeOptions,
        batch_size: int,
        vad: VadOptions | bool | None,
        sample_rate: int | None,
        on_text: OnText | None = None,
    ) -> Steps[list[Transcript]]:
        """The transcription of recordings, which are read when a batch has room for them."""
        vad = _batch_vad(vad)
        clock, start = StageClock(), time.perf_counter()
        failed: dict[int, Failure] = {}
        waveforms = self._readable(audios, sample_rate, clock, failed)
        steps = batched.steps(
            self.network, waveforms, options, batch_size=batch_size, vad=vad, on_text=on_text
        )
        return _all_timed(turns.in_turns(steps, self._turns, clock), clock, start, failed)

    def _readable(
        self,
        audios: Iterable[Audio],
        sample_rate: int | None,
        clock: StageClock,
        failed: dict[int, Failure],
    ) -> Iterator[Waveform]:
        """The samples of each recording, read while others have the network; none for one that
        cannot be read, whose error goes into `failed`."""
        unread, index = iter(audios), 0
        while True:
            with self._turns.released(clock):  # also while the caller makes the next recording
                try:
                    audio = next(unread)
                except StopIteration:
                    return
                try:
                    waveform = _samples(audio, sample_rate, clock)
                except AudioError as error:
                    failed[index] = error
                    waveform = np.zeros(0, np.float32)
                del audio
            yield waveform
            del waveform
            index += 1

    def detect_language(
        self,
        audio: Audio,
        *,
        sample_rate: int | None = None,
        language_detection_segments: int = 1,
        language_detection_threshold: float | None = 0.5,
    ) -> SpokenLanguage:
        """Detect the language spoken in a recording, without transcribing it.

        Looks at up to `language_detection_segments` windows of 30 s. The first window surer than
        the threshold decides; otherwise the language of most windows does. Names and defaults are
        faster-whisper's. Raises as `transcribe` does, and `OptionError` for an English-only model.
        """
        options = TranscribeOptions(
            language_detection_segments=language_detection_segments,
            language_detection_threshold=language_detection_threshold,
        ).validate()
        require_languages(self.network.dims)
        clock = StageClock()
        waveform = _samples(audio, sample_rate, clock)[
            : options.language_detection_segments * N_SAMPLES
        ]
        with self._turns.turn(clock):
            mel = self.network.log_mel(waveform, padding=N_SAMPLES)
            return sequential.choose_language(self.network, mel, options, clock)

    def stream(
        self,
        options: TranscribeOptions | None = None,
        how: StreamOptions | None = None,
        **changes: Unpack[TranscribeChanges],
    ) -> Stream:
        """Start a live transcription: `feed` it samples as they arrive, then `finish` it.

        `options` and `changes` as in `transcribe`; `how` sets the windows and speech detection.
        Any number of streams can be open. Raises as `transcribe` does.
        """
        options = _options(options, changes)
        check_value("how", how, StreamOptions | None)
        how = how or StreamOptions()
        window = LiveWindowTranscriber(self.network, options, self._turns.turn)
        return Stream(window, how, VoiceMonitor(how.validate().speech) if how.vad else None)


def _options(options: TranscribeOptions | None, changes: Mapping[str, object]) -> TranscribeOptions:
    check_value("options", options, TranscribeOptions | None)
    return (options or TranscribeOptions()).changed(changes)


def _batch_vad(vad: VadOptions | bool | None) -> VadOptions | None:
    """Speech detection in batches: on, unless it is False."""
    check_value("vad", vad, VadOptions | bool | None)
    if isinstance(vad, VadOptions):
        return vad
    return None if vad is False else PAUSES


def _samples(audio: Audio, sample_rate: int | None, clock: StageClock) -> Waveform:
    """The samples of a recording; reading and resampling it is timed as `audio`."""
    if isinstance(audio, np.ndarray) and sample_rate is None:
        return from_array(audio)
    with clock.stage("audio"):
        return to_waveform(audio, sample_rate)


def _timed(steps: Steps[Transcript], clock: StageClock, start: float) -> Steps[Transcript]:
    """Add the facade's own stages and the total time since `start`, in seconds, to the result."""
    return _with_timings((yield from steps), clock, start)


def _all_timed(
    steps: Steps[list[Transcript]], clock: StageClock, start: float, failed: dict[int, Failure]
) -> Steps[list[Transcript]]:
    """`_timed` for many recordings. Raises `SomeFailed` if some of them have `failed`."""
    transcripts: Sequence[Transcript | None]
    try:
        transcripts = yield from steps
    except SomeFailed as error:
        transcripts, failed = error.transcripts, error.errors | failed
    done = {i: _with_timings(t, clock, start) for i, t in enumerate(transcripts) if t is not None}
    if failed:
        kept = [None if i in failed else done[i] for i in range(len(transcripts))]
        raise SomeFailed(kept, failed)
    return list(done.values())


def _with_timings(transcript: Transcript, clock: StageClock, start: float) -> Transcript:
    total = {"total": time.perf_counter() - start}
    return replace(transcript, timings={**clock.seconds, **transcript.timings, **total})


def _only(steps: Steps[list[Transcript]]) -> Steps[Transcript]:
    """The one transcript of a list, or its error."""
    try:
        (transcript,) = yield from steps
    except SomeFailed as error:
        raise error.errors[0] from None
    return transcript


class _LoggedProgress:
    """Progress in the log: the first line and one every 15 s as warnings, which Python shows unless
    logging is configured otherwise, so that nobody waits in silence; all others as information."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self, line: str) -> None:
        is_due = time.monotonic() >= self._next_s
        if is_due:
            self._next_s = time.monotonic() + SHOWN_EVERY_S
        log.log(logging.WARNING if is_due else logging.INFO, line)


@functools.cache
def _warn_of_demo() -> None:
    """Once in a process: nobody should measure a model by words that it has never learnt."""
    log.warning(
        "load() without a name loads demo, which has only learnt synthesised speech and mishears "
        "people. Name a model that hears them, such as load('base') or load('turbo'), which is "
        "downloaded once; load('demo') loads demo without this warning"
    )


def load(
    name_or_path: str | Path | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    artifacts: Path | None = None,
    threads: int | None = None,
) -> Whisper:
    """Load a model by name, or from a file or folder of weights (docs/weights.md has the formats).

    "base" and the other official names understand people. "demo", which comes with the package and
    is loaded without a name, has only learnt synthesised speech.

    The first load of a network shape compiles its graphs, which takes minutes on a CPU. Compiled
    graphs are not compiled again: those of demo, tiny, base and small, also of their `.en` forms,
    come with the package for processors with AVX2 or AVX-512. Others are found in `artifacts`, in
    the folder that MAXWHISPER_ARTIFACTS names (`maxwhisper compile --out` fills one), or in
    `cache_dir`, where the first load keeps them. `progress` is called with one
    line of text per step; without it, the lines go to the logger `maxwhisper`. `dtype` "float32",
    the only precision on a CPU, gave openai-whisper's text in docs/parity.md; "float16", the
    default on a GPU, and "bfloat16" round more, and their text may differ. `threads` of the CPU are
    used, by default one for each that this process may use; the first load of a process decides.
    """
    if name_or_path is None:
        _warn_of_demo()
        name_or_path = checkpoints.DEFAULT_MODEL
    progress = progress or _LoggedProgress()
    if threads is not None:
        limit_threads(threads)
    checkpoint = checkpoints.load(name_or_path, cache_dir=cache_dir, progress=progress)
    return create_engine(
        checkpoint,
        device=device,
        dtype=dtype,
        cache_dir=cache_dir,
        progress=progress,
        artifacts=artifacts,
    )


def create_engine(
    checkpoint: Checkpoint,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    artifacts: Path | None = None,
) -> Whisper:
    """Build the engine on weights in memory. Fulfils `engine.EngineFactory`.

    Graphs and a checkpoint that are here for the first time are compared with the numpy reference:
    see `runtime/probe.py`. An artifact that fails is deleted and compiled again. If the new one
    fails as well, raises `ArtifactError`.
    """
    placement = choose(device, dtype)
    sources = [*([artifacts] if artifacts is not None else []), *artifact_sources()]
    network = load_network(checkpoint, placement, cache_dir, progress, sources)
    try:
        verify_once(network, checkpoint, cache_dir)
    except ArtifactError as error:
        if progress:
            progress(f"compiling again: {error}")
        discard(checkpoint.dims, network.placement, cache_dir)
        network = load_network(checkpoint, placement, cache_dir, progress, sources=())
        verify_once(network, checkpoint, cache_dir)
    return Whisper(checkpoint, network, cache_dir)
