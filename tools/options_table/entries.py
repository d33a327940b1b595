"""Calls our own entry points in Python and on the command line.

In: settings by name. Out: what the network received and the transcript, or what an engine receives;
two such answers differ if an option has an effect. Raises `OptionError` if the entry point refuses
an option, `Absent` if it has no such option.
"""

import contextlib
import functools
import io
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from app import EXAMPLES
from maxwhisper.audio.load import decode
from maxwhisper.audio.waveform import Waveform
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.cli import build_parser
from maxwhisper.cli.flags import options_from, stream_options_from
from maxwhisper.cli.transcribe import mode_of
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.options import StreamOptions, VadOptions
from maxwhisper.runtime.model import MaxNetwork
from maxwhisper.transcript import Transcript
from maxwhisper.whisper import Whisper
from tools.options_table.network import DIMS, RandomNetwork

Settings = Mapping[str, Any]
LIVE_S = 42  # of the recording


class Absent(Exception):
    """The entry point has no such option; the text may say what it does instead."""


@functools.cache
def recording() -> Waveform:
    """63 s: speech, 3 s of silence, a phrase of 2 s, 3 s of silence, more speech than a window."""
    talk, silence = decode(EXAMPLES / "talk.flac"), np.zeros(3 * SAMPLE_RATE, np.float32)
    before, phrase, after, _ = np.split(talk, np.array([17, 19, 57]) * SAMPLE_RATE)
    return np.concatenate([before, silence, phrase, silence, after])


@functools.cache
def checkpoint() -> Checkpoint:
    return random_checkpoint(DIMS)


def whisper(seed: int) -> tuple[Whisper, RandomNetwork]:
    network = RandomNetwork(seed)
    return Whisper(checkpoint(), cast(MaxNetwork, network)), network


def part(settings: Settings, group: str) -> dict[str, Any]:
    """The fields "group.name", by name."""
    return {
        name.partition(".")[2]: value
        for name, value in settings.items()
        if name.startswith(f"{group}.")
    }


def voice(settings: Settings) -> VadOptions | bool | None:
    vad = part(settings, "vad")
    return VadOptions(**vad) if vad else settings.get("vad")


def others(settings: Settings, *known: str) -> dict[str, Any]:
    """The settings for `**changes`: all but those of the `known` groups."""
    return {
        name.rpartition(".")[2]: value
        for name, value in settings.items()
        if name.partition(".")[0] not in known
    }


def without_timings(transcript: Transcript) -> dict[str, Any]:
    return transcript.to_dict() | {"timings": None}


def sequential(settings: Settings, seed: int) -> Any:
    if "batch_size" in settings:
        raise Absent
    model, network = whisper(seed)
    transcript = model.transcribe(recording(), vad=voice(settings), **others(settings, "vad"))
    return network.calls, without_timings(transcript)


def batched(settings: Settings, seed: int) -> Any:
    """Without speech detection by default: it takes longer than everything else."""
    model, network = whisper(seed)
    vad = voice({"vad": False, **settings})
    size = settings.get("batch_size", 2)
    changes = others(settings, "vad", "batch_size")
    return network.calls, without_timings(
        model.transcribe(recording(), batch_size=size, vad=vad, **changes)
    )


def stream(settings: Settings, seed: int) -> Any:
    """Without speech detection by default, as above. All of the audio arrives at once. Options of
    speech detection show in silence, which needs shorter hops."""
    model, network = whisper(seed)
    vad = voice({"vad": False, **settings})
    hop_s = 1.0 if isinstance(vad, VadOptions) else 5.0
    how = StreamOptions(
        **{"hop_s": hop_s, "window_s": 10.0, "vad": vad, **part(settings, "stream")}
    )
    changes = others(settings, "vad", "stream")
    live = model.stream(how=how, **changes)
    update = live.feed(recording()[: LIVE_S * SAMPLE_RATE])
    return network.calls, update.committed, update.tentative, without_timings(live.finish())


def command_line(settings: Settings, seed: int) -> Any:
    """The options and the mode that the command `transcribe` or `live` gives to an engine."""
    command = "live" if part(settings, "stream") else "transcribe"
    flags = ["--vad"] if part(settings, "vad") else []
    for name, value in settings.items():
        name = name.removeprefix("stream.").replace(".", "_")
        if name == "vad" and command == "transcribe":
            flags += ["--vad"] if value else []
        else:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            flags.append(f"--{name}={text}")
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            args = build_parser().parse_args([command, "talk.flac", *flags])
    except SystemExit:
        raise Absent from None
    return options_from(args), stream_options_from(args) if command == "live" else mode_of(args)
