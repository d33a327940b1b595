"""The child process of `trial.require_tried`: load graphs and run each of them once, or die of it.

In: a line of JSON on standard input, that `trial` writes. Out: `READY` before the graphs are loaded
and `DONE` after they ran. Which numbers come out does not matter here: `probe` checks them
afterwards. But tokens are chosen from random weights as they are from a real network's, anywhere in
the vocabulary; with zeros it would always be the first.
"""

import json
import os
import sys
from dataclasses import replace

import numpy as np
from max.dtype import DType
from max.engine import InferenceSession

from maxwhisper.checkpoint.schema import Checkpoint, expected_tensors
from maxwhisper.network.dims import Dims
from maxwhisper.runtime.device import choose
from maxwhisper.runtime.model import bind
from maxwhisper.runtime.probe import measured
from maxwhisper.runtime.trial import DONE, READY

NOISE_STD = 0.06
N_NOISE = 1_000_003  # numbers, repeated in every tensor: many would take long to draw


def main() -> None:
    """Run every graph of the artifact that the request names."""
    request = json.loads(sys.stdin.buffer.read())
    dims = Dims(**request["dims"])
    placement = choose(request["device"], request["dtype"])
    placement = replace(placement, matrices=DType[request["matrices"]])
    noise = np.random.default_rng(0).normal(scale=NOISE_STD, size=N_NOISE).astype(np.float16)
    weights = {name: np.resize(noise, it.shape) for name, it in expected_tensors(dims).items()}
    checkpoint = Checkpoint("noise", dims, weights, (), "noise", digest="noise")
    session = InferenceSession(devices=[placement.device])
    os.write(1, READY)
    measured(bind(session, session.compile(request["artifact"]), checkpoint, placement))
    os.write(1, DONE)
    os._exit(0)  # what libraries do at the end does not matter


if __name__ == "__main__":
    main()
