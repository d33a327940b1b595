"""The facade: a loaded Whisper that transcribes. The one module where runtime meets decoding.

Fulfils `engine.Engine`. In: a checkpoint and a recording. Out: a `Transcript`.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
from max import driver

from maxwhisper import checkpoint as checkpoints
from maxwhisper.audio import load as audio_files
from maxwhisper.audio.vad import VoiceMonitor
from maxwhisper.audio.waveform import Waveform
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.clock import StageClock
from maxwhisper.decoding.language import SpokenLanguage, require_languages
from maxwhisper.engine import OURS, EngineInfo, Progress
from maxwhisper.errors import ArtifactError, AudioError, NumericError, SomeFailed
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
from maxwhisper.runtime.device import Placement, choose
from maxwhisper.runtime.model import MaxNetwork, load_network
from maxwhisper.runtime.probe import verify
from maxwhisper.transcribe import batched, sequential
from maxwhisper.transcribe.live_window import LiveWindowTranscriber
from maxwhisper.transcribe.packing import speech_clips
from maxwhisper.transcribe.stream import Stream
from maxwhisper.transcript import OnRecordingSegment, OnSegment, Transcript

Audio = str | Path | bytes | Waveform
Failure = AudioError | NumericError  # of one recording among many


class Whisper:
    """A checkpoint, compiled and on a device. Not thread-safe."""

    def __init__(
        self, checkpoint: Checkpoint, network: MaxNetwork, cache_dir: Path | None = None
    ) -> None:
        self.checkpoint = checkpoint
        self.network = network
        self.cache_dir = cache_dir

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
        )

    def transcribe(
        self,
        audio: Audio,
        options: TranscribeOptions | None = None,
        on_segment: OnSegment | None = None,
        *,
        batch_size: int | None = None,
        vad: VadOptions | bool | None = None,
        **changes: Unpack[TranscribeChanges],
    ) -> Transcript:
        """Transcribe a file, its bytes, or float32 mono 16 kHz samples.

        Keyword `changes` are fields of `TranscribeOptions` and override those of `options`.
        `on_segment` is called with each segment as soon as it is final. Windows are decoded one
        after the other, as in openai-whisper; with a `batch_size`, that many are decoded together.
        With `vad` (True or `VadOptions`) only speech is transcribed, which is the default in
        batches. Without batches, each stretch of speech is then a clip of its own: docs/options.md
        says why. `timings` of the result are seconds per stage, including `audio` (reading and
        resampling a file), and `total`. Raises `AudioError` for a recording that cannot be read,
        `OptionError` for an option that cannot be honoured, and `EngineUnavailable` if a package
        that `vad` needs is not installed.
        """
        if batch_size is not None:
            report = (lambda _, segment: on_segment(segment)) if on_segment else None
            try:
                (transcript,) = self.transcribe_many(
                    [audio], options, report, batch_size=batch_size, vad=vad, **changes
                )
            except SomeFailed as error:
                raise error.errors[0] from None
            return transcript
        check_value("vad", vad, VadOptions | bool | None)
        options = _options(options, changes).validate()
        clock, start = StageClock(), time.perf_counter()
        waveform = _samples(audio, clock)
        clips: tuple[float, ...] = (0.0,)
        if vad:
            with clock.stage("vad"):
                how = vad if isinstance(vad, VadOptions) else VadOptions()
                clips = speech_clips(waveform, options.clip_timestamps, how)
            options = options.changed({"clip_timestamps": clips})
        transcript = sequential.transcribe(self.network, waveform, options, on_segment, clips[0])
        return _timed(transcript, clock, start)

    def transcribe_many(
        self,
        audios: Sequence[Audio],
        options: TranscribeOptions | None = None,
        on_segment: OnRecordingSegment | None = None,
        *,
        batch_size: int = batched.BATCH_SIZE,
        vad: VadOptions | bool | None = None,
        **changes: Unpack[TranscribeChanges],
    ) -> list[Transcript]:
        """Transcribe recordings, decoding `batch_size` windows of all of them together.

        Arguments as in `transcribe`; `on_segment` is called with the recording's index as well.
        Every result has the timings of all recordings together. A recording that cannot be read,
        or for which the network returns NaN, does not stop the others: when those are done,
        `SomeFailed` is raised with their `transcripts` and the `errors` by index. Any other error
        is raised at once.
        """
        options = _options(options, changes)
        check_value("vad", vad, VadOptions | bool | None)
        clock, start = StageClock(), time.perf_counter()
        failed: dict[int, Failure] = {}
        if not isinstance(vad, VadOptions):
            vad = None if vad is False else PAUSES
        transcripts: Sequence[Transcript | None]
        try:
            transcripts = batched.transcribe_batch(
                self.network,
                _readable(audios, clock, failed),
                options,
                batch_size=batch_size,
                vad=vad,
                on_segment=on_segment,
            )
        except SomeFailed as error:
            transcripts, failed = error.transcripts, error.errors | failed
        done = {i: _timed(t, clock, start) for i, t in enumerate(transcripts) if t is not None}
        if failed:
            kept = [None if i in failed else done[i] for i in range(len(transcripts))]
            raise SomeFailed(kept, failed)
        return list(done.values())

    def detect_language(
        self,
        audio: Audio,
        *,
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
        waveform = _samples(audio, clock)[: options.language_detection_segments * N_SAMPLES]
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
        Use one stream at a time, and this model in no other thread meanwhile. Raises as
        `transcribe` does.
        """
        options = _options(options, changes)
        check_value("how", how, StreamOptions | None)
        how = how or StreamOptions()
        window = LiveWindowTranscriber(self.network, options)
        return Stream(window, how, VoiceMonitor(how.validate().speech) if how.vad else None)


