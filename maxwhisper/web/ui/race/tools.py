"""The tools of an agent: `transcribe` one recording, or `race` every engine on it.

In: a `Runner` and the bundled clips. Out: tools for the route of the Model Context Protocol. They
wait in the same queue and have the same limits as a visitor of the page.
"""

import base64
import binascii
import io
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from maxwhisper.errors import AudioError, OptionError, quoted
from maxwhisper.options.info import check_value
from maxwhisper.web.server.fair_use import FairUse
from maxwhisper.web.server.mcp import Arguments, Steps, Tool
from maxwhisper.web.ui.examples import Example
from maxwhisper.web.ui.race.api import Comparison, answer, transcribed
from maxwhisper.web.ui.race.request import LONG_S, MAX_ROUNDS, Request, Source
from maxwhisper.web.ui.race.runner import Runner

ABOUT = (
    "Speech to text. `transcribe` gives the text of a recording with times. `race` runs "
    "openai-whisper, faster-whisper and maxwhisper on it, one after the other on this machine, "
    "with the same weights and settings, and says which was fastest and how the texts differ."
)
_TRANSCRIBE = (
    "Transcribe speech with maxwhisper (Whisper in Modular MAX). Returns text, language, seconds "
    "of audio (audio_s), seconds of work, and segments with start and end in seconds."
)
_RACE = (
    "Run three Whisper engines on one recording, one at a time, and time each. Returns the verdict "
    "in sentences, the factor (the fastest baseline's median time over ours, null where it is too "
    "close or too noisy to call), the text of each engine, and its scores: median_s, rtfx (seconds "
    "of audio per second of work), tokens_per_s, first_text_s, word_errors against `reference` if "
    "you give one, and agreement with the other engines. Takes seconds to minutes."
)


def agent_tools(runner: Runner, examples: Sequence[Example], fair: FairUse) -> list[Tool]:
    """The two tools. Recordings that come inside a message count as uploads for `fair`."""
    titles = ", ".join(f"“{clip.title}”" for clip in examples)
    common = {
        "recording": {
            "type": "string",
            "description": "The recording. One of: a bundled clip by its title "
            f"({titles}); an audio or video file of up to 3 MB in base64, with or without "
            "“data:audio/…;base64,” before it; or the path that POST /gradio_api/upload answered.",
        },
        "model": {
            "type": "string",
            "enum": ["", *runner.pool.models],
            "default": "",
            "description": "Whisper checkpoint; empty: the page's default.",
        },
        "language": {
            "type": "string",
            "default": "en",
            "description": "Spoken language as a code such as “de”; empty: detected.",
        },
    }
    words = {
        "type": "boolean",
        "default": False,
        "description": "Also give each word with its times.",
    }
    reference = {
        "type": "string",
        "default": "",
        "description": "The correct transcript, if known: adds word error rates.",
    }
    rounds = {
        "type": ["integer", "null"],
        "minimum": 1,
        "maximum": MAX_ROUNDS,
        "default": None,
        "description": "How often each engine runs; the median counts. Null: 3 for a recording "
        f"under {LONG_S:.0f} s, else 1.",
    }
    take = partial(_request, runner, {clip.title.casefold(): clip for clip in examples}, fair)

    def transcribe(arguments: Arguments, visitor: str) -> Steps:
        request = take(arguments, ("word_timestamps",), visitor)
        try:
            for step in runner.transcribe(request):
                yield step if isinstance(step, str) else transcribed(step)
        finally:
            runner.discard(request)

    def race(arguments: Arguments, visitor: str) -> Steps:
        request = take(arguments, ("reference", "rounds"), visitor)
        session, view = secrets.token_hex(8), None
        try:
            for view in runner.run(session, request):
                if not view.is_over:
                    lanes = view.panels.values()
                    yield "; ".join(f"{lane.engine}: {lane.note}" for lane in lanes)
            assert view is not None, "the last view of a race has its run"
            yield _shortened(answer(view, has_link=False))
        finally:
            runner.leave(session)
            runner.discard(request)

    return [
        Tool(
            "transcribe",
            "Transcribe a recording",
            _TRANSCRIBE,
            {**common, "word_timestamps": words},
            transcribe,
        ),
        Tool(
            "race",
            "Race three Whisper engines",
            _RACE,
            {**common, "reference": reference, "rounds": rounds},
            race,
        ),
    ]


def _request(
    runner: Runner,
    clips: Mapping[str, Example],
    fair: FairUse,
    arguments: Arguments,
    own: Sequence[str],
    visitor: str,
) -> Request:
    """What an agent asks for, its recording decoded. `own` are the arguments of one tool. Raises
    `OptionError`, `AudioError`, `LimitExceeded` or `NoRoom`."""
    allowed = ("recording", "model", "language", *own)
    unknown = [name for name in arguments if name not in allowed]
    if unknown:
        raise OptionError(f"there is no argument {quoted(unknown[0])}, only {', '.join(allowed)}")
    if "recording" not in arguments:
        raise OptionError("expected the argument recording: name a clip, or send a file in base64")
    recording = arguments["recording"]
    check_value("recording", recording, str)
    named = {name: value for name, value in arguments.items() if name != "recording"}
    options = {name: named.pop(name) for name in ("word_timestamps",) if name in named}
    asked: Any = partial(Comparison, **named, options=options, keep=False)
    clip = clips.get(recording.strip().casefold())
    if clip is not None:
        source = Source(clip.path, is_upload=False, name=clip.title)
        return asked(recording=None).of(source, runner, visitor)
    path = recording
    if not recording.startswith(str(runner.uploads.root)):
        fair.use_upload(visitor)
        data = _decoded(recording)
        path = str(runner.uploads.store(io.BytesIO(data), len(data), visitor))
    return asked(recording={"path": path}).request(runner, visitor)


def _decoded(text: str) -> bytes:
    """The bytes of a file in base64. Raises `AudioError`."""
    try:
        data = base64.b64decode(text.partition("base64,")[2] or text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise AudioError(
            "not_an_upload",
            f"{quoted(text)} is neither the title of a clip nor a file in base64. Web addresses "
            "and paths of your own machine are not read: send the file.",
        )
    return data


def _shortened(answered: dict[str, Any]) -> dict[str, Any]:
    """The answer of `compare` without what only a program reads: settings, machine, tokens."""
    results = answered["run"]["results"]
    texts = {each["engine"]: each["transcript"]["text"].strip() for each in results}
    shown = {name: answered[name] for name in ("verdict", "factor", "scores")}
    return {**shown, "texts": texts, "audio_s": answered["run"]["audio_s"]}
