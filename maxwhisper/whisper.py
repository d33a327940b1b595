"""The facade: a loaded Whisper that transcribes. The one room where runtime meets decoding.

Fulfils `engine.Engine`. In: a checkpoint and a recording. Out: a `Transcript`.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from max import driver

from maxwhisper import audio as audio_files
from maxwhisper import checkpoint as checkpoints
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.clock import StageClock
from maxwhisper.decoding.language import SpokenLanguage, require_languages
from maxwhisper.dims import N_SAMPLES, Dims
from maxwhisper.engine import OURS, EngineInfo, OnSegment, Progress, Waveform
from maxwhisper.errors import ArtifactError, AudioError, NumericError, SomeFailed
from maxwhisper.options import TranscribeOptions
from maxwhisper.runtime.artifacts import artifact_sources, discard
from maxwhisper.runtime.device import Placement, choose
from maxwhisper.runtime.model import MaxNetwork, load_network
from maxwhisper.runtime.probe import verify
from maxwhisper.stream_options import StreamOptions
from maxwhisper.transcribe import batched, sequential
from maxwhisper.transcribe.batched import OnRecordingSegment
from maxwhisper.transcribe.listening import NetworkListener
from maxwhisper.transcribe.packing import speech_clips
from maxwhisper.transcribe.stream import Stream
from maxwhisper.transcript import Transcript
from maxwhisper.vad import PAUSES, VadOptions, VoiceMonitor
from maxwhisper.validation import check_value

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
        **changes: object,
    ) -> Transcript:
        """Transcribe a file, its bytes, or float32 mono 16 kHz samples.

        `options` and keyword `changes` are fields of `TranscribeOptions`. Windows follow one
        another as in openai-whisper; with a `batch_size`, that many are decoded together. With
        `vad` (True, or how) only speech is read, which is the default in batches. Window after
        window, each stretch of it is then a clip of its own: docs/options.md says why.
        `timings` of the result are seconds per stage, `audio` (reading and resampling a file) among
        them, and `total` for all of it. Raises `AudioError` for a recording that cannot be read,
        `OptionError` for an option that cannot be honoured, `EngineUnavailable` where what `vad`
        needs is not installed.
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
        transcript = sequential.transcribe(
            self.network, waveform, options, on_segment, self.checkpoint.alignment_heads, clips[0]
        )
        return _timed(transcript, clock, start)

    def transcribe_many(
        self,
        audios: Sequence[Audio],
        options: TranscribeOptions | None = None,
        on_segment: OnRecordingSegment | None = None,
        *,
        batch_size: int = batched.BATCH_SIZE,
        vad: VadOptions | bool | None = None,
        **changes: object,
    ) -> list[Transcript]:
        """Transcribe recordings, `batch_size` windows of any of them at a time; as `transcribe`.

        `on_segment` is told the recording's index too. Every result has the timings of all. A
        recording that cannot be read, or that the network gives no numbers for, costs no other:
        when those are done, `SomeFailed` is raised, which holds their `transcripts`, and the
        `errors` by index. Any other error is raised at once.
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
                heads=self.checkpoint.alignment_heads,
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
        """The language spoken in a recording, given as to `transcribe`; no more of it is heard.

        Of its first windows of 30 s, so many at most, the first that is surer than the threshold
        decides; without one, most do. Names and defaults are faster-whisper's. Raises as
        `transcribe`, and `OptionError` for an English-only model too.
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
        **changes: object,
    ) -> Stream:
        """Live transcription: `feed` it samples as they come, then `finish` it.

        `options` and `changes` as in `transcribe`; `how` says how audio is cut up and speech
        looked for. One stream at a time, and nothing else of this model in another thread
        meanwhile. Raises as `transcribe`.
        """
        options = _options(options, changes)
        check_value("how", how, StreamOptions | None)
        how = how or StreamOptions()
        listener = NetworkListener(self.network, options, self.checkpoint.alignment_heads)
        return Stream(listener, how, VoiceMonitor(how.validate().speech) if how.vad else None)


def _options(options: TranscribeOptions | None, changes: Mapping[str, object]) -> TranscribeOptions:
    check_value("options", options, TranscribeOptions | None)
    return (options or TranscribeOptions()).changed(changes)


def _samples(audio: Audio, clock: StageClock) -> Waveform:
    """Samples as they are; a file or its bytes decoded, on the clock."""
    if not isinstance(audio, (str, Path, bytes)):
        return audio_files.from_array(audio)
    with clock.stage("audio"):
        return audio_files.decode(audio)


def _readable(
    audios: Iterable[Audio], clock: StageClock, failed: dict[int, Failure]
) -> Iterator[Waveform]:
    """The samples of each; none of one that cannot be read, whose error is put into `failed`."""
    for index, audio in enumerate(audios):
        try:
            yield _samples(audio, clock)
        except AudioError as error:
            failed[index] = error
            yield np.zeros(0, np.float32)


def _timed(transcript: Transcript, clock: StageClock, start: float) -> Transcript:
    """The transcript with the facade's own stages, and the total since `start`."""
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

    The first load of a network shape compiles its graphs (minutes, on the CPU), unless they come
    with the package, as the default model's do, or lie in the folder `artifacts`, or in the one
    that MAXWHISPER_ARTIFACTS names, where `python -m maxwhisper compile --out` puts them; later
    loads take them from `cache_dir`.
    `progress` receives lines that say what is being waited for. `dtype` "float32", the one
    precision of a CPU, is what gave openai-whisper's text in docs/parity.md; "float16", a GPU's
    default, and "bfloat16" round more, and their text may differ.
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

    The compiled graphs are run once and compared with the numpy reference before they are trusted;
    an artifact that fails, wherever it came from, is thrown away and compiled here. A fresh one
    that fails raises `ArtifactError`.
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
