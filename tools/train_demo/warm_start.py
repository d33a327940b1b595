"""Initial weights of a run, from an exported folder or an earlier run.

In: such a folder. Out: `Start`, with a row for every token, whatever sentences it was trained on.
This lets a later session continue from the weights in the tree with more speech or other sentences.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from maxwhisper.checkpoint.hf_folder import read_hf_folder
from maxwhisper.network.dims import Dims
from tools.train_demo.model import canonical_weights, restored

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Start:
    """Initial weights. `phone_head` is None for an exported folder, which has none; it is learnt
    again within some dozens of steps. `name` goes into the record of the run. `n_batches` were
    already used: the same seed would repeat them, and a loss on memorised batches says nothing."""

    name: str
    dims: Dims
    weights: Mapping[str, npt.NDArray[np.floating[Any]]]
    phone_head: dict[str, torch.Tensor] | None
    n_batches: int


def read(folder: Path) -> Start:
    """Read a folder. Raises `CheckpointError` if it contains neither a run nor a network."""
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
