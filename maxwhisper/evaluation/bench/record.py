"""Benchmark records: the types, and which values contradict each other.

Every derived number follows from the seconds beside it, and `BenchRecord.check` verifies that.
Seconds are wall clock, memory is bytes, shares lie in 0..1, and None is "not known" or "does not
apply". `summary` compares, `tables` prints, `figures` draws.
"""

import hashlib
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import msgspec

from maxwhisper.engine import EngineInfo
from maxwhisper.engines.verdict import apart
from maxwhisper.evaluation.records import Part, Record

# Two medians of one engine further apart than this: the machine is too noisy to compare engines.
AA_LIMIT = 0.02
QUIET: Literal["quiet"] = "quiet"
NOISY: Literal["too noisy"] = "too noisy"
UNCHECKED: Literal["not checked"] = "not checked"

TEXT_KEPT_S = 600  # texts of longer clips would be most of a record


class ModeEntry(Part):
    options: dict[str, Any]
    batch_size: int | None
    vad: str | None  # whose voice activity detection cuts the batches


class Settings(Part):
    rounds: int
    warmups: int
    order: str
    modes: dict[str, ModeEntry]


class ModelEntry(Part):
    source: str
    dims: dict[str, int] | None  # None where no engine could load it
    tokens_per_window: int | None  # None: decoded until the text ends


class ClipEntry(Part):
    audio_s: float
    source: str
    decode_seconds: list[float]  # for reading the file, one a round; empty where there is no file
    decode_s: float | None  # their median


class GraphRuns(Part):
    count: int
    seconds: float


class Run(Part):
    """One engine in one mode on one clip with one model. A run with an error, or of a mode that the
    engine does not have, has no numbers; the others are `MeasuredRun`s."""

    engine: str  # a key of `engine.ENGINES`
    label: str  # the engine, and its precision where one was requested
    mode: str  # a key of `Settings.modes`
    model: str  # a key of `BenchRecord.models`
    clip: str  # a key of `BenchRecord.clips`
    audio_s: float
    info: EngineInfo | None
    error: str | None
    unsupported: str | None  # the engine does not have this mode, which is no failure
    load_s: float | None  # from weights in memory to ready, nothing compiled or converted
    prepare_s: float | None  # compiling and converting, where the first start had to
    cold_s: float | None  # the first call after loading, in the run that made it
    seconds: list[float]  # samples in, text out: one a round
    median_s: float | None
    iqr_s: float | None  # between the quartiles of `seconds`
    rtfx: float | None  # audio_s / median_s
    file_s: float | None  # median_s and the clip's decode_s: file in, text out
    first_text_s: float | None  # median time of the first segment reported
    n_tokens: int | None  # of the transcript
    tokens_per_s: float | None
    step_ms: float | None  # stage `decode` / steps, where their number is fixed
    stages: dict[str, float]  # seconds, as the engine names them, in the round nearest the median
    graphs: dict[str, GraphRuns]  # of the last warm-up, where the engine exposes its graphs
    outside_graphs: float | None  # share of that warm-up spent in no graph
    host_peak_bytes: int | None  # of the engine's process, samples included
    device_bytes: int | None  # what the engine's process holds on the GPU afterwards
    wer: float | None
    text: str | None  # None too for random weights and for clips over `TEXT_KEPT_S`
    text_sha256: str | None
    same_text_every_round: bool | None


class MeasuredRun(Run):
    """A run with numbers."""

    error: None
    unsupported: None
    median_s: float
    iqr_s: float
    rtfx: float
    n_tokens: int
    tokens_per_s: float


class AaCell(Part):
    """The first engine twice in one cell."""

    label: str
    mode: str
    model: str
    clip: str
    seconds: tuple[list[float], list[float]]
    apart: float  # difference of the two medians, as a share of the smaller one


class AaCheck(Part):
    """The same engine under two names: their difference is noise."""

    limit: float  # `AA_LIMIT`
    worst: float | None  # largest `apart`
    verdict: Literal["quiet", "too noisy", "not checked"]
    cells: list[AaCell]

    @classmethod
    def of(cls, cells: Sequence[AaCell]) -> Self:
        worst = max((cell.apart for cell in cells), default=None)
        verdict = UNCHECKED if worst is None else QUIET if worst < AA_LIMIT else NOISY
        return cls(AA_LIMIT, worst, verdict, list(cells))


