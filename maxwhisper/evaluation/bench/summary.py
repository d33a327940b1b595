"""What a benchmark record says: who is faster by how much, and does time grow with the audio?

In: a record. Out: plain rows. Computed from the record alone; nothing is measured here.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from maxwhisper.engine import OURS
from maxwhisper.engines.verdict import Verdict, verdict_of
from maxwhisper.evaluation.bench.cases import TALK
from maxwhisper.evaluation.bench.record import BenchRecord, MeasuredRun, Run
from maxwhisper.evaluation.records import stages_of
from maxwhisper.network.dims import CHUNK_LENGTH_S, SAMPLE_RATE
from maxwhisper.text.wer import Unit, unit_of

# Seconds per second of audio may differ by so much between lengths, from a full window on.
LINEAR_WITHIN = 0.05
# So may memory without the samples: the log-mel of 5 min is kept, 10 MB at 80 mels.
FLAT_WITHIN = 0.10
MEMORY_LIMIT = 1.2  # times a baseline's memory; a note below a table names what is above
SAMPLE_BYTES = 4  # float32

UNTOLD = "not told"  # time in no stage, or of an engine that reports no stages


@dataclass(frozen=True)
class Ratio:
    """Ours against one baseline in one cell. Speed above 1: we are faster; memory: we take more."""

    model: str
    mode: str
    clip: str
    ours: str
    baseline: str
    speed: float  # baseline's median / our median
    slowest: float  # baseline's fastest round / our slowest
    fastest: float  # baseline's slowest round / our fastest
    memory: float | None  # our peak / baseline's
    verdict: Verdict  # what we are


@dataclass(frozen=True)
class Scaling:
    """One engine in one mode on clips of several lengths."""

    label: str
    mode: str
    model: str
    clips: tuple[str, ...]  # short to long
    seconds_per_audio_s: tuple[float, ...]
    peak_bytes: tuple[int | None, ...]  # without the samples

    @property
    def uneven(self) -> float:
        """Largest over smallest time per second of audio, minus 1."""
        return max(self.seconds_per_audio_s) / min(self.seconds_per_audio_s) - 1

    @property
    def is_linear(self) -> bool:
        return self.uneven <= LINEAR_WITHIN

    @property
    def growth(self) -> float | None:
        """Memory at the longest over memory at the shortest, minus 1."""
        first, last = self.peak_bytes[0], self.peak_bytes[-1]
        return None if first is None or last is None else last / first - 1

    @property
    def is_flat(self) -> bool | None:
        return None if self.growth is None else self.growth <= FLAT_WITHIN


def cells(record: BenchRecord) -> Iterator[tuple[tuple[str, str, str], list[Run]]]:
    """((model, mode, clip), its runs), in the order of the record."""

    def cell(run: Run) -> tuple[str, str, str]:
        return run.model, run.mode, run.clip

    for key, runs in groupby(record.runs, cell):
        yield key, list(runs)


def ratios(record: BenchRecord) -> list[Ratio]:
    """Each of our runs against each baseline run in the same cell."""
    return [
        _ratio(ours, theirs)
        for _, runs in cells(record)
        for ours in runs
        for theirs in runs
        if isinstance(ours, MeasuredRun) and isinstance(theirs, MeasuredRun)
        if ours.engine == OURS != theirs.engine
    ]


def _ratio(ours: MeasuredRun, theirs: MeasuredRun) -> Ratio:
    peak, their_peak = ours.host_peak_bytes, theirs.host_peak_bytes
    return Ratio(
        model=ours.model,
        mode=ours.mode,
        clip=ours.clip,
        ours=ours.label,
        baseline=theirs.label,
        speed=theirs.median_s / ours.median_s,
        slowest=min(theirs.seconds) / max(ours.seconds),
        fastest=max(theirs.seconds) / min(ours.seconds),
        memory=peak / their_peak if peak and their_peak else None,
        verdict=verdict_of(ours.seconds, theirs.seconds),
    )


def scaling(record: BenchRecord) -> list[Scaling]:
    """Every engine, mode and model with at least two clips of 30 s or longer."""
    series: dict[tuple[str, str, str], list[MeasuredRun]] = {}
    for run in record.measured:
        if run.audio_s >= CHUNK_LENGTH_S:
            series.setdefault((run.label, run.mode, run.model), []).append(run)
    return [
        _scaling(key, sorted(runs, key=lambda run: run.audio_s), record)
        for key, runs in series.items()
        if len({run.audio_s for run in runs}) > 1
    ]


def _scaling(
    key: tuple[str, str, str], runs: Sequence[MeasuredRun], record: BenchRecord
) -> Scaling:
    is_fixed = record.models[key[2]].tokens_per_window is not None
    return Scaling(
        *key,
        clips=tuple(run.clip for run in runs),
        seconds_per_audio_s=tuple(run.median_s / _work_s(run, is_fixed) for run in runs),
        peak_bytes=tuple(_without_samples(run) for run in runs),
    )


def _work_s(run: Run, is_fixed: bool) -> float:
    """Seconds of audio that were computed, with the last window whole where tokens are fixed."""
    windows_s = math.ceil(run.audio_s / CHUNK_LENGTH_S) * CHUNK_LENGTH_S
    return windows_s if is_fixed else run.audio_s


def _without_samples(run: Run) -> int | None:
    peak = run.host_peak_bytes
    return None if peak is None else peak - round(run.audio_s * SAMPLE_RATE) * SAMPLE_BYTES


def main_clip(runs: Sequence[Run]) -> str:
    """The clip that was measured in most runs; of several the talk, or the longest."""
    clips = [run.clip for run in runs]
    lengths = {run.clip: run.audio_s for run in runs}
    return max(lengths, key=lambda c: (clips.count(c), c == TALK.name, lengths[c]))


def error_unit(record: BenchRecord) -> Unit:
    """The unit of the record's error rates; its modes share one language."""
    languages = [mode.options["language"] for mode in record.settings.modes.values()]
    return unit_of(languages[0])


def stages(run: MeasuredRun) -> dict[str, float]:
    """Seconds per stage, and the rest of the median."""
    told = stages_of(run.stages)
    return told | {UNTOLD: max(0.0, run.median_s - sum(told.values()))}
