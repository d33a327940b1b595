"""Every option set on every clip through two engines with the same weights: one record.

In: subjects, clips, a way to load engines. Out: what `report.validate` accepts. A difference is
explained when the reference itself gives our answer to samples that differ by a rounding error:
then two choices were as good as equal, and either is right. Everything else is ours to mend.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from maxwhisper import machine
from maxwhisper.bench_cases import Clip
from maxwhisper.engine import Engine, Progress, Waveform
from maxwhisper.errors import OptionError
from maxwhisper.options import TranscribeOptions
from maxwhisper.parity.cases import MEANT_REFUSALS, MULTILINGUAL_SETS, OPTION_SETS, Subject
from maxwhisper.parity.compare import TOLERANCES, Figure, figures, worst_errors
from maxwhisper.transcript import Transcript

SCHEMA = 1
OURS, THEIRS = "maxwhisper", "openai-whisper"
# Factors on the samples. float32 resolves 6e-8; two correct log-mel computations differ by 1e-5.
NUDGES = (1 + 1e-6, 1 - 1e-6, 1 + 1e-5, 1 - 1e-5)

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
    keep: Keep = lambda record: None,
    progress: Progress = lambda line: None,
) -> dict[str, Any]:
    """Compare all cases. `left_out` is {clip: why} for the record; `only` names option sets;
    `keep` is given the record so far after every clip, since a full comparison takes hours."""
    if only is not None and (unknown := set(only) - set(OPTION_SETS | MULTILINGUAL_SETS)):
        raise OptionError(
            f"no option set called {', '.join(sorted(unknown))}: choose from "
            f"{', '.join(OPTION_SETS | MULTILINGUAL_SETS)}"
        )
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "settings": {
            "tolerances": TOLERANCES,
            "nudges": list(NUDGES),
            "clips": {clip.name: clip.audio_s for clip in clips},
            "left_out": dict(left_out or {}),
        },
        "checkpoints": [],
        "cases": [],
    }
    for subject in subjects:
        ours, theirs = load(OURS, subject), load(THEIRS, subject)
        sets = {
            name: options
            for name, options in subject.option_sets().items()
            if only is None or name in only
        }
        record["checkpoints"].append(_describe(subject, ours, theirs, sets))
        for clip in clips:
            for name, options in sets.items():
                case = compare_case(ours, theirs, clip.waveform, options, name)
                record["cases"].append({"checkpoint": subject.name, "clip": clip.name, **case})
                progress(f"{subject.name} · {clip.name} · {name}: {case['status']}")
            keep(record)
    return record


def _describe(
    subject: Subject, ours: Engine, theirs: Engine, sets: Mapping[str, TranscribeOptions]
) -> dict[str, Any]:
    return {
        "name": subject.name,
        "source": subject.checkpoint.source,
        "dims": subject.checkpoint.dims.to_dict(),
        "engines": [ours.info.to_dict(), theirs.info.to_dict()],
        "option_sets": {name: options.to_dict() for name, options in sets.items()},
    }


def compare_case(
    ours: Engine, theirs: Engine, waveform: Waveform, options: TranscribeOptions, name: str
) -> dict[str, Any]:
    """One case of the record, but for its checkpoint and clip.

    `status` is "identical", "different", "refused" (by us) or "failed" (we broke down); `cause`
    explains any but the first, or is None.
    """
    our_answer, ours_s = _answer(ours, waveform, options)
    their_answer, theirs_s = _answer(theirs, waveform, options)
    case = {
        "option_set": name,
        "status": "identical",
        "cause": None,
        "message": None,
        "difference": None,
        "n_differences": 0,
        "n_tokens": 0 if isinstance(their_answer, Exception) else their_answer.n_tokens,
        "worst_errors": {},
        "seconds": {OURS: ours_s, THEIRS: theirs_s},
    }
    if isinstance(our_answer, Exception) or isinstance(their_answer, Exception):
        return case | _without_transcripts(our_answer, their_answer, name)
    compared = list(figures(our_answer, their_answer))
    differences = [figure for figure in compared if figure.differs]
    case["worst_errors"] = worst_errors(compared)
    if differences:
        case |= {
            "status": "different",
            "cause": _tie(theirs, waveform, options, our_answer),
            "difference": _to_dict(differences[0]),
            "n_differences": len(differences),
        }
    return case


def _answer(engine: Engine, waveform: Waveform, options: TranscribeOptions) -> tuple[Answer, float]:
    """What the engine says, or what it raised; seconds."""
    start_s = time.perf_counter()
    try:
        answer: Answer = engine.transcribe(waveform, options)
    except Exception as error:  # recorded: one case that breaks down does not stop the others
        answer = error
    return answer, time.perf_counter() - start_s


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
        nudged, _ = _answer(theirs, waveform * np.float32(nudge), options)
        if isinstance(nudged, Transcript) and not any(f.differs for f in figures(ours, nudged)):
            return f"a tie: {THEIRS} says the same to samples scaled by 1 {nudge - 1:+.0e}"
    return None


def _to_dict(figure: Figure) -> dict[str, Any]:
    return {"where": figure.where, "ours": figure.ours, "theirs": figure.theirs}