def _options(options: TranscribeOptions | None, changes: Mapping[str, object]) -> TranscribeOptions:
    check_value("options", options, TranscribeOptions | None)
    return (options or TranscribeOptions()).changed(changes)


def _samples(audio: Audio, clock: StageClock) -> Waveform:
    """The samples of a recording; decoding a file or its bytes is timed as `audio`."""
    if not isinstance(audio, (str, Path, bytes)):
        return audio_files.from_array(audio)
    with clock.stage("audio"):
        return audio_files.decode(audio)


def _readable(
    audios: Iterable[Audio], clock: StageClock, failed: dict[int, Failure]
) -> Iterator[Waveform]:
    """The samples of each recording; none for one that cannot be read, whose error goes into
    `failed`."""
    for index, audio in enumerate(audios):
        try:
            yield _samples(audio, clock)
        except AudioError as error:
            failed[index] = error
            yield np.zeros(0, np.float32)


def _timed(transcript: Transcript, clock: StageClock, start: float) -> Transcript:
    """The transcript with the facade's own stages and the total time since `start`, in seconds."""
    total = {"total": time.perf_counter() - start}
    return replace(transcript, timings={**clock.seconds, **transcript.timings, **total})


def load(
    name_or_path: str | Path = checkpoints.DEFAULT_MODEL,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    artifacts: Path | None = None,
) -> Whisper:
    """Load a model by name, from an OpenAI `.pt` file, or from a Hugging Face folder.

    The first load of a network shape compiles its graphs, which takes minutes on a CPU. Compiled
    graphs are not compiled again: those of the default model come with the package, others are
    found in `artifacts`, in the folder that MAXWHISPER_ARTIFACTS names (`maxwhisper compile --out`
    fills one), or in `cache_dir`, where the first load keeps them. `progress` is called with one
    line of text per step. `dtype` "float32", the only precision on a CPU, gave openai-whisper's
    text in docs/parity.md; "float16", the default on a GPU, and "bfloat16" round more, and their
    text may differ.
    """
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

    The compiled graphs are run once and compared with the numpy reference. An artifact that fails
    is deleted and compiled again. If the new one fails as well, raises `ArtifactError`.
    """
    placement = choose(device, dtype)
    sources = [*([artifacts] if artifacts is not None else []), *artifact_sources()]
    network = load_network(checkpoint, placement, cache_dir, progress, sources)
    try:
        verify(network, checkpoint, cache_dir)
    except ArtifactError as error:
        if progress:
            progress(f"compiling again: {error}")
        discard(checkpoint.dims, network.placement, cache_dir)
        network = load_network(checkpoint, placement, cache_dir, progress, sources=())
        verify(network, checkpoint, cache_dir)
    return Whisper(checkpoint, network, cache_dir)
