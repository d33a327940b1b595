"""A finished race as one record: what was measured, with which settings, on which machine.

Input: the results of a race. Output: the same as a JSON document, and back. Does not know where it
is stored (`run_store`) nor how it is shown.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from msgspec import UNSET, UnsetType

from maxwhisper.engine import EngineInfo
from maxwhisper.engines.race import EngineResult
from maxwhisper.evaluation.records import Record
from maxwhisper.options import TranscribeOptions


class Run(Record, kw_only=True):
    """One race and everything it was measured with."""

    KIND: ClassVar[str] = "race"
    REMEDY: ClassVar[str] = "race again"

    schema: int = 1
    id: str
    when: str  # ISO 8601, UTC
    model: str
    machine: Mapping[str, Any]  # `maxwhisper.machine.describe()`
    options: TranscribeOptions
    batch_size: int | UnsetType = UNSET  # windows decoded together; one after another without it
    vad: bool | UnsetType = UNSET  # only speech was read; batches always do that
    rounds: int
    audio_name: str
    audio_s: float
    audio_warning: str | UnsetType = UNSET  # what of the recording could not be decoded, if so
    reference: str  # what is said in the recording; "": unknown
    results: tuple[EngineResult, ...]
    refused: Mapping[str, str]  # {engine: reason}
    engines: Mapping[str, EngineInfo]  # {engine: what it ran}

    @classmethod
    def from_dict(cls, document: object) -> Self:
        """`Record.from_dict`. Options that are missing have their defaults; an unknown one raises
        `OptionError`."""
        if isinstance(document, Mapping) and isinstance(document.get("options"), Mapping):
            TranscribeOptions().changed(document["options"])
        return super().from_dict(document)

    @property
    def mode_name(self) -> str:
        """How windows were read, for people; "" for one after another."""
        names = [f"batches of {self.batch_size}"] if self.batch_size is not UNSET else []
        return " · ".join([*names, *(["voice activity detection"] if self.vad is True else [])])

    def check(self) -> None:
        self.options.validate()
        for result in self.results:
            if not result.seconds or len(result.spoken_s) != len(result.transcript.segments):
                raise ValueError(f"results: {result.engine} lacks the times of rounds or segments")
