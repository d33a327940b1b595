"""Benchmark records, checked and printed. In: what `bench.run` returns, or its JSON file."""

import hashlib
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from maxwhisper.bench import SCHEMA
from maxwhisper.records import Types, check_fields, columns, machine_line

NoneType = type(None)
Number = (int, float)

RECORD_FIELDS: dict[str, Types] = {
    "schema": (int,),
    "when": (str,),
    "machine": (dict,),
    "settings": (dict,),
    "runs": (list,),
}
RUN_FIELDS: dict[str, Types] = {
    "engine": (str,),
    "mode": (str,),
    "model": (str,),
    "clip": (str,),
    "audio_s": Number,
    "info": (dict, NoneType),
    "load_s": (*Number, NoneType),
    "error": (str, NoneType),
    "seconds": (list,),
    "median_s": (*Number, NoneType),
    "rtfx": (*Number, NoneType),
    "wer": (*Number, NoneType),
    "stages": (dict,),
    "text": (str, NoneType),
    "text_sha256": (str, NoneType),
    "same_text_every_round": (bool, NoneType),
}

# Rounds further apart than this share of their median: something else ran on the machine.
NOISY_SPREAD = 0.10
COLUMNS = ("engine", "median s", "min – max s", "RTFx", "× fastest", "WER", "load s")


def validate(record: Mapping[str, Any]) -> None:
    """Raise `ValueError` naming the first field that is missing, mistyped or contradictory."""
    check_fields("record", record, RECORD_FIELDS)
    if record["schema"] != SCHEMA:
        raise ValueError(f"expected schema {SCHEMA}, got {record['schema']}: measure again")
    if not record["runs"]:
        raise ValueError("expected at least one run, got none")
    for number, run in enumerate(record["runs"]):
        where = f"runs[{number}]"
        check_fields(where, run, RUN_FIELDS)
        if run["error"] is None:
            _check_numbers(where, run, record["settings"]["rounds"])
        elif run["seconds"]:
            raise ValueError(f"{where}: a run with an error must have no seconds")


def failed(record: Mapping[str, Any]) -> bool:
    """True if any run of the record is an error."""
    return any(run["error"] is not None for run in record["runs"])


def table(record: Mapping[str, Any]) -> str:
    """The record for people: one block a clip, fastest first, failures last with their reason."""
    clips = dict.fromkeys(run["clip"] for run in record["runs"])
    blocks = [_heading(record)]
    for clip in clips:
        blocks.append(_clip_block([run for run in record["runs"] if run["clip"] == clip]))
    return "\n\n".join(blocks)


def _check_numbers(where: str, run: Mapping[str, Any], rounds: int) -> None:
    """The derived numbers of a run must follow from its seconds and its text."""
    seconds = run["seconds"]
    if len(seconds) != rounds or not all(s > 0 for s in seconds):
        raise ValueError(f"{where}.seconds: expected {rounds} positive numbers, got {seconds}")
    expected = {
        "median_s": statistics.median(seconds),
        "rtfx": run["audio_s"] / statistics.median(seconds),
    }
    for name, value in expected.items():
        if run[name] is None or not math.isclose(run[name], value, rel_tol=1e-9):
            raise ValueError(f"{where}.{name}: expected {value} from its seconds, got {run[name]}")
    if (
        run["text"] is None
        or hashlib.sha256(run["text"].encode()).hexdigest() != run["text_sha256"]
    ):
        raise ValueError(f"{where}.text_sha256 is not the hash of its text")


def _heading(record: Mapping[str, Any]) -> str:
    settings = record["settings"]
    return (
        f"{machine_line(record['machine'])}\n"
        f"{settings['mode']}, {settings['rounds']} rounds after {settings['warmups']} warm-up, "
        f"{settings['order']}; loading is not in the seconds"
    )


def _clip_block(runs: Sequence[Mapping[str, Any]]) -> str:
    done = sorted((run for run in runs if run["error"] is None), key=lambda run: run["median_s"])
    rows = [COLUMNS, *(_row(run, fastest_s=done[0]["median_s"]) for run in done)]
    failures = [f"{run['engine']}: ERROR {run['error']}" for run in runs if run["error"]]
    noisy = [run["engine"] for run in done if _spread(run) > NOISY_SPREAD]
    doubt = (
        [f"noisy: rounds of {', '.join(noisy)} differ by over {NOISY_SPREAD:.0%}"] if noisy else []
    )
    title = f"{runs[0]['clip']} · {runs[0]['audio_s']:.1f} s of audio · model {runs[0]['model']}"
    return "\n".join([title, *(columns(rows) if done else []), *doubt, *failures])


def _spread(run: Mapping[str, Any]) -> float:
    """Slowest minus fastest round, as a share of the median."""
    return float((max(run["seconds"]) - min(run["seconds"])) / run["median_s"])


def _row(run: Mapping[str, Any], fastest_s: float) -> tuple[str, ...]:
    seconds = run["seconds"]
    return (
        run["engine"],
        f"{run['median_s']:.3f}",
        f"{min(seconds):.3f} – {max(seconds):.3f}",
        f"{run['rtfx']:.1f}",
        f"{run['median_s'] / fastest_s:.2f}",
        "–" if run["wer"] is None else f"{100 * run['wer']:.1f} %",
        "–" if run["load_s"] is None else f"{run['load_s']:.2f}",
    )
