"""docs/parity.md, written from a parity record."""

from collections import Counter
from collections.abc import Iterable

from maxwhisper.evaluation.parity.cases import RANDOM_SUBJECTS
from maxwhisper.evaluation.parity.plan import not_run
from maxwhisper.evaluation.parity.record import STATUSES, ParityRecord, Run, Settings
from maxwhisper.evaluation.parity.tables import exceptions, set_rows, summary
from maxwhisper.evaluation.records import machine_line, markdown_table

_PACKAGES = ("max", "openai-whisper", "torch")  # whose versions decide what is compared
_INTRO = """# Is it openai-whisper, exactly?

Written from a record by `python -m maxwhisper parity --report FILE --output docs/parity.md`; not
edited by hand. A case is one clip with one option set on one checkpoint, through this engine and
through openai-whisper with equal weights. Tokens, texts, languages, seek positions and compression
ratios must be equal; how far other figures may lie apart is said below. Only what is
deterministic is compared: sampling draws other random numbers in another library.

A case that differs is either a tie, which openai-whisper itself decides as we do when the samples
are scaled by a rounding error; or a bug of openai-whisper, named; or ours.
"""


def document(record: ParityRecord) -> str:
    """The whole document, in markdown."""
    lines = [_INTRO, f"**{summary(record)}.**", "", *_runs(record.runs), "", "## Checkpoints"]
    lines += ["", *markdown_table(_checkpoint_rows(record)), "", *_sources(record), ""]
    lines += ["## Option sets", "", *_tolerances(record.settings), ""]
    lines += [*markdown_table(set_rows(record)), "", "## What is not identical", ""]
    lines += [f"* {line}" for line in exceptions(record.cases)] or ["Nothing."]
    lines += ["", "## Clips", "", *_clips(record)]
    return "\n".join(lines).rstrip() + "\n"


def _runs(runs: Iterable[Run]) -> list[str]:
    """Each day, machine and commit once, with the versions of what was compared."""
    described = []
    for run in runs:
        versions = run.machine.get("versions", {})
        named = ", ".join(f"{name} {versions.get(name)}" for name in _PACKAGES)
        described.append(f"* {run.when[:10]} · {machine_line(run.machine)} · {named}")
    return list(dict.fromkeys(described))


def _checkpoint_rows(record: ParityRecord) -> list[list[str]]:
    rows = [["checkpoint", *STATUSES, "not run", "tokens"]]
    missing = Counter(key.checkpoint for key in not_run(record))
    for name in record.checkpoints:
        cases = [case for case in record.cases if case.checkpoint == name]
        counts = Counter(case.status for case in cases)
        numbers = [*(counts[status] for status in STATUSES), missing[name]]
        n_tokens = sum(case.n_tokens for case in cases)
        rows.append([name, *map(str, [*numbers, n_tokens])])
    return rows


def _sources(record: ParityRecord) -> list[str]:
    """Where the weights come from, and which of the random checkpoints were not compared."""
    lines = [
        f"* {name}: {found.source} (sha256 {found.digest[:16]}…)"
        for name, found in record.checkpoints.items()
    ]
    absent = [name for name in RANDOM_SUBJECTS if name not in record.checkpoints]
    return lines + [f"* {name}: NOT RUN, no case at all" for name in absent]


def _tolerances(settings: Settings) -> list[str]:
    """Which figures may differ, and by how much."""
    allowed = ", ".join(f"`{name}` {value:g}" for name, value in settings.tolerances.items())
    return [
        "Identical cases of those that were run, and their largest errors; a dash where there is "
        f"nothing to say. Largest errors allowed: {allowed}."
    ]


def _clips(record: ParityRecord) -> list[str]:
    """How evenly clips were compared; those left out, and why."""
    of_clip = Counter(case.clip for case in record.cases)
    counts = [of_clip[name] for name in record.clips]
    audio_s = sum(clip.audio_s for clip in record.clips.values())
    lines = [
        f"{len(counts)} clips of {audio_s:.0f} s together, {min(counts)} to {max(counts)} cases "
        "each. The record has their names, seconds and sha256."
    ]
    if record.left_out:
        lines += ["", "Left out:", ""]
        lines += [f"* `{name}`: {why}" for name, why in record.left_out.items()]
    return lines
