"""Profiles as records: the JSON of `profile --output`."""

from typing import Any, ClassVar, Literal

from msgspec import UNSET, UnsetType

from maxwhisper.engine import EngineInfo
from maxwhisper.evaluation.bench.record import GraphRuns
from maxwhisper.evaluation.records import Part, Record


class FunctionTime(Part):
    function: str  # for example "decoding/rules.py:134 log_sum_exp"
    calls: int
    own_s: float  # in the function itself, under Python's profiler


class Ceilings(Part):
    """Floating-point operations, and bytes read or written, per second: peak rates of a device."""

    flops_per_s: float
    bytes_per_s: float


class RooflineEntry(Part):
    """One graph at one batch size, against the peak rate that bounds it."""

    graph: str
    batch: int
    seconds: float  # median
    bound_by: Literal["flops", "bytes"]
    work: int  # flops or bytes that the mathematics needs
    share: float  # of the peak rate


class Against(Part):
    """What the device can do, and what share of it encoder and decoder step reach."""

    ceilings: Ceilings
    roofline: list[RooflineEntry]


class Profile(Record, kw_only=True):
    """One transcription. `clip`, `mode` and `model` name it in a file; `ceilings` and `roofline`
    are there where they were requested."""

    KIND: ClassVar[str] = "profile"
    REMEDY: ClassVar[str] = "profile again with `profile --output`"

    clip: str | UnsetType = UNSET
    mode: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    machine: dict[str, Any]
    info: EngineInfo
    audio_s: float
    batch_size: int | None
    n_tokens: int
    total_s: float
    stages: dict[str, float]
    graphs: dict[str, GraphRuns]
    outside_graphs: float  # share of `total_s` spent in no graph
    outside_limit: float
    functions: list[FunctionTime]  # slowest first
    per_op: str  # how to time single operations, or why that is not possible
    ceilings: Ceilings | UnsetType = UNSET
    roofline: list[RooflineEntry] | UnsetType = UNSET
