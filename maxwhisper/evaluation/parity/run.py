"""Compare two engines with the same weights, every option set on every clip, into one record.

Input: a `Plan` and a way to load engines. Output: a `ParityRecord`. A difference is explained where
the reference itself gives our answer for samples that differ by a rounding error (a tie: both
answers are right), or where its values follow from a known bug of it and ours are those without.
Any other difference is our bug.
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
    MeantRefusal,
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
from maxwhisper.network.dims import FRAMES_PER_SECOND, TIME_PRECISION_S
from maxwhisper.options import GREEDY, TranscribeOptions
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcript import Transcript

THEIRS = "openai-whisper"
KEEP_S = 10.0  # writing a record of thousands of cases takes a third of the time of a case
# Factors on the samples. float32 resolves 6e-8; two correct log-mel computations differ by 1e-5.
NUDGES = (1 + 1e-6, 1 - 1e-6, 1 + 1e-5, 1 - 1e-5)


@runtime_checkable
class RemembersWindows(Protocol):
    """A reference that need not encode the same window again for every option set."""

    def remember_windows(self) -> None: ...


@runtime_checkable
class ChecksOptions(Protocol):
    """A reference that refuses options by this project's rules."""

    def unchecked(self) -> Engine:
        """The same without these rules."""
        ...


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
    """Both engines on the same weights, and where timestamps begin in their vocabulary."""

    ours: Engine
    theirs: Engine
    timestamp_begin: int


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
        name: Pair(load(OURS, subject), _as_it_is(load(THEIRS, subject)), _timestamp_begin(subject))
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


def _as_it_is(theirs: Engine) -> Engine:
    """The reference without our own rules: what it does with options that we refuse is asked."""
    return theirs.unchecked() if isinstance(theirs, ChecksOptions) else theirs


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
        engines=[engines.ours.info, engines.theirs.info],
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
        meant = MEANT_REFUSALS.get(key.option_set)
        is_meant = meant is not None and _is_meant(meant, ours, engines.theirs, waveform, options)
        finding = _without_transcripts(ours, theirs, str(meant) if is_meant else None)
        finding.n_tokens = 0 if isinstance(theirs, Exception) else theirs.n_tokens
        return finding
    compared = list(figures(ours, theirs))
    finding = Finding(
        status="identical", n_tokens=theirs.n_tokens, worst_errors=worst_errors(compared)
    )
    if differences := [figure for figure in compared if figure.differs]:
        first = differences[0]
        finding.status = "different"
        finding.cause = _text_as_time(differences, ours, theirs, engines.timestamp_begin) or _tie(
            engines.theirs, waveform, options, ours
        )
        finding.difference = Difference(where=first.where, ours=first.ours, theirs=first.theirs)
        finding.n_differences = len(differences)
    return finding


def _answer(engine: Engine, waveform: Waveform, options: TranscribeOptions) -> Answer:
    """The transcript, or the exception that the engine raised."""
    try:
        return engine.transcribe(waveform, options)
    except Exception as error:  # recorded: one case that fails does not stop the others
        return error


def _without_transcripts(ours: Answer, theirs: Answer, meant: str | None) -> Finding:
    """Status, cause and message where at least one engine raised; `meant` is the reason of a meant
    refusal."""
    if not isinstance(ours, Exception):
        # Whether it refuses or breaks down: what we answer instead has nothing to be compared with.
        return Finding(status="different", message=_one_line(theirs))
    if not isinstance(ours, OptionError):
        return Finding(status="failed", message=_one_line(ours))
    # The reference refuses by ValueError. An `OptionError` would come from our own adapter, and any
    # other error from a reference that breaks down: neither proves anything.
    if isinstance(theirs, ValueError) and not isinstance(theirs, OptionError):
        meant = f"{THEIRS} does not do it either: {_one_line(theirs)}"
    return Finding(status="refused", cause=meant, message=str(ours))


def _is_meant(
    meant: MeantRefusal,
    ours: Answer,
    theirs: Engine,
    waveform: Waveform,
    options: TranscribeOptions,
) -> bool:
    """True if we refuse by the meant words, and the reference ignores what we refuse."""
    answers = [
        _answer(theirs, waveform, each) for each in (options, options.changed(meant.ignored))
    ]
    if not isinstance(ours, OptionError) or meant.message not in str(ours):
        return False
    with_it, without_it = answers
    if not isinstance(with_it, Transcript) or not isinstance(without_it, Transcript):
        return False
    return not any(figure.differs for figure in figures(with_it, without_it))


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


def _text_as_time(
    differences: Sequence[Figure], ours: Transcript, theirs: Transcript, timestamp_begin: int
) -> str | None:
    """The reason why ours is right, where nothing differs but starts of segments that begin with
    text: the reference reads its first token as a time (transcribe.py:352-357), and only that gives
    its start. Ours must be the start of the window."""
    explained = set()
    for number, (segment, other) in enumerate(zip(ours.segments, theirs.segments, strict=False)):
        window_s = segment.seek / FRAMES_PER_SECOND
        if other.tokens and other.tokens[0] < timestamp_begin:
            read_s = window_s + (other.tokens[0] - timestamp_begin) * TIME_PRECISION_S
            if _is_near(segment.start, window_s) and _is_near(other.start, read_s):
                explained.add(f"segments[{number}].start")
    if {figure.where for figure in differences} <= explained:
        return f"{THEIRS} takes text for a time, and begins a segment before the recording"
    return None


def _is_near(time_s: float, expected_s: float) -> bool:
    return abs(time_s - expected_s) <= TOLERANCES["start"]


def _timestamp_begin(subject: Subject) -> int:
    return get_tokenizer(subject.checkpoint.dims).timestamp_begin
