"""The facade: a loaded Whisper that transcribes. The one room where runtime meets decoding.

Fulfils `engine.Engine`. In: a checkpoint and a recording. Out: a `Transcript`.
"""

import time
from dataclasses import replace
from pathlib import Path

from max import driver

from maxwhisper import audio as audio_files
from maxwhisper import checkpoint as checkpoints
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.dims import Dims
from maxwhisper.engine import EngineInfo, OnSegment, Progress, Waveform
from maxwhisper.errors import ArtifactError
from maxwhisper.options import TranscribeOptions
from maxwhisper.runtime.compiled import discard
from maxwhisper.runtime.device import Placement, choose
from maxwhisper.runtime.model import MaxNetwork, load_network
from maxwhisper.runtime.probe import verify
from maxwhisper.transcribe import sequential
from maxwhisper.transcript import Transcript


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
            name="maxwhisper",
            version=f"max {driver.__version__}",
            model=self.checkpoint.name,
            device=self.placement.label,
            device_reason=self.placement.reason,
            dtype=self.placement.dtype_name,
        )

    def transcribe(
        self,
        audio: str | Path | bytes | Waveform,
        options: TranscribeOptions | None = None,
        on_segment: OnSegment | None = None,
        **changes: object,
    ) -> Transcript:
        """Transcribe a file, its bytes, or float32 mono 16 kHz samples.

        `options` and keyword `changes` are fields of `TranscribeOptions`. `timings` of the result
        are seconds per stage, `audio` (reading and resampling a file) among them, and `total` for
        all of it. Raises `AudioError` for a recording that cannot be read, `OptionError` for an
        option that cannot be honoured.
        """
        options = (options or TranscribeOptions()).changed(changes)
        start = time.perf_counter()
        if isinstance(audio, (str, Path, bytes)):
            waveform, file_timing = audio_files.decode(audio), True
        else:
            waveform, file_timing = audio_files.from_array(audio), False
        audio_s = time.perf_counter() - start
        transcript = sequential.transcribe(self.network, waveform, options, on_segment)
        timings = {"audio": audio_s} if file_timing else {}
        timings |= {**transcript.timings, "total": time.perf_counter() - start}
        return replace(transcript, timings=timings)


def load(
    name_or_path: str | Path = checkpoints.DEFAULT_MODEL,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> Whisper:
    """Load a model by name, from an OpenAI `.pt` file, or from a Hugging Face folder.

    The first load of a network shape compiles its graphs (minutes, on the CPU); later ones take
    them from `cache_dir`. `progress` receives lines that say what is being waited for.
    """
    checkpoint = checkpoints.load(name_or_path, cache_dir=cache_dir, progress=progress)
    return create_engine(
        checkpoint, device=device, dtype=dtype, cache_dir=cache_dir, progress=progress
    )


def create_engine(
    checkpoint: Checkpoint,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> Whisper:
    """Build the engine on weights in memory. Fulfils `engine.EngineFactory`.

    The compiled graphs are run once and compared with the numpy reference before they are trusted;
    an artifact that fails is thrown away and compiled again. A fresh one that fails raises
    `ArtifactError`.
    """
    placement = choose(device, dtype)
    network = load_network(checkpoint, placement, cache_dir, progress)
    try:
        verify(network, checkpoint, cache_dir)
    except ArtifactError as error:
        if progress:
            progress(f"compiling again: {error}")
        discard(checkpoint.dims, placement, cache_dir)
        network = load_network(checkpoint, placement, cache_dir, progress)
        verify(network, checkpoint, cache_dir)
    return Whisper(checkpoint, network, cache_dir)
