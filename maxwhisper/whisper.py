"""The facade: a loaded Whisper that transcribes. The one module where runtime meets decoding.

Fulfils `engine.Engine`. In: a checkpoint and a recording. Out: a `Transcript`.
"""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Self, Unpack

from max import driver

from maxwhisper import checkpoint as checkpoints
from maxwhisper.audio.inputs import Audio
from maxwhisper.audio.vad import VoiceMonitor
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.clock import StageClock
from maxwhisper.decoding.language import SpokenLanguage, require_languages
from maxwhisper.engine import OURS, EngineInfo, Progress
from maxwhisper.errors import (
    ArtifactError,
    AudioError,
    EngineUnavailable,
    NumericError,
)
from maxwhisper.network.dims import N_SAMPLES, Dims
from maxwhisper.options import (
    StreamOptions,
    TranscribeChanges,
    TranscribeOptions,
    VadOptions,
    WindowOptions,
    check_value,
)
from maxwhisper.runtime.artifacts import artifact_sources, discard
from maxwhisper.runtime.device import Placement, choose, limit_threads
from maxwhisper.runtime.model import MaxNetwork, load_network
from maxwhisper.runtime.probe import verify_once
from maxwhisper.transcribe import batched, scheduling, sequential
from maxwhisper.transcribe.live_window import LiveWindowTranscriber
from maxwhisper.transcribe.recordings import Recordings, samples
from maxwhisper.transcribe.scheduling import FairLock
from maxwhisper.transcribe.stream import Stream
from maxwhisper.transcript import (
    OnProgress,
    OnRecordingSegment,
    OnSegment,
    OnText,
    Segment,
    Transcript,
)

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
        self._lock = FairLock()

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

    def transcribe(  # noqa: PLR0913 - keywords of the public API
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
        windows = WindowOptions(batch_size, vad)
        steps = self._recordings.one(audio, options, windows, sample_rate, on_text)
        report = (lambda _, segment: on_segment(segment)) if on_segment else None
        return scheduling.complete(scheduling.found(steps, progress), report)

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
        windows = WindowOptions(batch_size, vad)
        steps = self._recordings.one(audio, options, windows, sample_rate)
        return scheduling.segments_only(scheduling.found(steps, progress))

    async def atranscribe(  # noqa: PLR0913 - keywords of the public API
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

    def transcribe_many(  # noqa: PLR0913 - keywords of the public API
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
        windows = WindowOptions(batch_size, vad)
        steps = self._recordings.many(audios, options, windows, sample_rate)
        return scheduling.complete(scheduling.found(steps, progress), on_segment)

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
        released when done. Yields the index of each recording and its transcript, or the
        error of one that failed, as soon as it is done, so not always in order. The texts are those
        of `transcribe_many`, and `on_segment` is called as there; the timings are of all recordings
        until then.
        """
        options, windows = _options(options, changes), WindowOptions(batch_size, vad)
        yield from self._recordings.each(audios, options, windows, sample_rate, on_segment)

    def close(self) -> None:
        """Free the network and its weights after the window that is being decoded.

        Everything that uses the model later raises `EngineUnavailable`. `with load(...) as model`
        closes it at the end of the block.
        """
        self._lock.require_none()
        with suppress(EngineUnavailable), self._lock.turn(StageClock()):
            self._lock.close()
            self.network.close()
            self.checkpoint = replace(self.checkpoint, weights={})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Whisper {self.checkpoint.name} on {self.placement.label}>"

    @property
    def _recordings(self) -> Recordings:
        return Recordings(self.network, self._lock)

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
        waveform = samples(audio, sample_rate, clock)[
            : options.language_detection_segments * N_SAMPLES
        ]
        with self._lock.turn(clock):
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
        window = LiveWindowTranscriber(self.network, options, self._lock.turn)
        return Stream(window, how, VoiceMonitor(how.validate().speech) if how.vad else None)


def _options(options: TranscribeOptions | None, changes: Mapping[str, object]) -> TranscribeOptions:
    check_value("options", options, TranscribeOptions | None)
    return (options or TranscribeOptions()).changed(changes)


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
        "load() without a name loads demo, which was trained only on synthesised speech and "
        "misrecognises human voices. Name a model for human speech, such as load('base') or "
        "load('turbo'), which is downloaded once; load('demo') loads demo without this warning"
    )


def load(  # noqa: PLR0913 - keywords of the public API
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

    "base" and the other official names are for human speech. "demo", which comes with the package
    and is loaded without a name, was trained only on synthesised speech.

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
