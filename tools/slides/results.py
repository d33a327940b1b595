"""The slides that a record makes: speed, where the time goes, what was heard, what we lost.

In: benchmark records and the evaluation of the bundled checkpoint. Out: slides. Where something has
not been measured, the slide says with which command it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maxwhisper.bench_report import NOISY, has_numbers
from maxwhisper.bench_summary import Ratio, Scaling, error_unit, main_clip, ratios, scaling
from maxwhisper.engine import OURS
from maxwhisper.records import machine_line
from tools.slides.charts import speed_bars, stage_bars
from tools.slides.markup import (
    command,
    count,
    number,
    percent,
    points,
    seconds,
    slide,
    table,
    text,
    times,
)
from tools.slides.story import BENCH

Record = Mapping[str, Any]
MEASURED = ("cpu", "gpu")  # places that a talk should have numbers from
MANY = 6  # losses that are shown one by one, the worst first


def results(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        for model in record["models"]:
            runs = [run for run in record["runs"] if run["model"] == model and has_numbers(run)]
            if runs:
                yield from _of_model(record, model, runs)
        if lanes := scaling(record):
            yield _lengths(record, lanes)
    for place in MEASURED:
        if place not in {_place(record) for record in records}:
            why = f"No record from a {place.upper()} yet. This makes one:"
            yield slide(f"Results on a {place.upper()}", command(f"{BENCH} --device {place}", why))


def _of_model(record: Record, model: str, runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    clip = main_clip(runs)
    on_clip = [run for run in runs if run["clip"] == clip]
    where = _source(record)
    against = [row for row in ratios(record) if row.model == model and row.clip == clip]
    said = f"{text(model)} on {text(clip)}, {seconds(on_clip[0]['audio_s'])}"
    missing = [
        f"{text(run['label'])}, {text(run['mode'])}: {text(run['error'] or run['unsupported'])}"
        for run in record["runs"]
        if run["model"] == model and run["clip"] == clip and not has_numbers(run)
    ]
    yield slide(
        f"How many times real time: {said}",
        speed_bars(on_clip, error_unit(record)),
        points(map(_sentence, against), "verdicts"),
        points(missing, "missing") if missing else "",
        where,
    )
    yield slide(f"Where the time goes: {said}", stage_bars(on_clip), where)


def _sentence(row: Ratio) -> str:
    """Who is faster, in words, with the range that decides it."""
    span = f"{times(row.slowest)} to {times(row.fastest)}"
    who = "" if row.ours == OURS else f"{text(row.ours)}, "
    verdict = {
        "faster": "we are faster",
        "slower": "<strong>we are slower</strong>",
        "even": "no difference can be told",
    }[row.verdict]
    pair = f"{who}{text(row.mode)}: {times(row.speed)} the speed of {text(row.baseline)}"
    return f"{pair} ({span}), {verdict}"


def _lengths(record: Record, lanes: Sequence[Scaling]) -> str:
    rows = [
        (
            f"{text(lane.label)} <small>{text(lane.mode)}, {text(lane.model)}</small>",
            " → ".join(
                f"{text(clip)}: {number(1000 * rate, f'{1000 * rate:.1f} ms')}"
                for clip, rate in zip(lane.clips, lane.seconds_per_audio_s, strict=True)
            ),
            percent(lane.uneven),
            "linear" if lane.is_linear else "<strong>not linear</strong>",
        )
        for lane in lanes
    ]
    head = ("engine", "time for each second of audio", "apart", "so it is")
    return slide(
        "Twice the audio, twice the time: does it hold?", table(head, rows), _source(record)
    )


def heard(evaluation: Mapping[str, Any]) -> str:
    """What the bundled checkpoint hears, and whether three engines hear the same."""
    rates = "".join(
        f"<li>{percent(rate)}<span>word errors {text(where)}</span></li>"
        for where, rate in evaluation["word_error_rates"].items()
    )
    agreement = evaluation["agreement"].values()
    differ, items = (sum(each[name] for each in agreement) for name in ("differ", "items"))
    return slide(
        f"One checkpoint, three engines: texts differ on {count(differ)} of {count(items)} clips",
        f'<ul class="big">{rates}</ul>',
        "<p>The bundled checkpoint was trained by this project, on speech it synthesised. It makes "
        "page, tests and benchmark work without a network; it is no match for the official ones, "
        "which are loaded by name.</p>",
        _source(evaluation),
    )


def lost(records: Sequence[Record], evaluation: Mapping[str, Any]) -> str:
    """Everything in the records that speaks against us."""
    rows = [row for record in records for row in ratios(record)]
    slower = sorted((r for r in rows if r.verdict == "slower"), key=lambda row: row.speed)
    items = [
        f"{_sentence(row)} <small>{text(row.clip)}, {text(row.model)}</small>"
        for row in slower[:MANY]
    ]
    if len(slower) > MANY:
        items.append(f"… and {count(len(slower) - MANY)} more times, by less")
    items += _more_memory(rows)
    items += [
        f"{text(run['label'])} failed: {text(run['error'])}"
        for record in records
        for run in record["runs"]
        if run["engine"] == OURS and run["error"]
    ]
    items += [
        f"Too noisy to compare: {text(machine_line(record['machine']))}"
        for record in records
        if record["aa"]["verdict"] == NOISY
    ]
    missed, goals = _goals(evaluation)
    items.append(f"The bundled weights miss {count(missed)} of {count(goals)} of their own goals")
    parts = [points(items)]
    if not records:
        parts.append(command(BENCH, "Against the other engines, nothing has been measured yet:"))
    return slide("What we lost", *parts)


def _more_memory(rows: Sequence[Ratio]) -> Iterator[str]:
    """Where we take more memory than a baseline: its worst case."""
    for baseline in dict.fromkeys(row.baseline for row in rows):
        most = max((row.memory or 0.0 for row in rows if row.baseline == baseline), default=0.0)
        if most > 1:
            yield f"Up to {times(most)} the memory of {text(baseline)}"


def after(records: Sequence[Record], evaluation: Mapping[str, Any]) -> str:
    """What comes next: first what the records ask for."""
    slower = dict.fromkeys(
        f"Catch up with {text(row.baseline)} where it is faster: {text(row.mode)}"
        for record in records
        for row in ratios(record)
        if row.verdict == "slower"
    )
    items = list(slower)
    places = {_place(record) for record in records}
    items += [f"Measure on a {place.upper()}" for place in MEASURED if place not in places]
    if _goals(evaluation)[0]:
        items.append("Better bundled weights: meet the goals that are missed")
    items += [
        "Windows of several visitors in one batch: the decoder can, the page still takes turns",
        "Quantised weights, which faster-whisper has and we have not",
    ]
    return slide(
        "What next",
        points(items),
        "<p>Try it: clone, then</p><pre><code>make app</code></pre>",
    )


def _goals(evaluation: Mapping[str, Any]) -> tuple[int, int]:
    """(missed, all that were measured) through our engine."""
    ours = [goal for goal in evaluation["goals"] if goal["engine"] == OURS]
    measured = [goal for goal in ours if goal["met"] is not None]
    return sum(not goal["met"] for goal in measured), len(measured)


def _place(record: Record) -> str:
    """ "gpu" if our engine ran on one, else "cpu"."""
    devices = [run["info"]["device"] for run in record["runs"] if run["info"] is not None]
    return "gpu" if any(device.startswith("gpu") for device in devices) else "cpu"


def _source(record: Record) -> str:
    when = text(record["when"][:10]) + " · " if "when" in record else ""
    return f'<p class="source">{when}{text(machine_line(record["machine"]))}</p>'
