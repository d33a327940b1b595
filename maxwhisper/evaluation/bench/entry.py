"""One engine in one cell of a benchmark, and its run in the record.

A cell is a model, a mode and a clip; all engines do it in turns. Input: jobs to do. Output: a
`record.Run`. Knows no other engine, except to ask whether any heard speech.
"""

import hashlib
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from maxwhisper.engines.process import EngineRefused
from maxwhisper.engines.verdict import apart
from maxwhisper.evaluation.bench.cases import Clip, Job, Mode, Model
from maxwhisper.evaluation.bench.measure import Measurement, Subject, reason_of
from maxwhisper.evaluation.bench.record import (
    TEXT_KEPT_S,
    AaCell,
    GraphRuns,
    MeasuredRun,
    Run,
    derived,
)
from maxwhisper.text.wer import word_error_rate
from maxwhisper.transcript import Transcript


@dataclass(frozen=True)
class Entrant:
    """An engine that takes part, and the precision it computes in."""

    engine: str
    dtype: str = "auto"

    @property
    def label(self) -> str:
        return self.engine if self.dtype == "auto" else f"{self.engine} {self.dtype}"


@dataclass(frozen=True)
class Contestant:
    """An entrant that was loaded; `subject` is None where loading failed."""

    entrant: Entrant
    subject: Subject | None
    error: str | None = None


@dataclass(frozen=True)
class Cell:
    """One model, mode and clip: what all engines do in turns."""

    model: Model
    mode: Mode
    clip: Clip

    @property
    def title(self) -> str:
        return f"{self.model.name}, {self.mode.name}, {self.clip.name}"

    @property
    def expected_tokens(self) -> int | None:
        """Tokens of the transcript, where their number is fixed."""
        tokens = self.model.tokens
        return None if tokens is None else tokens * self.clip.n_windows

    @property
    def n_steps(self) -> int | None:
        """Decoder steps, where their number is fixed: one for each token of a batch of windows but
        the first, which comes with the prefill."""
        tokens = self.model.tokens
        n_batches = math.ceil(self.clip.n_windows / (self.mode.batch_size or 1))
        return None if tokens is None else (tokens - 1) * n_batches


@dataclass
class BenchEntry:
    """What one contestant has done in one cell so far."""

    contestant: Contestant
    cell: Cell
    error: str | None = None
    unsupported: str | None = None
    cold_s: float | None = None
    metered: Measurement | None = None  # the last warm-up, with a meter on every graph
    rounds: list[Measurement] = field(default_factory=list)

    @property
    def label(self) -> str:
        return self.contestant.entrant.label

    @property
    def is_running(self) -> bool:
        return self.error is None and self.unsupported is None

    @property
    def seconds(self) -> list[float]:
        return [measurement.seconds for measurement in self.rounds]

    @property
    def transcripts(self) -> list[Transcript]:
        return [measurement.transcript for measurement in self.rounds]

    def take_turn(self, job: Job, number: int) -> None:
        """Do the job once and keep the measurement, or the reason why there is none. Round numbers
        below 0 are warm-ups, of which the last, -1, is metered."""
        subject = self.contestant.subject
        assert subject is not None, "a contestant without a subject has an error and no turns"
        try:
            done = subject.run(job, is_metered=number == -1)
        except EngineRefused as error:
            self.unsupported = error.message
        except Exception as error:  # whatever its libraries raise: the others still run
            self.error = reason_of(error)
        else:
            if number >= 0:
                self.rounds.append(done)
            if number == -1:
                self.metered = done
            if number < 0 and done.is_cold:
                self.cold_s = done.seconds


def judge(entries: Sequence[BenchEntry]) -> None:
    """Set an error on every entry without a fair result: too few tokens, or no text for speech.

    CTranslate2 with an old GPU driver has been reported to return empty texts silently. There is
    speech where the reference says so or, without a reference, where any engine heard some.
    """
    reference = entries[0].cell.clip.reference
    if reference is not None:
        is_speech = bool(reference.strip())
    else:
        is_speech = any(t.text.strip() for entry in entries for t in entry.transcripts)
    for entry in entries:
        expected = entry.cell.expected_tokens
        found = {transcript.n_tokens for transcript in entry.transcripts}
        if not entry.is_running:
            continue
        if expected is not None and found != {expected}:
            entry.error = f"expected {expected} tokens in every round, got {sorted(found)}"
        elif is_speech and not all(t.text.strip() for t in entry.transcripts):
            entry.error = "returned an empty text for speech"


