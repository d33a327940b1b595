"""Compare two engines with the same weights, every option set on every clip, into one record.

Input: a `Plan` and a way to load engines. Output: a `ParityRecord`. A difference is explained where
the reference itself gives our answer for samples that differ by a rounding error (a tie: both
answers are right), or where it is a known bug of the reference. Any other difference is our bug.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec
import numpy as np

from maxwhisper import machine
from maxwhisper.audio.waveform import Waveform
from maxwhisper.cache import sha256_of
from maxwhisper.engine import OURS, Engine, Progress
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.bench.cases import Clip
from maxwhisper.evaluation.parity.cases import (
    MEANT_REFUSALS,
    MULTILINGUAL_SETS,
    OPTION_SETS,
    Subject,
)
from maxwhisper.evaluation.parity.compare import TOLERANCES, Figure, figures, worst_errors
from maxwhisper.evaluation.parity.plan import Key, remaining, resumed
from maxwhisper.evaluation.parity.record import (
    Case,
    CheckpointEntry,
    ClipEntry,
    Difference,
    ParityRecord,
    Run,
    Settings,
    Status,
)
from maxwhisper.options import GREEDY, TranscribeOptions
from maxwhisper.transcript import Transcript

THEIRS = "openai-whisper"
KEEP_S = 10.0  # writing a record of thousands of cases takes a third of the time of a case
# Factors on the samples. float32 resolves 6e-8; two correct log-mel computations differ by 1e-5.
NUDGES = (1 + 1e-6, 1 - 1e-6, 1 + 1e-5, 1 - 1e-5)


@runtime_checkable
class RemembersWindows(Protocol):
    """A reference that need not encode the same window again for every option set."""

    def remember_windows(self) -> None: ...


LoadEngine = Callable[[str, Subject], Engine]  # name of an engine, weights
Keep = Callable[[ParityRecord], None]
Answer = Transcript | Exception


@dataclass(frozen=True)
class Plan:
    """What to compare, and for how long."""

    subjects: Iterable[Subject]
    clips: Sequence[Clip]
    left_out: Mapping[str, str] = field(default_factory=dict)  # {clip: why}, for the record
    option_sets: Sequence[str] | None = None  # None: all
    earlier: ParityRecord | None = None  # its cases are kept, and not compared again
    minutes: float | None = None  # start no case after so many, except the first


class Pair(NamedTuple):
    """Both engines on the same weights."""

    ours: Engine
    theirs: Engine


class Finding(msgspec.Struct, kw_only=True):
    """The result of one case: the fields of `Case` without its names."""

    status: Status
    cause: str | None = None
    message: str | None = None
    difference: Difference | None = None
    n_differences: int = 0
    n_tokens: int = 0
    worst_errors: dict[str, float] = {}


def run(
    plan: Plan,
    load: LoadEngine,
    *,
    keep: Keep = lambda record: None,
    progress: Progress = lambda line: None,
) -> ParityRecord:
    """Compare all cases, in the order of `plan.spread`.

    `keep` receives the record so far every `KEEP_S` and at the end, also after Ctrl-C, since a full
    comparison takes an hour. Raises `OptionError` for an unknown option set.
    """
    _require_known(plan.option_sets)
    kept_s = time.monotonic()
    deadline_s = float("inf") if plan.minutes is None else kept_s + 60 * plan.minutes
    subject_of = {subject.name: subject for subject in plan.subjects}
    engines = {
        name: Pair(load(OURS, subject), load(THEIRS, subject))
        for name, subject in subject_of.items()
    }
    sets = {name: _chosen(subject, plan.option_sets) for name, subject in subject_of.items()}
    record = _begin(plan)
    for name, subject in subject_of.items():
        record.checkpoints[name] = _describe(subject, engines[name], sets[name])
    if plan.earlier is not None:
        record = resumed(record, plan.earlier)
    waveforms = {clip.name: clip.waveform for clip in plan.clips}
    try:
        for key in remaining(record, sets, list(waveforms)):
            options = sets[key.checkpoint][key.option_set]
            finding = compare_case(engines[key.checkpoint], waveforms[key.clip], options, key)
            record.cases.append(_case(key, len(record.runs) - 1, finding))
            progress(f"{' · '.join(key)}: {finding.status}")
            now_s = time.monotonic()
            if now_s >= deadline_s:
                break
            if now_s - kept_s >= KEEP_S:
                keep(record)
                kept_s = now_s
    finally:
        keep(record)
    return record


def _case(key: Key, run_index: int, finding: Finding) -> Case:
    return Case(**key._asdict(), run=run_index, **msgspec.structs.asdict(finding))


def _require_known(names: Sequence[str] | None) -> None:
    if unknown := set(names or ()) - set(OPTION_SETS | MULTILINGUAL_SETS):
        raise OptionError(
            f"no option set called {', '.join(sorted(unknown))}: choose from "
            f"{', '.join(OPTION_SETS | MULTILINGUAL_SETS)}"
        )


def _chosen(subject: Subject, names: Sequence[str] | None) -> dict[str, TranscribeOptions]:
    sets = subject.option_sets()
    return sets if names is None else {name: sets[name] for name in names if name in sets}


def _begin(plan: Plan) -> ParityRecord:
    """A record without checkpoints and cases."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return ParityRecord(
        runs=[Run(when=when, machine=machine.describe())],
        settings=Settings(
            tolerances=dict(TOLERANCES), nudges=list(NUDGES), options=GREEDY.to_dict()
        ),
        clips={clip.name: _describe_clip(clip) for clip in plan.clips},
        left_out=dict(plan.left_out),
        checkpoints={},
        cases=[],
    )


