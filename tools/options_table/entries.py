"""Our own entry points in Python and on the command line, asked through their own doors.

In: settings by name. Out: what the network was asked and what came of it, or what is handed on to
an engine; two such answers differ where an option has an effect. Raises `OptionError` where the
entry point refuses, `Absent` where it has no place for an option.
"""

import contextlib
import functools
import io
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from app import EXAMPLES
from maxwhisper.audio import decode
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.cli import build_parser
from maxwhisper.cli.flags import options_from, stream_options_from
from maxwhisper.cli.transcribe import mode_of
from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.engine import Waveform
from maxwhisper.runtime.model import MaxNetwork
from maxwhisper.stream_options import StreamOptions
from maxwhisper.transcript import Transcript
from maxwhisper.vad import VadOptions
from maxwhisper.whisper import Whisper
from tools.options_table.network import DIMS, Babbler

Settings = Mapping[str, Any]
LIVE_S = 42  # of the recording


class Absent(Exception):
    """The entry point has no place for the option; the text may say what it does instead."""


@functools.cache
def recording() -> Waveform:
    """63 s: speech, 3 s of silence, a phrase of 2 s, 3 s of silence, more speech than a window."""
    talk, silence = decode(EXAMPLES / "talk.flac"), np.zeros(3 * SAMPLE_RATE, np.float32)
    before, phrase, after, _ = np.split(talk, np.array([17, 19, 57]) * SAMPLE_RATE)
    return np.concatenate([before, silence, phrase, silence, after])


@functools.cache
def checkpoint() -> Checkpoint:
    return random_checkpoint(DIMS)


def whisper(seed: int) -> tuple[Whisper, Babbler]:
    network = Babbler(seed)
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
    """What is left for `**changes` once the `known` are taken."""
    return {
        name.rpartition(".")[2]: value
        for name, value in settings.items()
        if name.partition(".")[0] not in known
    }


def heard(transcript: Transcript) -> dict[str, Any]:
    return transcript.to_dict() | {"timings": None}


def sequential(settings: Settings, seed: int) -> Any:
    if "batch_size" in settings:
        raise Absent
    model, network = whisper(seed)
    transcript = model.transcribe(recording(), vad=voice(settings), **others(settings, "vad"))
    return network.asked, heard(transcript)


def batched(settings: Settings, seed: int) -> Any:
    """Without speech detection unless asked for: it takes longer than all the rest."""
    model, network = whisper(seed)
    vad = voice({"vad": False, **settings})
    size = settings.get("batch_size", 2)
    changes = others(settings, "vad", "batch_size")
    return network.asked, heard(model.transcribe(recording(), batch_size=size, vad=vad, **changes))


def stream(settings: Settings, seed: int) -> Any:
    """Without speech detection unless asked for, as above. All of the sound comes at once. How
    speech is looked for shows in silence, which takes shorter hops."""
    model, network = whisper(seed)
    vad = voice({"vad": False, **settings})
    hop_s = 1.0 if isinstance(vad, VadOptions) else 5.0
    how = StreamOptions(
        **{"hop_s": hop_s, "window_s": 10.0, "vad": vad, **part(settings, "stream")}
    )
    changes = others(settings, "vad", "stream")
    live = model.stream(how=how, **changes)
    update = live.feed(recording()[: LIVE_S * SAMPLE_RATE])
    return network.asked, update.committed, update.tentative, heard(live.finish())


def command_line(settings: Settings, seed: int) -> Any:
    """Options and mode as `transcribe` gives them to an engine, and as `live` does."""
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
