"""All that is claimed of a device, in one go: is it right there, and how fast?

In: a device, the bundled clips, the models to time. Out: proof.json, one entry for each step
(components, texts, capture, timings, profiles), and bench.json, the record of the harness.

`python -m tools.gpu_proof --device gpu --output results/proof-h100 --minutes 20`
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app import EXAMPLES
from maxwhisper import audio, checkpoint
from maxwhisper.engine import Engine, load_engine
from maxwhisper.ui.examples import load_examples
from tools.gpu_proof.goals import TURBO
from tools.gpu_proof.proof import Proof
from tools.gpu_proof.steps import STEPS

MODELS = ("demo", "random:tiny", "random:small", TURBO)


def summary(record: Mapping[str, Any]) -> Iterator[str]:
    """A line for each step, and for each goal."""
    for name, entry in record["steps"].items():
        yield f"{entry['status']:8} {name:12} {entry['seconds']:8.1f} s  {entry.get('why', '')}"
        for goal in entry.get("goals", ()):
            word = {None: "not measured", True: "met", False: "MISSED"}[goal["met"]]
            yield f"         {goal['goal']}: {goal['value']}, {word}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="gpu")
    parser.add_argument("--output", type=Path, required=True, help="folder of the two records")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=20.0, help="no step begins after these")
    parser.add_argument("--cache_dir", type=Path, help="where compiled graphs are")
    options = parser.parse_args()

    loaded = checkpoint.load(checkpoint.DEFAULT_MODEL)

    def load(name: str, device: str, dtype: str) -> Engine:
        return load_engine(name, loaded, device=device, dtype=dtype, cache_dir=options.cache_dir)

    proof = Proof(
        options.device,
        load,
        [(clip.title, audio.decode(clip.path), clip.text) for clip in load_examples(EXAMPLES)],
        options.models,
        options.rounds,
        options.output,
        options.cache_dir,
    )
    record = proof.run({name: STEPS[name] for name in options.steps}, options.minutes)
    print("\n".join(summary(record)))
    sys.exit(any(entry["status"] != "passed" for entry in record["steps"].values()))


if __name__ == "__main__":
    main()
