"""Calls the two other engines, up to the call of their own `transcribe`.

Out: the arguments of that call, which is not made. `baselines` refuses options that the libraries
are known to ignore.
"""

from typing import Any, cast

import torch

from baselines.faster_options import batch_arguments, sequential_arguments
from baselines.openai_engine import OpenAIEngine
from maxwhisper.engine import EngineInfo
from maxwhisper.options import TranscribeOptions
from tools.options_table.entries import (
    Absent,
    Settings,
    checkpoint,
    others,
    part,
    recording,
    voice,
)

_INFO = EngineInfo("", "", "", "", "", dtype="float32")


class RecordingModel:
    """Takes the place of `whisper.model.Whisper` and records its arguments in `received`."""

    received: Any = None

    def transcribe(self, waveform: object, **arguments: Any) -> dict[str, Any]:
        self.received = arguments, torch.initial_seed()
        return {"text": "", "language": "en", "segments": []}


def openai(settings: Settings, seed: int) -> Any:
    options, mode = _call(settings)
    model = RecordingModel()
    OpenAIEngine(cast(Any, model), _INFO, checkpoint()).transcribe(recording(), options, **mode)
    return model.received


def faster(settings: Settings, seed: int) -> Any:
    options, mode = _call(settings)
    arguments = sequential_arguments(options, checkpoint().dims, mode["vad"])
    if mode["batch_size"] is not None:
        arguments |= batch_arguments(options, audio_s=1.0, **mode)
    return arguments


def _call(settings: Settings) -> tuple[TranscribeOptions, dict[str, Any]]:
    """Options and mode for `Engine.transcribe`. The other engines have no live mode."""
    if part(settings, "stream"):
        raise Absent
    mode = {"batch_size": settings.get("batch_size"), "vad": voice(settings)}
    return TranscribeOptions().changed(others(settings, *mode)), mode
