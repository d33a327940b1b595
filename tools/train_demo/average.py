"""Average the weights of several runs into a run that can be exported or continued.

The mean of two related runs was better than either: 28 % and 27 % word errors on unseen sentences
in seen voices, 23 % for their mean (60 sentences). If the vocabularies differ, the mean is taken
over all tokens; the rows are those of the last run.

`python -m tools.train_demo.average build/mean build/run1=0.4 build/run2=0.6`
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from maxwhisper.errors import CheckpointError
from tools.train_demo import warm_start
from tools.train_demo.model import restored
from tools.train_demo.warm_start import CHECKPOINT


def average(shares: Mapping[Path, float], folder: Path) -> None:
    """Write checkpoint.pt of the mean into `folder`. Raises `CheckpointError` if the shares do not
    sum to 1, and for runs of different dims."""
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise CheckpointError(f"expected shares with the sum 1, got {list(shares.values())}")
    starts = {run: warm_start.read(run) for run in shares}
    if len({start.dims for start in starts.values()}) > 1:
        raise CheckpointError("expected runs of one network, got different dims")
    last = list(shares)[-1]
    state = torch.load(last / CHECKPOINT, map_location="cpu", weights_only=True)
    learner, vocabulary = restored(state)
    names = starts[last].weights
    parts = [(share, starts[run].weights) for run, share in shares.items()]
    mean = {name: np.sum([share * weights[name] for share, weights in parts], 0) for name in names}
    learner.load(mean, vocabulary)
    state["learner"] = learner.state_dict()
    named = ", ".join(f"{share:g} of {starts[run].name}" for run, share in shares.items())
    state["began_with"] = f"{state['began_with']}; then the mean of {named}"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / CHECKPOINT)


def _share(text: str) -> tuple[Path, float]:
    run, _, share = text.rpartition("=")
    return Path(run), float(share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the mean goes")
    parser.add_argument("runs", type=_share, nargs="+", metavar="RUN=SHARE")
    options = parser.parse_args()
    average(dict(options.runs), options.folder)


if __name__ == "__main__":
    main()
