"""A finished race as one value: what was measured, with what, on what.

In: the results of a race. Out: the same as plain JSON, and back. Must not know where it is kept
(`runs` does) nor how it is shown.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from maxwhisper.engine import EngineInfo
from maxwhisper.options import TranscribeOptions
from maxwhisper.records import check_fields
from maxwhisper.serving.race import LaneResult
from maxwhisper.transcript import Transcript

SCHEMA = 1  # of run.json; a file of another one is not read

_FIELDS = {
    "id": (str,),
    "when": (str,),
    "model": (str,),
    "machine": (dict,),
    "options": (dict,),
    "rounds": (int,),
    "audio_name": (str,),
    "audio_s": (int, float),
    "reference": (str,),
    "results": (list,),
    "refused": (dict,),
    "engines": (dict,),
}


@dataclass(frozen=True)
class Run:
    """One race and everything it was measured with. `refused` maps an engine to its reason,
    `engines` to what it was running; `reference` is what was said, "" when unknown."""

    id: str
    when: str  # ISO 8601, UTC
    model: str
    machine: Mapping[str, Any]  # `maxwhisper.machine.describe()`
    options: TranscribeOptions
    rounds: int
    audio_name: str
    audio_s: float
    reference: str
    results: tuple[LaneResult, ...]
    refused: Mapping[str, str]
    engines: Mapping[str, EngineInfo]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready mapping: the fields, and the `schema` number."""
        return {
            "schema": SCHEMA,
            **{name: getattr(self, name) for name in _FIELDS},
            "machine": dict(self.machine),
            "options": self.options.to_dict(),
            "results": [
                {**asdict(result), "transcript": result.transcript.to_dict()}
                for result in self.results
            ],
            "refused": dict(self.refused),
            "engines": {name: info.to_dict() for name, info in self.engines.items()},
        }

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "Run":
        """What `to_dict` wrote. Raises `ValueError` that names what is wrong."""
        check_fields("run", mapping, {"schema": (int,)})
        if mapping["schema"] != SCHEMA:
            raise ValueError(f"run.schema: expected {SCHEMA}, got {mapping['schema']}")
        check_fields("run", mapping, _FIELDS)
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in mapping["options"].items()}
        try:
            return cls(
                **{name: mapping[name] for name in _FIELDS}
                | {
                    "options": TranscribeOptions().changed(options).validate(),
                    "results": tuple(map(_result, mapping["results"])),
                    "engines": {n: EngineInfo(**e) for n, e in mapping["engines"].items()},
                }
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"run: expected what this version writes: {error}") from error


def _result(mapping: Mapping[str, Any]) -> LaneResult:
    lists = {name: tuple(mapping[name]) for name in ("seconds", "disturbed_by", "spoken_s")}
    transcript = Transcript.from_dict(mapping["transcript"])
    result = LaneResult(**{**mapping, **lists, "transcript": transcript})
    if not result.seconds or len(result.spoken_s) != len(transcript.segments):
        raise ValueError(f"run.results: {result.engine} lacks the times of rounds or segments")
    return result
