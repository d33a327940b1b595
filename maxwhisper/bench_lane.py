"""One engine in one cell of a benchmark: what it did there, as a run of the record.

A cell is a model, a mode and a clip; all engines do it in turns. In: jobs to do. Out: a run with
every field of `bench_report.RUN_FIELDS`. Knows no other engine, but for one question: did anybody
hear speech?
"""

import hashlib
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from maxwhisper import scoring
from maxwhisper.bench_cases import Clip, Job, Mode, Model
from maxwhisper.bench_process import Measurement, Subject, Unsupported, one_line
from maxwhisper.bench_report import RUN_FIELDS, TEXT_KEPT_S, apart, derived
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
    """An entrant as it stands at the start line; `subject` is None where loading failed."""

    entrant: Entrant
    subject: Subject | None
    error: str | None = None


@dataclass(frozen=True)
class Cell:
    """What all engines do in turns."""

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
        """Decoder steps, where their number is fixed: so many for every batch of windows, whose
        first tokens come with the prefill."""
        tokens = self.model.tokens
        n_batches = math.ceil(self.clip.n_windows / (self.mode.batch_size or 1))
        return None if tokens is None else (tokens - 1) * n_batches


@dataclass
class Lane:
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

    def run(self, job: Job, *, is_metered: bool = False) -> Measurement | None:
        """One inference; None, with the reason kept, once the engine has failed or refused."""
        subject = self.contestant.subject
        if subject is None or not self.is_running:
            return None
        try:
            return subject.run(job, is_metered=is_metered)
        except Unsupported as error:
            self.unsupported = str(error)
        except Exception as error:  # whatever its libraries raise: the others still run
            self.error = one_line(error)
        return None


def judge(lanes: Sequence[Lane]) -> None:
    """Make an error of what is no fair result: too few tokens, or no text for speech.

    CTranslate2 with an old GPU driver has been reported to return empty texts silently. A reference
    says whether there is speech; without one, there is if another engine heard any.
    """
    reference = lanes[0].cell.clip.reference
    if reference is not None:
        is_speech = bool(reference.strip())
    else:
        is_speech = any(t.text.strip() for lane in lanes for t in lane.transcripts)
    for lane in lanes:
        expected = lane.cell.expected_tokens
        found = {transcript.n_tokens for transcript in lane.transcripts}
        if not lane.is_running:
            continue
        if expected is not None and found != {expected}:
            lane.error = f"expected {expected} tokens in every round, got {sorted(found)}"
        elif is_speech and not all(t.text.strip() for t in lane.transcripts):
            lane.error = "returned an empty text for speech"


def entry(lane: Lane, decode_s: float | None) -> dict[str, Any]:
    """A run of the record. One without a result keeps its name and the reason, and no numbers.

    `decode_s` is what reading the clip's file takes, the same for every engine.
    """
    subject, cell = lane.contestant.subject, lane.cell
    run: dict[str, Any] = {
        "engine": lane.contestant.entrant.engine,
        "label": lane.label,
        "mode": cell.mode.name,
        "model": cell.model.name,
        "clip": cell.clip.name,
        "audio_s": cell.clip.audio_s,
        "info": subject.info.to_dict() if subject is not None else None,
        "error": lane.error,
        "unsupported": lane.unsupported,
        "load_s": subject.load_s if subject is not None else None,
        "prepare_s": subject.prepare_s if subject is not None else None,
        "seconds": [],
        "stages": {},
        "graphs": {},
    }
    if lane.is_running:
        return run | _numbers(lane, decode_s)
    return dict.fromkeys(RUN_FIELDS) | run


def _numbers(lane: Lane, decode_s: float | None) -> dict[str, Any]:
    cell, median_s = lane.cell, statistics.median(lane.seconds)
    # The round nearest the median speaks for the stages: medians of stages would not add up.
    typical = min(lane.rounds, key=lambda measurement: abs(measurement.seconds - median_s))
    transcript = typical.transcript
    is_text = cell.model.tokens is None
    numbers = {
        "cold_s": lane.cold_s,
        "seconds": lane.seconds,
        "first_text_s": _median([measurement.first_text_s for measurement in lane.rounds]),
        "n_tokens": transcript.n_tokens,
        "step_ms": _step_ms(transcript, cell.n_steps),
        "stages": dict(transcript.timings),
        "host_peak_bytes": _most([measurement.host_peak_bytes for measurement in lane.rounds]),
        "device_bytes": _most([measurement.device_bytes for measurement in lane.rounds]),
        "wer": _word_error_rate(cell, transcript) if is_text else None,
        "text": transcript.text if is_text and cell.clip.audio_s <= TEXT_KEPT_S else None,
        "text_sha256": hashlib.sha256(transcript.text.encode()).hexdigest(),
        "same_text_every_round": len({t.text for t in lane.transcripts}) == 1,
    }
    seconds = derived(lane.seconds, cell.clip.audio_s, decode_s, transcript.n_tokens)
    return numbers | seconds | _graphs(lane.metered)


def aa_cell(first: Lane, twin: Lane) -> dict[str, Any]:
    """The same engine twice in a cell: what differs between the two is noise."""
    return {
        "label": first.label,
        "mode": first.cell.mode.name,
        "model": first.cell.model.name,
        "clip": first.cell.clip.name,
        "seconds": [first.seconds, twin.seconds],
        "apart": apart(first.seconds, twin.seconds),
    }


def _graphs(metered: Measurement | None) -> dict[str, Any]:
    """Runs of each graph in the metered warm-up, and the share of it that was spent in none."""
    used = {name: m for name, m in (metered.graphs if metered else {}).items() if m.count}
    if metered is None or not used:
        return {"graphs": {}, "outside_graphs": None}
    inside_s = sum(meter.seconds for meter in used.values())
    return {
        "graphs": {name: meter.to_dict() for name, meter in used.items()},
        "outside_graphs": 1 - inside_s / metered.seconds,
    }


def _step_ms(transcript: Transcript, n_steps: int | None) -> float | None:
    decode_s = transcript.timings.get("decode")
    return None if decode_s is None or not n_steps else 1000 * decode_s / n_steps


def _word_error_rate(cell: Cell, transcript: Transcript) -> float | None:
    if cell.clip.reference is None:
        return None
    language = cell.mode.options.language or transcript.language
    return scoring.word_error_rate(cell.clip.reference, transcript.text, language).wer


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _most(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
