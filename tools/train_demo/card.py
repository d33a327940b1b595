"""The model card, written from the records beside the weights: nobody types a figure.

In: training.json of `export` and evaluation.json of `evaluate`. Out: README.md, with each goal and
whether it was met.

`python -m tools.train_demo.card maxwhisper/assets/demo`
"""

import argparse
import json
from pathlib import Path
from typing import Any

from tools.train_demo import evaluate, export

# Group of the evaluation -> word error rate aimed at.
GOALS = {"seen": 0.08, "unseen": 0.25, "noisy": 0.20, "talk": 0.10}
REAL_GOAL = 0.60  # read speech of people

_HEAD = """---
license: apache-2.0
language: en
library_name: maxwhisper
pipeline_tag: automatic-speech-recognition
---

# demo

A small English Whisper, trained by this project on speech that it synthesised, so that pages, tests
and benchmarks work without a network. It is meant for clear synthetic English, and has heard no
human speech: its figures below are all it claims. The recipe is in `tools/train_demo`.
"""


def card(folder: Path) -> str:
    """Text of the card. Raises `FileNotFoundError` without training.json."""
    training = json.loads((folder / export.RECORD).read_text())
    path = folder / evaluate.RECORD
    lines = [_HEAD, "## How it was made\n", *_training(training), "", "## What it can do\n"]
    if path.is_file():
        lines += _evaluation(json.loads(path.read_text()))
    else:
        lines.append("It was not evaluated yet.")
    lines += ["", "## Files\n", "| file | bytes | sha256 |", "| --- | --- | --- |"]
    for name, sha256 in training["sha256"].items():
        lines.append(f"| {name} | {training['bytes'][name]} | {sha256} |")
    return "\n".join(lines) + "\n"


def _training(record: dict[str, Any]) -> list[str]:
    dims, speech, trained = record["dims"], record["speech"], record["training"]
    hours = ", ".join(f"{program} {h} h" for program, h in speech["hours"].items())
    return [
        f"* Width {dims['n_audio_state']}, {dims['n_audio_layer']} encoder and "
        f"{dims['n_text_layer']} decoder layers, stored as {record['stored_as']}.",
        f"* Speech: {speech['utterances']} utterances in {speech['voices']} voices ({hours}).",
        f"* Training: {trained['step']} steps, {trained['examples']} examples, "
        f"{trained['audio_s'] / 3600:.1f} h of sound heard, {trained['spent_s'] / 3600:.2f} h of "
        f"time, seed {trained['seed']}.",
        f"* {trained['tokens_used']} of {dims['n_vocab']} tokens occur in the texts; the others "
        "share one row of the embedding.",
        f"* Word starts from cross-attention heads {record['alignment_heads']} are "
        f"{record['word_start_error_s']} s off on average.",
    ]


def _evaluation(record: dict[str, Any]) -> list[str]:
    lines = [
        "| engine | set | items | words | WER | goal |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for engine, groups in record["engines"].items():
        for group, figures in groups.items():
            if figures["wer"] is not None:
                numbers = f"{figures['items']} | {figures['words']} | {_percent(figures['wer'])}"
                lines.append(f"| {engine} | {group} | {numbers} | {_goal(group, figures['wer'])} |")
    differing = len(record["texts_that_differ"])
    lines += ["", f"The engines' texts differ on {differing} of {record['items']} recordings."]
    return lines


def _goal(group: str, wer: float) -> str:
    goal = REAL_GOAL if group.startswith("real") else GOALS.get(group)
    return "" if goal is None else f"{_percent(goal)}: {'met' if wer <= goal else 'missed'}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    (folder / "README.md").write_text(card(folder), encoding="utf-8")


if __name__ == "__main__":
    main()
