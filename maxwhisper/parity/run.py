"""Every option set on every clip through two engines with the same weights: one record.

In: subjects, clips, a way to load engines, perhaps an earlier record to go on with. Out: what
`report.validate` accepts. A difference is explained when the reference itself gives our answer to
samples that differ by a rounding error: then two choices were as good as equal, and either is
right; or when it is a bug of the reference's, named. Everything else is ours to mend.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

import numpy as np

from maxwhisper import machine
from maxwhisper.bench_cases import Clip
from maxwhisper.checkpoint.download import sha256_of
from maxwhisper.engine import OURS, Engine, Progress, Waveform
from maxwhisper.errors import OptionError
from maxwhisper.options import GREEDY, TranscribeOptions
from maxwhisper.parity.cases import MEANT_REFUSALS, MULTILINGUAL_SETS, OPTION_SETS, Subject
from maxwhisper.parity.compare import TOLERANCES, Figure, figures, worst_errors
from maxwhisper.parity.plan import left, resumed
from maxwhisper.transcript import Transcript

SCHEMA = 2
THEIRS = "openai-whisper"
KEEP_S = 10.0  # a record of thousands of cases takes a third of a case to write
# Factors on the samples. float32 resolves 6e-8; two correct log-mel computations differ by 1e-5.
NUDGES = (1 + 1e-6, 1 - 1e-6, 1 + 1e-5, 1 - 1e-5)


@runtime_checkable
class RemembersWindows(Protocol):
    """A reference that need not encode the same window for every option set."""

    def remember_windows(self) -> None: ...


LoadEngine = Callable[[str, Subject], Engine]  # name of an engine, weights
Keep = Callable[[Mapping[str, Any]], None]
Answer = Transcript | Exception


def run(
    subjects: Iterable[Subject],
    clips: Sequence[Clip],
    load: LoadEngine,
    *,
    left_out: Mapping[str, str] | None = None,
    only: Sequence[str] | None = None,
    earlier: Mapping[str, Any] | None = None,
    minutes: float | None = None,
    keep: Keep = lambda record: None,
    progress: Progress = lambda line: None,
) -> dict[str, Any]:
    """Compare all cases in the order of `plan.spread`, or begin none after `minutes`, but for one.

    `left_out` is {clip: why} for the record; `only` names option sets; cases of `earlier` are kept
    and not compared again; `keep` is given the record so far every `KEEP_S` and at the end, even
    one by Ctrl-C, since a full comparison takes an hour.
    """
    _require_known(only)
    kept_s = time.monotonic()
    deadline_s = float("inf") if minutes is None else kept_s + 60 * minutes
    subject_of = {subject.name: subject for subject in subjects}
    engines = {
        name: (load(OURS, subject), load(THEIRS, subject)) for name, subject in subject_of.items()
    }
    sets = {name: _chosen(subject, only) for name, subject in subject_of.items()}
    record = _begin(clips, left_out or {})
    for name, subject in subject_of.items():
        record["checkpoints"][name] = _describe(subject, engines[name], sets[name])
    if earlier is not None:
        record = resumed(record, earlier)
    waveforms = {clip.name: clip.waveform for clip in clips}
    try:
        for key in left(record, sets, list(waveforms)):
            options, waveform = sets[key.checkpoint][key.option_set], waveforms[key.clip]
            case = compare_case(*engines[key.checkpoint], waveform, options, key.option_set)
            record["cases"].append({**key._asdict(), "run": len(record["runs"]) - 1, **case})
            progress(f"{' · '.join(key)}: {case['status']}")
            now_s = time.monotonic()
            if now_s >= deadline_s:
                break
            if now_s - kept_s >= KEEP_S:
                keep(record)
                kept_s = now_s
    finally:
        keep(record)
    return record


def _require_known(only: Sequence[str] | None) -> None:
    if unknown := set(only or ()) - set(OPTION_SETS | MULTILINGUAL_SETS):
        raise OptionError(
            f"no option set called {', '.join(sorted(unknown))}: choose from "
            f"{', '.join(OPTION_SETS | MULTILINGUAL_SETS)}"
        )


def _chosen(subject: Subject, only: Sequence[str] | None) -> dict[str, TranscribeOptions]:
    sets = subject.option_sets()
    return sets if only is None else {name: sets[name] for name in only if name in sets}


def _begin(clips: Sequence[Clip], left_out: Mapping[str, str]) -> dict[str, Any]:
    """A record of no checkpoint yet, and no case."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "schema": SCHEMA,
        "runs": [{"when": when, "machine": machine.describe()}],
        "settings": {
            "tolerances": TOLERANCES,
            "nudges": list(NUDGES),
            "options": GREEDY.to_dict(),
        },
        "clips": {clip.name: _describe_clip(clip) for clip in clips},
        "left_out": dict(left_out),
        "checkpoints": {},
        "cases": [],
    }


