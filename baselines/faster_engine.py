"""faster-whisper as an `Engine`: the same weights in CTranslate2, the settings of openai-whisper.

In: a checkpoint, a waveform, options. Out: a `Transcript`. The options replace the library's own
defaults (beam 5, best of 5, temperature fallback), so that all engines do the same work. Two
differences remain: it omits segments without text, and it detects the language on a log-mel that is
padded with zeros, where the reference pads the audio with silence.
"""

import contextlib
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ctranslate2
import faster_whisper
import numpy as np

from baselines.faster_options import NAME, batch_arguments, sequential_arguments
from baselines.outside_clock import OutsideClock, timed_ctranslate2
from baselines.setup import Device, choose_device, cpu_threads, to_segment
from maxwhisper.audio.waveform import Waveform
from maxwhisper.checkpoint.convert_ctranslate2 import ctranslate2_dir
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.engine import Engine, EngineInfo, Progress
from maxwhisper.errors import DeviceError, EngineUnavailable
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.options import TranscribeOptions, VadOptions
from maxwhisper.runtime.cublas import open_cublas
from maxwhisper.transcript import OnSegment, OnText, Transcript

_CUBLAS = (12,)  # the version that CTranslate2 4.8.5 opens; requirements-gpu.txt installs it


@dataclass(frozen=True)
class FasterEngine:
    """A loaded `faster_whisper.WhisperModel` and its description."""

    model: faster_whisper.WhisperModel
    info: EngineInfo
    checkpoint: Checkpoint

    def transcribe(
        self,
        waveform: Waveform,
        options: TranscribeOptions,
        on_segment: OnSegment | None = None,
        *,
        batch_size: int | None = None,
        vad: VadOptions | bool | None = None,
        on_text: OnText | None = None,
    ) -> Transcript:
        """See `Engine.transcribe`. Segments are reported after each window or batch, and stages are
        timed on a CPU; `on_text` is never called: CTranslate2 decodes a window in one call.

        Raises `OptionError` for options that `faster_options` cannot translate.
        """
        audio_s = len(waveform) / SAMPLE_RATE
        arguments = sequential_arguments(options, self.checkpoint.dims, vad)
        reader: Any = self.model
        if batch_size is not None:
            reader = faster_whisper.BatchedInferencePipeline(self.model)
            arguments |= batch_arguments(options, batch_size, vad, audio_s)
        segments = []
        with contextlib.ExitStack() as watching:
            started = time.perf_counter()
            clock = OutsideClock(before="vad" if arguments["vad_filter"] else "")
            if self.info.device == "cpu":
                watching.enter_context(timed_ctranslate2(self.model, clock))
            lazy, info = reader.transcribe(waveform, **arguments)
            for index, entry in enumerate(lazy):  # decoding happens here
                numbered = {**vars(entry), "id": index}  # this library counts from 1
                segments.append(to_segment(numbered, map(vars, entry.words or ())))
                if on_segment:
                    on_segment(segments[-1])
            seconds = time.perf_counter() - started
        return Transcript(
            text="".join(segment.text for segment in segments),
            language=info.language,
            segments=tuple(segments),
            duration=audio_s,
            timings={**clock.seconds, "total": seconds},
        )


def create_engine(
    checkpoint: Checkpoint,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> Engine:
    """Build the engine. The converted weights are saved in `cache_dir`. `dtype` is any compute type
    of CTranslate2 on the device ("auto": float32 on a CPU, float16 on a GPU).

    Raises `DeviceError` for a device or a precision that CTranslate2 does not support here, and
    `EngineUnavailable` if its CUDA libraries are missing.
    """
    chosen = choose_device(device, ctranslate2.get_cuda_device_count(), "CTranslate2")
    resolved = chosen.default_dtype if dtype == "auto" else dtype
    allowed = ctranslate2.get_supported_compute_types(chosen.kind, chosen.index)
    if resolved not in allowed:
        raise DeviceError(
            f"expected dtype {sorted(allowed)} for {NAME} on {chosen.label}, got {resolved}"
        )
    if progress:
        progress(f"{NAME}: loading {checkpoint.name} on {chosen.label}")
    folder = ctranslate2_dir(checkpoint, cache_dir, progress)
    info = EngineInfo(
        name=NAME,
        version=f"faster-whisper {version('faster-whisper')}, ctranslate2 {version('ctranslate2')}",
        model=checkpoint.name,
        device=chosen.label,
        device_reason=chosen.reason,
        dtype=resolved,
        weights=checkpoint.place,
    )
    return FasterEngine(_load(folder, chosen, resolved, checkpoint), info, checkpoint)


def _load(
    folder: Path, device: Device, compute_type: str, checkpoint: Checkpoint
) -> faster_whisper.WhisperModel:
    """Open the folder and, on a GPU, encode one window of zeros: only this loads cuBLAS."""
    if device.kind == "cuda":
        open_cublas(_CUBLAS)
    try:
        model = faster_whisper.WhisperModel(
            str(folder),
            device=device.kind,
            device_index=device.index,
            compute_type=compute_type,
            cpu_threads=cpu_threads(),
        )
        if device.kind == "cuda":
            model.encode(np.zeros((checkpoint.dims.n_mels, checkpoint.dims.n_frames), np.float32))
    except RuntimeError as error:
        advice = ". Install requirements-gpu.txt, or use device='cpu'"
        raise EngineUnavailable(
            f"{NAME} cannot run on {device.label}: {error}{advice if device.kind == 'cuda' else ''}"
        ) from error
    return model
