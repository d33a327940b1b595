"""Write the model card from the records beside the weights, so no figure is typed by hand.

In: training.json of `export` and evaluation.json of `evaluate`. Out: README.md, with each goal and
whether it was met.

`python -m tools.train_demo.card maxwhisper/assets/demo`
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maxwhisper.checkpoint.bundled import EVALUATION, TRAINING

MAX_LISTED = 20  # differences between engines; all of them are in evaluation.json

_HEAD = """---
license: apache-2.0
language: en
library_name: maxwhisper
pipeline_tag: automatic-speech-recognition
---

# demo

A small English Whisper that lets the page, the tests and the benchmarks work without a network.
This project trained it on speech that it synthesised from sentences of grammars and a dictionary.
It was never trained on human speech. It knows sentences of its grammars much better than others;
the figures below state what to expect. The recipe is in `tools/train_demo`.
"""


def card(folder: Path) -> str:
    """Return the text of the card. Raises `FileNotFoundError` if there is no training.json."""
    training = json.loads((folder / TRAINING).read_text())
    path = folder / EVALUATION
    lines = [_HEAD, "## How it was made", "", *_training(training), ""]
    if path.is_file():
        record = json.loads(path.read_text())
        lines += ["## What it was evaluated on", "", *_sets(record), ""]
        lines += ["## Goals", "", *_goals(record["goals"]), ""]
        lines += ["## Word error rates", "", *_rates(record["engines"]), ""]
        lines += ["## Do the engines agree?", "", *_agreement(record), ""]
    else:
        lines += ["The network has not been evaluated yet.", ""]
    lines += ["## Files", ""]
    sizes = [(name, training["bytes"][name], sha) for name, sha in training["sha256"].items()]
    lines += _table(("file", "bytes", "sha256"), sizes)
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    cells = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(str, row))} |" for row in cells]


def _training(record: Mapping[str, Any]) -> list[str]:
    dims, speech, trained = record["dims"], record["speech"], record["training"]
    hours = ", ".join(f"{program} {h} h" for program, h in speech["hours"].items())
    return [
        f"* Width {dims['n_audio_state']}, {dims['n_audio_layer']} encoder and "
        f"{dims['n_text_layer']} decoder layers, stored as {record['stored_as']}.",
        f"* Speech: {speech['utterances']} utterances in {speech['voices']} voices ({hours}).",
        f"* Training: {trained['step']} steps, {trained['examples']} examples, "
        f"{trained['audio_s'] / 3600:.1f} h of audio, {trained['spent_s'] / 3600:.2f} h of "
        f"training time, seed {trained['seed']}; initial weights: "
        f"{trained['began_with'] or 'random'}.",
        f"* {trained['tokens_used']} of {dims['n_vocab']} tokens occur in the texts; the others "
        "share one row of the embedding.",
        f"* The mean error of word starts from cross-attention heads {record['alignment_heads']} "
        f"is {record['word_start_error_s']} s.",
    ]


def _sets(record: Mapping[str, Any]) -> list[str]:
    """Return what each set is, before the figures."""
    rates = [f"{100 * rate:.1f} % {where}" for where, rate in record["word_error_rates"].items()]
    lines = [f"Word error rates: {', '.join(rates)}.", ""] if rates else []
    lines += [
        "The texts for training, and the choice between weights, followed the figures of the sets "
        "`grammar`, `talk` and `clips`, so these say more about the training than about other "
        "speech. The sets `test` and `validation` were written afterwards, by hand.",
        "",
    ]
    return lines + _table(("set", "what it is"), list(record["sets"].items()))


def _goals(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of goals: a row per goal, a column per engine with figure and verdict."""
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        key = (row["group"], row["figure"].replace("_", " "), row["goal"])
        verdict = "not measured" if row["met"] is None else "met" if row["met"] else "**missed**"
        value = "" if row["value"] is None else f"{row['value']:g}: "
        cells.setdefault(key, {})[row["engine"]] = value + verdict
    lines = [(*key, *(by_engine[name] for name in engines)) for key, by_engine in cells.items()]
    return _table(("set", "figure", "goal", *engines), lines)


def _rates(engines: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    first = next(iter(engines.values()))
    rows = [
        (
            *(group, figures["items"], figures["words"]),
            *(f"{100 * groups[group]['wer']:.1f} %" for groups in engines.values()),
        )
        for group, figures in first.items()
        if "wer" in figures
    ]
    return _table(("set", "recordings", "words", *engines), rows)


def _agreement(record: Mapping[str, Any]) -> list[str]:
    if len(record["engines"]) < 2:
        return ["Measured with one engine only."]
    counts = record["agreement"]
    total = sum(count["items"] for count in counts.values())
    listed = record["differences"]
    head = f"The texts differ in at least one character in {len(listed)} of {total} recordings"
    if not listed:
        return [f"{head}."]
    n_words = sum(not entry["same_words"] for entry in listed)
    lines = [f"{head}; in {n_words} of them in words.", ""]
    rows = [
        (
            f"{entry['group']}: {entry['item']}",
            "words" if not entry["same_words"] else "casing or punctuation",
            "end of the shorter text" if entry["from_s"] is None else f"{entry['from_s']:.2f} s",
        )
        for entry in listed[:MAX_LISTED]
    ]
    lines += _table(("recording", "difference", "from"), rows)
    if len(listed) > MAX_LISTED:
        lines += ["", f"The other {len(listed) - MAX_LISTED} are in `{EVALUATION}`."]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    (folder / "README.md").write_text(card(folder), encoding="utf-8")


if __name__ == "__main__":
    main()
