"""openai-whisper as an `Engine`: its own model and its own `transcribe`, with our weights.

In: a checkpoint, a waveform, options. Out: a `Transcript`. Decodes no audio files. `transcribe` has
no callback for segments, but prints them, and `openai_lines` reads them there.
"""

import contextlib
import hashlib
import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import whisper

from baselines.openai_lines import SegmentLines
from baselines.openai_tokens import told_tokens
from baselines.outside_clock import OutsideClock, timed_torch
from baselines.setup import choose_device, cpu_threads, to_segment
from maxwhisper.audio.waveform import Waveform
from maxwhisper.checkpoint.convert import to_openai
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.decoding.partial import PartialText
from maxwhisper.engine import Engine, EngineInfo, Progress
from maxwhisper.errors import DeviceError, OptionError
from maxwhisper.network.dims import FRAMES_PER_SECOND, HOP_LENGTH, SAMPLE_RATE
from maxwhisper.options import OPENAI, TranscribeOptions, VadOptions
from maxwhisper.options.info import supported
from maxwhisper.text.languages import spoken_language
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcript import OnSegment, OnText, Transcript

NAME = OPENAI
REMEMBERED_BYTES = 1 << 30


@dataclass(frozen=True)
class OpenAIEngine:
    """A loaded `whisper.model.Whisper` and its description."""

    model: "whisper.model.Whisper"
    info: EngineInfo
    checkpoint: Checkpoint
    checks_options: bool = True  # by this project's rules

    def unchecked(self) -> "OpenAIEngine":
        """The same model, which passes on options that this project refuses: for comparisons."""
        return replace(self, checks_options=False)

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
        """See `Engine.transcribe`. Segments are reported with times and text only, and text so far
        in greedy decoding only; stages are timed on a CPU.

        Raises `OptionError` for what this library does not have: options of faster-whisper, prompts
        of token ids, batches and speech detection.
        """
        if batch_size is not None or vad:
            missing = "batches of windows" if batch_size is not None else "speech detection"
            raise OptionError(f"{NAME} has no {missing}: it reads one window after another")
        if self.checks_options:
            options.validate()
        options.require_supported(NAME)
        arguments = self._arguments(options, len(waveform))
        torch.manual_seed(options.seed)
        with contextlib.ExitStack() as listening:
            if on_segment:
                listening.enter_context(contextlib.redirect_stdout(SegmentLines(on_segment)))
            if on_text:
                partial_text = PartialText(on_text, get_tokenizer(self.checkpoint.dims))
                listening.enter_context(told_tokens(self.model.decoder, partial_text))
            started = time.perf_counter()
            clock = OutsideClock(before="mel")
            if self.info.device == "cpu":
                listening.enter_context(timed_torch(self.model, clock))
            verbose = True if on_segment else None
            result = self.model.transcribe(waveform, verbose=verbose, **arguments)
            seconds = time.perf_counter() - started
        segments = tuple(to_segment(entry, entry.get("words", ())) for entry in result["segments"])
        return Transcript(
            text=result["text"],
            language=result["language"],
            segments=segments,
            duration=len(waveform) / SAMPLE_RATE,
            timings={**clock.seconds, "total": seconds},
        )

    def remember_windows(self) -> None:
        """From now on, encode each window once: for comparisons of many options, never for timings.
        Keeps up to `REMEMBERED_BYTES`."""
        encode, encoded = self.model.encoder.forward, dict[bytes, torch.Tensor]()

        def remembered(mel: torch.Tensor) -> torch.Tensor:
            key = hashlib.sha256(mel.numpy(force=True).tobytes()).digest()
            if key in encoded:
                return encoded[key]
            features: torch.Tensor = encode(mel)
            if (len(encoded) + 1) * features.nbytes <= REMEMBERED_BYTES:
                encoded[key] = features
            return features

        self.model.encoder.forward = remembered

    def _arguments(self, options: TranscribeOptions, n_samples: int) -> dict[str, Any]:
        """The field names are the reference's. Only tuples, clips and precision need a change."""
        if isinstance(options.initial_prompt, tuple | list):
            raise OptionError(f"{NAME} expects initial_prompt as text, got token ids: decode them")
        honoured = supported(TranscribeOptions, NAME)
        arguments = {
            name: value
            for name, value in options.to_dict().items()
            if name in honoured and name != "seed"
        }
        arguments["language"] = spoken_language(
            self.checkpoint.dims, options.language, options.task
        )
        arguments["fp16"] = self.info.dtype == "float16"
        arguments["temperature"] = options.temperatures  # a tuple: the reference takes no list
        if isinstance(options.suppress_tokens, tuple | list):
            # As text: given a list, the reference appends to it on every window.
            arguments["suppress_tokens"] = ",".join(map(str, options.suppress_tokens))
        arguments["clip_timestamps"] = _clips_within(options.clip_timestamps, n_samples)
        return arguments


def _clips_within(clips: str | tuple[float, ...], n_samples: int) -> list[float]:
    """Clip times in seconds, none past the end: the reference would loop forever there."""
    times = [float(x) for x in clips.split(",") if x] if isinstance(clips, str) else clips
    end = n_samples // HOP_LENGTH / FRAMES_PER_SECOND
    return [min(seconds, end) for seconds in times]


def create_engine(
    checkpoint: Checkpoint,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> Engine:
    """Build the engine. `dtype` is float32, or float16 on a GPU (the library keeps parameters in
    float32 and casts them in every operation). `cache_dir` is not used.

    Raises `DeviceError` for a device or a precision that torch does not support here.
    """
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    chosen = choose_device(device, n_gpus, "torch")
    resolved = chosen.default_dtype if dtype == "auto" else dtype
    allowed = ("float32",) if chosen.kind == "cpu" else ("float32", "float16")
    if resolved not in allowed:
        raise DeviceError(f"expected dtype {allowed} for {NAME} on {chosen.label}, got {resolved}")
    if progress:
        progress(f"{NAME}: loading {checkpoint.name} on {chosen.label}")
    torch.set_num_threads(cpu_threads())
    model = to_openai(checkpoint).to(torch.device(chosen.kind, chosen.index))
    info = EngineInfo(
        name=NAME,
        version=f"openai-whisper {version('openai-whisper')}, torch {torch.__version__}",
        model=checkpoint.name,
        device=chosen.label,
        device_reason=chosen.reason,
        dtype=resolved,
        weights=checkpoint.place,
    )
    return OpenAIEngine(model, info, checkpoint)