class BenchRecord(Record, kw_only=True):
    KIND: ClassVar[str] = "benchmark record"
    REMEDY: ClassVar[str] = "measure again with `bench --output`"

    schema: int = 2
    when: str  # ISO 8601, UTC
    machine: dict[str, Any]  # `maxwhisper.machine.describe()`
    settings: Settings
    models: dict[str, ModelEntry]
    clips: dict[str, ClipEntry]
    runs: list[Run]  # one for each engine, mode, model and clip
    aa: AaCheck

    def __post_init__(self) -> None:
        self.runs = [_typed(number, run) for number, run in enumerate(self.runs)]

    @property
    def measured(self) -> list[MeasuredRun]:
        """The runs with numbers."""
        return [run for run in self.runs if isinstance(run, MeasuredRun)]

    @property
    def failed(self) -> bool:
        """True if any run has an error."""
        return any(run.error is not None for run in self.runs)

    def check(self) -> None:
        if not self.runs:
            raise ValueError("expected at least one run, got none")
        for number, run in enumerate(self.runs):
            self._check_run(f"runs[{number}]", run)
        _check_aa(self.aa)

    def _check_run(self, where: str, run: Run) -> None:
        known: dict[str, Mapping[str, Any]] = {
            "mode": self.settings.modes,
            "model": self.models,
            "clip": self.clips,
        }
        for name, names in known.items():
            if (found := getattr(run, name)) not in names:
                raise ValueError(f"{where}.{name}: expected one of {', '.join(names)}, got {found}")
        if isinstance(run, MeasuredRun):
            self._check_numbers(where, run)
        elif run.seconds:
            raise ValueError(f"{where}: a run with an error must have no seconds")

    def _check_numbers(self, where: str, run: MeasuredRun) -> None:
        """The derived numbers of a run must follow from its seconds and its text."""
        rounds = self.settings.rounds
        if len(run.seconds) != rounds or not all(s > 0 for s in run.seconds):
            raise ValueError(
                f"{where}.seconds: expected {rounds} positive numbers, got {run.seconds}"
            )
        decode_s = self.clips[run.clip].decode_s
        for name, expected in derived(run.seconds, run.audio_s, decode_s, run.n_tokens).items():
            if not _equal(found := getattr(run, name), expected):
                raise ValueError(
                    f"{where}.{name}: expected {expected} from its seconds, got {found}"
                )
        text = run.text
        if text is not None and hashlib.sha256(text.encode()).hexdigest() != run.text_sha256:
            raise ValueError(f"{where}.text_sha256 is not the hash of its text")


def _typed(number: int, run: Run) -> Run:
    """A `MeasuredRun` if the run must have numbers. Raises `ValueError` if it does not."""
    if run.error is not None or run.unsupported is not None:
        return run
    try:
        return msgspec.convert(run, MeasuredRun, from_attributes=True)
    except msgspec.ValidationError as error:
        raise ValueError(f"runs[{number}]: {error}") from error


def derived(
    seconds: Sequence[float], audio_s: float, decode_s: float | None, n_tokens: int
) -> dict[str, float | None]:
    """The numbers of a run that follow from the seconds of its rounds."""
    median_s = statistics.median(seconds)
    return {
        "median_s": median_s,
        "iqr_s": interquartile_range(seconds),
        "rtfx": audio_s / median_s,
        "file_s": None if decode_s is None else median_s + decode_s,
        "tokens_per_s": n_tokens / median_s,
    }


def interquartile_range(seconds: Sequence[float]) -> float:
    if len(seconds) < 2:
        return 0.0
    first, _, third = statistics.quantiles(seconds, n=4, method="inclusive")
    return third - first


def _check_aa(aa: AaCheck) -> None:
    for number, cell in enumerate(aa.cells):
        if not _equal(cell.apart, apart(*cell.seconds)):
            raise ValueError(f"aa.cells[{number}].apart does not follow from its seconds")
    if (expected := AaCheck.of(aa.cells).verdict) != aa.verdict:
        raise ValueError(f"aa.verdict: expected {expected!r} from its cells, got {aa.verdict!r}")


def _equal(value: float | None, expected: float | None) -> bool:
    if value is None or expected is None:
        return value is expected
    return math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-12)
