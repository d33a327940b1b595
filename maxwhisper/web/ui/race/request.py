"""What a visitor or a program asks of a race: its options and the page's limits on them.

Everything else about an option is in `maxwhisper.options`. No gradio.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from maxwhisper.engine import ENGINES
from maxwhisper.errors import OptionError
from maxwhisper.options import TranscribeOptions, WindowOptions
from maxwhisper.options.info import Allowed, Option, check_value, options_of
from maxwhisper.text.languages import language_code
from maxwhisper.web.server.run_store import new_run_id
from maxwhisper.web.server.visitor import LOCALHOST

MAX_ROUNDS = 5
LONG_S = 60.0  # a recording from this length on has one round, unless more are asked for
MAX_BEAM_SIZE = 10  # each beam has its own decoder cache, in every engine
MAX_BATCH_SIZE = 16  # as each beam
MAX_TEMPERATURE = 1.0  # the highest that Whisper samples at
MAX_TEXT_CHARACTERS = 20_000  # of a reference or a prompt

_ALL = options_of(TranscribeOptions) | options_of(WindowOptions)


def _on_page(name: str, **changes: Any) -> Option:
    """The option with the page's limits in place of its own, and whom it leaves out."""
    info = replace(_ALL[name].info, **changes)
    refusing = [engine for engine in ENGINES if engine in info.unsupported]
    if refusing:
        out = f"{' and '.join(refusing)} cannot do this and does not take part"
        info = replace(info, help=f"{info.help}; {out}")
    return replace(_ALL[name], info=info)


# Beside the language: the options that every engine honours. One temperature, never a fallback:
# every engine decodes each window once.
RACE_OPTIONS: dict[str, Option] = {
    "task": _ALL["task"],
    "beam_size": _on_page("beam_size", allowed=Allowed(minimum=1, maximum=MAX_BEAM_SIZE)),
    "temperature": replace(
        _on_page(
            "temperature",
            help="0 is deterministic; above 0, words are sampled",
            allowed=Allowed(minimum=0, maximum=MAX_TEMPERATURE),
        ),
        kind=float,
        default=0.0,
    ),
    "without_timestamps": _ALL["without_timestamps"],
    "word_timestamps": _ALL["word_timestamps"],
    "condition_on_previous_text": _ALL["condition_on_previous_text"],
    "initial_prompt": replace(_ALL["initial_prompt"], kind=str | None),
}

# How windows are read. The lane of an engine that has no batches or no speech detection is refused,
# because without them it would do other work than the others.
RACE_MODE: dict[str, Option] = {
    "batch_size": _on_page("batch_size", allowed=Allowed(minimum=1, maximum=MAX_BATCH_SIZE)),
    "vad": replace(_on_page("vad"), kind=bool, default=False),
}


@dataclass(frozen=True)
class Source:
    """The chosen recording: an upload, whose path was checked, or a bundled clip."""

    path: Path
    is_upload: bool
    name: str = "recording"  # shown to people; a file name may contain anything
    is_spoken: bool = False  # recorded on the page: kept only if the visitor asks


@dataclass(frozen=True)
class Request:
    """Everything that a race needs to know."""

    source: Source | None
    model: str
    options: TranscribeOptions
    reference: str = ""  # the correct transcript, "" if unknown
    rounds: int | None = 1  # None: `automatic_rounds`
    is_kept: bool = True  # saved under a link; else deleted when the page is closed
    visitor: str = LOCALHOST  # a name
    batch_size: int | None = None  # None: one window after another
    vad: bool = False
    id: str = field(default_factory=new_run_id)  # of the run that it becomes

    @property
    def mode(self) -> dict[str, Any]:
        """Arguments of `Engine.transcribe`; empty where windows are read one after another."""
        asked = {"batch_size": self.batch_size, "vad": self.vad}
        return {name: value for name, value in asked.items() if value}

    def validate(self) -> Source:
        """The recording to run. Raises `OptionError` for a value out of range: a request may come
        from a program that sends anything."""
        if self.source is None:
            raise OptionError("Choose a recording first: upload one, record one, or choose a clip.")
        check_value("rounds", self.rounds, int | None, Allowed(minimum=1, maximum=MAX_ROUNDS))
        check_value("keep", self.is_kept, bool)
        for name, text in (("model", self.model), ("reference", self.reference)):
            check_value(name, text, str)
        for name, option in RACE_OPTIONS.items():
            option.check(getattr(self.options, name))
        for name, option in RACE_MODE.items():
            option.check(getattr(self, name))
        self.options.validate()
        if self.options.language is not None:
            language_code(self.options.language)  # once, and not by every engine
        longest = max(len(self.reference), len(self.options.initial_prompt or ""))
        if longest > MAX_TEXT_CHARACTERS:
            raise OptionError(
                f"This text has {longest} characters, at most {MAX_TEXT_CHARACTERS} are allowed."
            )
        return self.source


def automatic_rounds(audio_s: float) -> int:
    """Three, so that a median has a range; one where that takes long."""
    return 3 if audio_s < LONG_S else 1
