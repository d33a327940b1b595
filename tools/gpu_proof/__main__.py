"""Check and time everything that is claimed of a device, in one run.

In: a device, the bundled clips, the models to time, and graphs compiled for the device beforehand.
Out: proof.json with one entry per step, and bench.json, the record of the harness. Nothing is
downloaded. Each step has its own process. An earlier record in the folder is continued; `--steps`
repeats some of the steps.

    python -m tools.gpu_proof --device gpu --output results/proof-h100 --minutes 20 --artifacts DIR

Fill DIR on a machine without the GPU, in a few minutes for each command:

    for dtype in float32 bfloat16 float16; do
      python -m maxwhisper compile --device cuda:sm_90a --dtype $dtype --out DIR; done
    for model in tiny small large-v3-turbo; do
      python -m maxwhisper compile --device cuda:sm_90a --model $model --out DIR; done

Missing graphs are compiled during the proof, within its time. It needs the packages of
requirements.txt without those of the page, and of requirements-gpu.txt. If an engine's packages are
missing, only that engine fails.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from maxwhisper import checkpoint
from maxwhisper.audio import load as audio
from maxwhisper.engine import Engine, load_engine
from maxwhisper.evaluation.bench.cases import EXAMPLES
from maxwhisper.runtime.artifacts import ARTIFACTS
from maxwhisper.web.ui.examples import load_examples
from tools.gpu_proof import process
from tools.gpu_proof.goals import TURBO
from tools.gpu_proof.proof import Proof, ProofRecord, run
from tools.gpu_proof.steps import STEPS

MODELS = ("demo", "random:tiny", "random:small", TURBO)


def summary(record: ProofRecord) -> Iterator[str]:
    """A line for each step, and for each goal."""
    for name, entry in record.steps.items():
        yield f"{entry['status']:8} {name:12} {entry['seconds']:8.1f} s  {entry.get('why', '')}"
        for goal in entry.get("goals", ()):
            word = {None: "not measured", True: "met", False: "MISSED"}[goal["met"]]
            yield f"         {goal['goal']}: {goal['value']}, {word}"


def make_proof(options: argparse.Namespace) -> Proof:
    loaded = checkpoint.load(checkpoint.DEFAULT_MODEL)

    def load(name: str, device: str, dtype: str) -> Engine:
        return load_engine(name, loaded, device=device, dtype=dtype, cache_dir=options.cache_dir)

    return Proof(
        options.device,
        load,
        [(clip.title, audio.decode(clip.path), clip.text) for clip in load_examples(EXAMPLES)],
        options.models,
        options.rounds,
        options.output,
        options.cache_dir,
        partial(process.keep, options.entry),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="gpu")
    parser.add_argument("--output", type=Path, required=True, help="folder of the two records")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=20.0, help="after these it has ended")
    parser.add_argument("--cache_dir", type=Path, help="where compiled graphs are kept")
    parser.add_argument("--artifacts", type=Path, help="folder of graphs compiled before")
    parser.add_argument(process.ENTRY_FLAG, type=Path, help=argparse.SUPPRESS)  # do one step here
    options = parser.parse_args()
    if options.artifacts is not None:
        os.environ[ARTIFACTS] = str(options.artifacts.resolve())
    if options.entry is not None:
        (name,) = options.steps
        process.keep(options.entry, make_proof(options).attempt(STEPS[name]))
        return

    again = [sys.executable, "-m", "tools.gpu_proof", *sys.argv[1:], "--steps"]
    record = run(
        options.device,
        options.output,
        options.steps,
        options.minutes,
        lambda name, limit_s: process.do([*again, name], limit_s),
    )
    print("\n".join(summary(record)))
    sys.exit(any(entry["status"] != "passed" for entry in record.steps.values()))


if __name__ == "__main__":
    main()
