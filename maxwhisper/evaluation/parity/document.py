"""docs/parity.md, written from a parity record."""

from collections import Counter

from maxwhisper.evaluation.parity.cases import RANDOM_SUBJECTS
from maxwhisper.evaluation.parity.plan import not_run
from maxwhisper.evaluation.parity.record import ParityRecord, Settings
from maxwhisper.evaluation.parity.tables import exceptions, refused_sets, set_rows, summary
from maxwhisper.evaluation.records import machine_line, markdown_table, weights_line
from maxwhisper.network.dims import CHUNK_LENGTH_S

_PACKAGES = ("max", "openai-whisper", "torch")  # whose versions decide what is compared
_INTRO = """# Is it openai-whisper, exactly?

Written from a record by `python -m maxwhisper parity --report FILE --output docs/parity.md`; not
edited by hand. A case is one clip with one option set on one checkpoint, through this engine and
through openai-whisper with equal weights. Tokens, texts, languages, seek positions and compression
ratios must be equal; how far other figures may lie apart is said below. Only what is
deterministic is compared: sampling draws other random numbers in another library.

A case that differs is either a tie, which openai-whisper itself decides as we do when the samples
are scaled by a rounding error; or a bug of openai-whisper, named, from which its values follow; or
ours. A case in which neither engine says a word counts for nothing. A refusal follows from the
options, so an option set that is refused counts once.
"""


def document(record: ParityRecord) -> str:
    """The whole document, in markdown."""
    lines = [_INTRO, f"**{summary(record)}.**", "", *_runs(record), "", "## Checkpoints"]
    lines += ["", *markdown_table(_checkpoint_rows(record)), "", *_sources(record), ""]
    lines += ["## Option sets", "", *_tolerances(record.settings), ""]
    lines += [*markdown_table(set_rows(record)), "", "## What is not identical", ""]
    lines += [f"* {line}" for line in exceptions(record.cases)] or ["Nothing."]
    lines += ["", "## Clips", "", *_clips(record)]
    return "\n".join(lines).rstrip() + "\n"


def _runs(record: ParityRecord) -> list[str]:
    """Each day, machine and commit once, with the versions of what was compared and the number of
    cases."""
    described: Counter[str] = Counter()
    for number, run in enumerate(record.runs):
        versions = run.machine.get("versions", {})
        named = ", ".join(f"{name} {versions.get(name)}" for name in _PACKAGES)
        line = f"* {run.when[:10]} · {machine_line(run.machine)} · {named}"
        described[line] += sum(case.run == number for case in record.cases)
    return [f"{line} · {n} cases" for line, n in described.items()]


def _checkpoint_rows(record: ParityRecord) -> list[list[str]]:
    columns = ("identical", "different", "failed", "silent", "sets refused", "not run", "tokens")
    rows = [["checkpoint", *columns]]
    missing = Counter(key.checkpoint for key in not_run(record))
    for name in record.checkpoints:
        cases = [case for case in record.cases if case.checkpoint == name]
        counts = Counter(case.status for case in cases if case.counts)
        numbers = [counts["identical"], counts["different"], counts["failed"]]
        numbers += [sum(case.is_silent for case in cases), len(refused_sets(cases))]
        n_tokens = sum(case.n_tokens for case in cases if case.counts)
        rows.append([name, *map(str, [*numbers, missing[name], n_tokens])])
    return rows


def _sources(record: ParityRecord) -> list[str]:
    """Where the weights come from, and which of the random checkpoints were not compared."""
    lines = [
        f"* {weights_line(name, found.source)} (sha256 {found.digest[:16]}…)"
        for name, found in record.checkpoints.items()
    ]
    absent = [name for name in RANDOM_SUBJECTS if name not in record.checkpoints]
    return lines + [f"* {name}: NOT RUN, no case at all" for name in absent]


def _tolerances(settings: Settings) -> list[str]:
    """Which figures may differ, and by how much."""
    allowed = ", ".join(f"`{name}` {value:g}" for name, value in settings.tolerances.items())
    return [
        "Identical cases of those that count, and their largest errors; a dash where there is "
        f"nothing to say. Largest errors allowed: {allowed}."
    ]


def _clips(record: ParityRecord) -> list[str]:
    """How evenly clips were compared; those left out, and why."""
    of_clip = Counter(case.clip for case in record.cases)
    long = {name: clip for name, clip in record.clips.items() if clip.audio_s > 2 * CHUNK_LENGTH_S}
    on_long = sum(case.counts for case in record.cases if case.clip in long)
    counts = [of_clip[name] for name in record.clips]
    audio_s = sum(clip.audio_s for clip in record.clips.values())
    lines = [
        f"{len(counts)} clips of {audio_s:.0f} s together, {min(counts)} to {max(counts)} cases "
        "each. The record has their names, seconds and sha256.",
        "",
        f"{len(long)} of them are longer than two windows"
        + (f", the longest {max(clip.audio_s for clip in long.values()):.0f} s" if long else "")
        + f"; {on_long} of the cases that count are on these.",
    ]
    if record.left_out:
        lines += ["", "Left out:", ""]
        lines += [f"* `{name}`: {why}" for name, why in record.left_out.items()]
    return lines
