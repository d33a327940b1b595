"""The record of measured stage costs."""

from typing import Any, ClassVar

from maxwhisper.evaluation.records import Part, Record


class Costs(Part):
    """Seconds. Medians of `n_rounds` runs."""

    decode_s: float  # of one thread, for a second of audio: sha256, decoding, resampling
    transcribe_s: float  # of this whole machine, for a second of audio: in batches
    write_s: float  # of one thread, for a recording: its files
    driver_s: float  # of a cluster's head, for a recording: giving it out, keeping its result
    load_s: float  # until a worker can transcribe: process, libraries, weights, graphs from disk


class ScaleRecord(Record, kw_only=True):
    """What each stage of `maxwhisper batch` costs."""

    KIND: ClassVar[str] = "record of stage costs"
    REMEDY: ClassVar[str] = "run `python -m tools.archive_scale measure` again"

    schema: int = 1
    machine: dict[str, Any]
    model: str
    codec: str
    source_bytes: float  # for a second of audio, as stored
    output_bytes: float  # for a second of audio: txt and json
    n_rounds: int
    costs: Costs
    spread: dict[str, float]  # of each cost: (largest - smallest) / median

    def check(self) -> None:
        """Raise `ValueError` for a cost that cannot be."""
        for name in Costs.__struct_fields__:
            if getattr(self.costs, name) <= 0:
                raise ValueError(f"expected a positive {name}, got {getattr(self.costs, name)}")
