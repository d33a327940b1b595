"""Benchmark records as tables: text for a terminal, markdown for a page.

Input: records. Output: text. Every number comes from a record. Notes below the tables name doubtful
numbers: rounds that differ, a noisy machine, engines that failed or were slower than others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from maxwhisper.engine import OURS
from maxwhisper.evaluation.bench.record import (
    NOISY,
    QUIET,
    BenchRecord,
    MeasuredRun,
    ModelEntry,
    Run,
)
from maxwhisper.evaluation.bench.summary import (
    LINEAR_WITHIN,
    MEMORY_LIMIT,
    Ratio,
    Scaling,
    cells,
    error_unit,
    ratios,
    scaling,
)
from maxwhisper.evaluation.records import (
    columns,
    machine_line,
    markdown_table,
    stages_of,
    weights_line,
)
from maxwhisper.text.wer import RATE_NAMES

# If rounds differ by more than this share of their median, something else ran on the machine.
NOISY_SPREAD = 0.10
MIB = 2**20

_TIMES = ("engine", "median s", "min – max s", "IQR s", "RTFx", "× fastest", "first text s")
_RATES = ("engine", "file in s", "tokens", "tokens/s", "ms/step", "cold s", "peak MiB", "GPU MiB")
_LOADS = ("engine", "version", "device", "precision", "load s", "first start + s")
_RATIOS = ("against", "mode", "clip", "speed", "range", "we are", "memory")
_SCALING = ("engine", "mode", "clips", "ms per s of audio", "apart", "linear", "memory", "flat")


@dataclass(frozen=True)
class _Block:
    """A titled table: its first row names the columns; notes follow it."""

    title: str
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()


def table(record: BenchRecord) -> str:
    """The record for people: one block a cell, fastest first, failures last with their reason."""
    parts = []
    for block in _blocks(record):
        rows = columns(block.rows) if len(block.rows) > 1 else []
        parts.append("\n".join([block.title, *rows, *block.notes]))
    return "\n\n".join(parts)


def markdown(records: Sequence[BenchRecord]) -> str:
    """Records as markdown, one after the other."""
    if not records:
        return "Nothing has been measured yet: there is no record.\n"
    lines: list[str] = []
    for record in records:
        heading, *blocks = _blocks(record)
        lines += [f"## {heading.title.splitlines()[0]}", "", *heading.title.splitlines()[1:]]
        lines += ["", *heading.notes, ""]
        for block in blocks:
            rows = markdown_table(block.rows) if len(block.rows) > 1 else []
            lines += [f"**{block.title}**", "", *rows]
            lines += ["", *(f"* {note}" for note in block.notes), ""]
    return "\n".join(lines).rstrip() + "\n"


def _blocks(record: BenchRecord) -> Iterator[_Block]:
    yield _heading(record)
    for name, model in record.models.items():
        yield _loads(name, model, [run for run in record.runs if run.model == name])
    for (model_name, mode, clip), runs in cells(record):
        title = f"{clip} · {runs[0].audio_s:.1f} s · {model_name} · {mode}"
        yield from _cell(title, runs, RATE_NAMES[error_unit(record)])
    for name in record.models:
        if rows := [ratio for ratio in ratios(record) if ratio.model == name]:
            yield _Block(f"ours against the others · {name}", _ratio_rows(rows), _losses(rows))
    if scalings := scaling(record):
        rule = f"linear: at most {LINEAR_WITHIN:.0%} apart; memory is without the samples"
        yield _Block("time and memory against length", _scaling_rows(scalings), [rule])


def _heading(record: BenchRecord) -> _Block:
    settings, aa = record.settings, record.aa
    how = (
        f"{record.when[:10]}, {settings.rounds} rounds after {settings.warmups} warm-up, "
        f"{settings.order}; loading is not in the seconds"
    )
    if aa.worst is None:
        noise = "A/A check not run: how noisy the machine was is not known"
    else:
        noise = f"A/A check: the same engine twice differs by up to {aa.worst:.1%}"
        noise += {
            QUIET: f", below the limit of {aa.limit:.0%}",
            NOISY: f". Over {aa.limit:.0%}: THIS MACHINE IS TOO NOISY, trust no difference here",
        }[aa.verdict]
    return _Block(f"{machine_line(record.machine)}\n{how}", notes=[noise])


def _loads(name: str, model: ModelEntry, runs: Sequence[Run]) -> _Block:
    tokens = model.tokens_per_window
    work = "decoded until the text ends" if tokens is None else f"exactly {tokens} tokens a window"
    rows = {
        run.label: (
            run.label,
            run.info.version,
            run.info.device,
            run.info.dtype,
            _number(run.load_s, 2),
            _number(run.prepare_s, 1),
        )
        for run in runs
        if run.info is not None
    }
    return _Block(f"{weights_line(name, model.source)}; {work}", [_LOADS, *rows.values()])


def _cell(title: str, runs: Sequence[Run], rate_name: str) -> Iterator[_Block]:
    measured = [run for run in runs if isinstance(run, MeasuredRun)]
    done = sorted(measured, key=lambda run: run.median_s)
    notes = [f"{run.label}: ERROR {run.error}" for run in runs if run.error]
    notes += [f"{run.label}: {run.unsupported}" for run in runs if run.unsupported]
    if noisy := [run.label for run in done if _spread(run) > NOISY_SPREAD]:
        notes.append(f"noisy: rounds of {', '.join(noisy)} differ by over {NOISY_SPREAD:.0%}")
    times = [(*_TIMES, rate_name), *(_times(run, done[0].median_s) for run in done)]
    yield _Block(title, times, notes)
    if done:
        yield _Block(f"{title}, more", [_RATES, *(_rates(run) for run in done)], _where(done))


def _times(run: MeasuredRun, fastest_s: float) -> tuple[str, ...]:
    seconds = run.seconds
    return (
        run.label,
        f"{run.median_s:.3f}",
        f"{min(seconds):.3f} – {max(seconds):.3f}",
        f"{run.iqr_s:.3f}",
        f"{run.rtfx:.1f}",
        f"{run.median_s / fastest_s:.2f}",
        _number(run.first_text_s, 3),
        "–" if run.wer is None else f"{100 * run.wer:.1f} %",
    )


def _rates(run: MeasuredRun) -> tuple[str, ...]:
    return (
        run.label,
        _number(run.file_s, 3),
        str(run.n_tokens),
        f"{run.tokens_per_s:.1f}",
        _number(run.step_ms, 2),
        _number(run.cold_s, 3),
        _mebibytes(run.host_peak_bytes),
        _mebibytes(run.device_bytes),
    )


def _where(runs: Sequence[MeasuredRun]) -> list[str]:
    """Stages of the engines that report them, and the share of time outside all graphs."""
    lines = []
    for run in runs:
        if parts := stages_of(run.stages):
            shares = ", ".join(f"{name} {s / run.median_s:.0%}" for name, s in parts.items())
            lines.append(f"{run.label} by stage: {shares}")
        if run.outside_graphs is not None:
            lines.append(f"{run.label} outside its graphs: {run.outside_graphs:.1%}")
    return lines


def _ratio_rows(rows: Sequence[Ratio]) -> list[Sequence[str]]:
    return [
        _RATIOS,
        *(
            (
                row.baseline if row.ours == OURS else f"{row.baseline} ({row.ours})",
                row.mode,
                row.clip,
                f"{row.speed:.2f}×",
                f"{row.slowest:.2f} – {row.fastest:.2f}",
                row.verdict,
                "–" if row.memory is None else f"{row.memory:.2f}×",
            )
            for row in rows
        ),
    ]


def _losses(rows: Sequence[Ratio]) -> list[str]:
    lost = [f"{r.baseline} ({r.mode}, {r.clip})" for r in rows if r.verdict == "slower"]
    heavy = dict.fromkeys(r.baseline for r in rows if r.memory and r.memory > MEMORY_LIMIT)
    notes = [f"we lose to {', '.join(lost)}"] if lost else []
    if heavy:
        notes.append(f"maxwhisper uses over {MEMORY_LIMIT}× the memory of {', '.join(heavy)}")
    return notes


def _scaling_rows(rows: Sequence[Scaling]) -> list[Sequence[str]]:
    return [
        _SCALING,
        *(
            (
                f"{row.label} · {row.model}",
                row.mode,
                " → ".join(row.clips),
                " → ".join(f"{1000 * rate:.1f}" for rate in row.seconds_per_audio_s),
                f"{row.uneven:.1%}",
                _yes(row.is_linear),
                "–" if row.growth is None else f"{row.growth:+.0%}",
                _yes(row.is_flat),
            )
            for row in rows
        ),
    ]


def _spread(run: MeasuredRun) -> float:
    """Slowest minus fastest round, as a share of the median."""
    return (max(run.seconds) - min(run.seconds)) / run.median_s


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _mebibytes(n_bytes: int | None) -> str:
    return "–" if n_bytes is None else f"{n_bytes / MIB:.0f}"


def _yes(answer: bool | None) -> str:
    return "–" if answer is None else "yes" if answer else "NO"
