"""The child process of `trial.require_tried`: load graphs and run each of them once, or die of it.

In: a line of JSON on standard input, that `trial` writes. Out: `READY` before the graphs are loaded
and `DONE` after they ran. Their weights are zeros: which numbers come out does not matter here, and
`probe` checks them afterwards.
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


def main() -> None:
    """Run every graph of the artifact that the request names."""
    request = json.loads(sys.stdin.buffer.read())
    dims = Dims(**request["dims"])
    placement = choose(request["device"], request["dtype"])
    placement = replace(placement, matrices=DType[request["matrices"]])
    weights = {name: np.zeros(it.shape, np.float16) for name, it in expected_tensors(dims).items()}
    checkpoint = Checkpoint("zeros", dims, weights, (), "zeros", digest="zeros")
    session = InferenceSession(devices=[placement.device])
    os.write(1, READY)
    measured(bind(session, session.compile(request["artifact"]), checkpoint, placement))
    os.write(1, DONE)
    os._exit(0)  # what libraries do at the end does not matter


if __name__ == "__main__":
    main()