def run_record(entry: BenchEntry, decode_s: float | None) -> Run:
    """A run of the record. Without a result it has a name and the reason, and no numbers.

    `decode_s`: seconds for reading the clip's file, the same for every engine.
    """
    subject, cell = entry.contestant.subject, entry.cell
    names: dict[str, Any] = {
        "engine": entry.contestant.entrant.engine,
        "label": entry.label,
        "mode": cell.mode.name,
        "model": cell.model.name,
        "clip": cell.clip.name,
        "audio_s": cell.clip.audio_s,
        "info": subject.info if subject is not None else None,
        "error": entry.error,
        "unsupported": entry.unsupported,
        "load_s": subject.load_s if subject is not None else None,
        "prepare_s": subject.prepare_s if subject is not None else None,
    }
    if entry.is_running:
        return MeasuredRun(**names, **_numbers(entry, decode_s))
    empty: dict[str, Any] = dict.fromkeys(Run.__struct_fields__)
    return Run(**(empty | {"seconds": [], "stages": {}, "graphs": {}} | names))


def _numbers(entry: BenchEntry, decode_s: float | None) -> dict[str, Any]:
    """The fields of a `MeasuredRun` that are measured."""
    cell, median_s = entry.cell, statistics.median(entry.seconds)
    # Stages are those of the round nearest the median: medians of stages would not add up.
    typical = min(entry.rounds, key=lambda measurement: abs(measurement.seconds - median_s))
    transcript = typical.transcript
    is_text = cell.model.tokens is None
    return {
        "cold_s": entry.cold_s,
        "seconds": entry.seconds,
        "first_text_s": _median([measurement.first_text_s for measurement in entry.rounds]),
        "n_tokens": transcript.n_tokens,
        "step_ms": _step_ms(transcript, cell.n_steps),
        "stages": dict(transcript.timings),
        "host_peak_bytes": _max([measurement.host_peak_bytes for measurement in entry.rounds]),
        "device_bytes": _max([measurement.device_bytes for measurement in entry.rounds]),
        "wer": _word_error_rate(cell, transcript) if is_text else None,
        "text": transcript.text if is_text and cell.clip.audio_s <= TEXT_KEPT_S else None,
        "text_sha256": hashlib.sha256(transcript.text.encode()).hexdigest(),
        "same_text_every_round": len({t.text for t in entry.transcripts}) == 1,
        **derived(entry.seconds, cell.clip.audio_s, decode_s, transcript.n_tokens),
        **_graphs(entry.metered),
    }


def aa_cell(first: BenchEntry, twin: BenchEntry) -> AaCell:
    """The same engine twice in a cell: what differs between the two is noise."""
    return AaCell(
        label=first.label,
        mode=first.cell.mode.name,
        model=first.cell.model.name,
        clip=first.cell.clip.name,
        seconds=(first.seconds, twin.seconds),
        apart=apart(first.seconds, twin.seconds),
    )


def _graphs(metered: Measurement | None) -> dict[str, Any]:
    """Runs of each graph in the metered warm-up, and the share of its time outside all graphs."""
    used = {name: m for name, m in (metered.graphs if metered else {}).items() if m.count}
    if metered is None or not used:
        return {"graphs": {}, "outside_graphs": None}
    inside_s = sum(meter.seconds for meter in used.values())
    return {
        "graphs": {name: GraphRuns(meter.count, meter.seconds) for name, meter in used.items()},
        "outside_graphs": 1 - inside_s / metered.seconds,
    }


def _step_ms(transcript: Transcript, n_steps: int | None) -> float | None:
    decode_s = transcript.timings.get("decode")
    return None if decode_s is None or not n_steps else 1000 * decode_s / n_steps


def _word_error_rate(cell: Cell, transcript: Transcript) -> float | None:
    if cell.clip.reference is None:
        return None
    language = cell.mode.options.language or transcript.language
    return word_error_rate(cell.clip.reference, transcript.text, language).wer


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _max(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