def _describe_clip(clip: Clip) -> dict[str, Any]:
    """Seconds, and the sha256 of the file: recordings themselves may not be ours to hand on."""
    return {"audio_s": clip.audio_s, "sha256": sha256_of(clip.file) if clip.file else None}


def _describe(
    subject: Subject, engines: tuple[Engine, Engine], sets: Mapping[str, TranscribeOptions]
) -> dict[str, Any]:
    """Weights and engines; of each option set what differs from `settings.options`."""
    plain = GREEDY.to_dict()
    return {
        "source": subject.checkpoint.source,
        "digest": subject.checkpoint.digest,
        "dims": subject.checkpoint.dims.to_dict(),
        "engines": [engine.info.to_dict() for engine in engines],
        "option_sets": {
            name: {key: value for key, value in options.to_dict().items() if value != plain[key]}
            for name, options in sets.items()
        },
    }


def compare_case(
    ours: Engine, theirs: Engine, waveform: Waveform, options: TranscribeOptions, name: str
) -> dict[str, Any]:
    """What becomes of one case.

    `status` is "identical", "different", "refused" (by us) or "failed" (we broke down); `cause`
    explains any but the first, or is None.
    """
    our_answer = _answer(ours, waveform, options)
    their_answer = _answer(theirs, waveform, options)
    case: dict[str, Any] = {
        "status": "identical",
        "cause": None,
        "message": None,
        "difference": None,
        "n_differences": 0,
        "n_tokens": 0 if isinstance(their_answer, Exception) else their_answer.n_tokens,
        "worst_errors": {},
    }
    if isinstance(our_answer, Exception) or isinstance(their_answer, Exception):
        return case | _without_transcripts(our_answer, their_answer, name)
    compared = list(figures(our_answer, their_answer))
    differences = [figure for figure in compared if figure.differs]
    case["worst_errors"] = worst_errors(compared)
    if differences:
        case |= {
            "status": "different",
            "cause": _text_as_time(differences) or _tie(theirs, waveform, options, our_answer),
            "difference": _to_dict(differences[0]),
            "n_differences": len(differences),
        }
    return case


def _answer(engine: Engine, waveform: Waveform, options: TranscribeOptions) -> Answer:
    """What the engine says, or what it raised."""
    try:
        return engine.transcribe(waveform, options)
    except Exception as error:  # recorded: one case that breaks down does not stop the others
        return error


def _without_transcripts(ours: Answer, theirs: Answer, name: str) -> dict[str, Any]:
    """Status, cause and message where at least one engine raised."""
    if not isinstance(ours, Exception):
        # The reference refuses by ValueError, and so should we; anything else is a bug of its own.
        cause = None if isinstance(theirs, ValueError) else f"{THEIRS} breaks down"
        return {"status": "different", "cause": cause, "message": _one_line(theirs)}
    if not isinstance(ours, OptionError):
        return {"status": "failed", "cause": None, "message": _one_line(ours)}
    cause = MEANT_REFUSALS.get(name)
    if isinstance(theirs, Exception) and not isinstance(theirs, OptionError):
        # An `OptionError` would be our own, from the adapter, and no witness.
        cause = f"{THEIRS} does not do it either: {_one_line(theirs)}"
    return {"status": "refused", "cause": cause, "message": str(ours)}


def _one_line(error: Answer) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _tie(
    theirs: Engine, waveform: Waveform, options: TranscribeOptions, ours: Transcript
) -> str | None:
    """Why ours is as right as theirs: theirs gives it to samples scaled by next to nothing."""
    for nudge in NUDGES:
        nudged = _answer(theirs, waveform * np.float32(nudge), options)
        if isinstance(nudged, Transcript) and not any(f.differs for f in figures(ours, nudged)):
            return f"a tie: {THEIRS} says the same to samples scaled by 1 {nudge - 1:+.0e}"
    return None


def _text_as_time(differences: Sequence[Figure]) -> str | None:
    """Why ours is right where theirs alone begins segments before the recording: without rules for
    timestamps a segment may begin with text, and theirs takes that for a time
    (transcribe.py:352-357)."""
    is_start = all(figure.field == "start" for figure in differences)
    if is_start and all(float(f.theirs or 0) < 0 <= float(f.ours or 0) for f in differences):
        return f"{THEIRS} takes text for a time, and begins a segment before the recording"
    return None


def _to_dict(figure: Figure) -> dict[str, Any]:
    return {"where": figure.where, "ours": figure.ours, "theirs": figure.theirs}