def _describe_clip(clip: Clip) -> ClipEntry:
    """Seconds, and the sha256 of the file: we may not be allowed to publish the recording."""
    sha256 = sha256_of(clip.file) if clip.file else None
    return ClipEntry(audio_s=clip.audio_s, sha256=sha256)


def _describe(
    subject: Subject, engines: Pair, sets: Mapping[str, TranscribeOptions]
) -> CheckpointEntry:
    plain = GREEDY.to_dict()
    return CheckpointEntry(
        source=subject.checkpoint.source,
        digest=subject.checkpoint.digest,
        dims=subject.checkpoint.dims.to_dict(),
        engines=[engine.info for engine in engines],
        option_sets={
            name: {key: value for key, value in options.to_dict().items() if value != plain[key]}
            for name, options in sets.items()
        },
    )


def compare_case(
    engines: Pair, waveform: Waveform, options: TranscribeOptions, key: Key
) -> Finding:
    """The result of one case.

    `status` is "identical", "different", "refused" (by our engine) or "failed" (our engine raised
    an unexpected error); `cause` explains any but the first, or is None.
    """
    ours = _answer(engines.ours, waveform, options)
    theirs = _answer(engines.theirs, waveform, options)
    if isinstance(ours, Exception) or isinstance(theirs, Exception):
        finding = _without_transcripts(ours, theirs, key.option_set)
        finding.n_tokens = 0 if isinstance(theirs, Exception) else theirs.n_tokens
        return finding
    compared = list(figures(ours, theirs))
    finding = Finding(
        status="identical", n_tokens=theirs.n_tokens, worst_errors=worst_errors(compared)
    )
    if differences := [figure for figure in compared if figure.differs]:
        first = differences[0]
        finding.status = "different"
        finding.cause = _text_as_time(differences) or _tie(engines.theirs, waveform, options, ours)
        finding.difference = Difference(where=first.where, ours=first.ours, theirs=first.theirs)
        finding.n_differences = len(differences)
    return finding


def _answer(engine: Engine, waveform: Waveform, options: TranscribeOptions) -> Answer:
    """The transcript, or the exception that the engine raised."""
    try:
        return engine.transcribe(waveform, options)
    except Exception as error:  # recorded: one case that fails does not stop the others
        return error


def _without_transcripts(ours: Answer, theirs: Answer, option_set: str) -> Finding:
    """Status, cause and message where at least one engine raised."""
    if not isinstance(ours, Exception):
        # The reference refuses by ValueError, and so should we; anything else is a bug of its own.
        cause = None if isinstance(theirs, ValueError) else f"{THEIRS} breaks down"
        return Finding(status="different", cause=cause, message=_one_line(theirs))
    if not isinstance(ours, OptionError):
        return Finding(status="failed", message=_one_line(ours))
    reason = MEANT_REFUSALS.get(option_set)
    if isinstance(theirs, Exception) and not isinstance(theirs, OptionError):
        # An `OptionError` would come from our own adapter, and proves nothing.
        reason = f"{THEIRS} does not do it either: {_one_line(theirs)}"
    return Finding(status="refused", cause=reason, message=str(ours))


def _one_line(error: Answer) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _tie(
    theirs: Engine, waveform: Waveform, options: TranscribeOptions, ours: Transcript
) -> str | None:
    """The reason why both are right, where the reference gives our answer for samples scaled by a
    rounding error."""
    for nudge in NUDGES:
        nudged = _answer(theirs, waveform * np.float32(nudge), options)
        if isinstance(nudged, Transcript) and not any(f.differs for f in figures(ours, nudged)):
            return f"a tie: {THEIRS} says the same to samples scaled by 1 {nudge - 1:+.0e}"
    return None


def _text_as_time(differences: Sequence[Figure]) -> str | None:
    """The reason why ours is right, where only the reference starts segments before the recording:
    without timestamp rules a segment may start with text, and the reference reads that as a time
    (transcribe.py:352-357)."""
    is_start = all(figure.field == "start" for figure in differences)
    if is_start and all(float(f.theirs or 0) < 0 <= float(f.ours or 0) for f in differences):
        return f"{THEIRS} takes text for a time, and begins a segment before the recording"
    return None
