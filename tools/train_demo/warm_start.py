"""Weights that a run begins with: of a folder as `export` writes it, or of an earlier run.

In: such a folder. Out: `Start`, with a row for every token, whatever sentences it was trained on.
So a later session goes on from the weights in the tree, with more speech or other sentences.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from maxwhisper.checkpoint.hf_safetensors import read_hf_folder
from maxwhisper.dims import Dims
from tools.train_demo.model import canonical_weights, restored

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Start:
    """`phone_head` is None for an exported folder, which has none: it is learnt again, within some
    dozens of steps. `name` goes into the record of the run. `n_batches` have been seen: the same
    seed gives the same ones again, and a loss on what is known by heart says nothing."""

    name: str
    dims: Dims
    weights: Mapping[str, npt.NDArray[np.floating[Any]]]
    phone_head: dict[str, torch.Tensor] | None
    n_batches: int


def read(folder: Path) -> Start:
    """Raises `CheckpointError` where there is neither a run nor a network in `folder`."""
    run = folder / CHECKPOINT
    if not run.is_file():
        checkpoint = read_hf_folder(folder)
        name = f"{checkpoint.name}, sha256 {checkpoint.digest}"
        return Start(name, checkpoint.dims, checkpoint.weights, None, 0)
    state = torch.load(run, map_location="cpu", weights_only=True)
    learner, vocabulary = restored(state)
    counters = state["counters"]
    name = f"the run {folder.resolve().name}, step {counters['step']}"
    n_batches = counters.get("first_batch", 0) + counters["step"]
    weights = canonical_weights(learner, vocabulary)
    phone_head = learner.phone_head.state_dict()
    return Start(name, Dims(**state["dims"]), weights, phone_head, n_batches)
