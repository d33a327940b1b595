"""The most that a device gives: operations a second and bytes a second, measured, not promised.

Both from one graph of MAX, a large product: with many rows it is bound by arithmetic, with one row
by reading the matrix, as a decoder's step is. Knows no network.
"""

import time
from dataclasses import asdict, dataclass

from max.driver import Buffer
from max.engine import InferenceSession, Model
from max.graph import Graph, TensorType, ops

from maxwhisper.runtime.device import Placement

# 256 MiB in float32: more than any cache here or on an H100 (50 MB of L2) holds.
MATRIX = (4096, 16_384)
ROWS = 256  # 34 GFLOP: a third of a second on two cores
ROUNDS = 5


@dataclass(frozen=True)
class Ceilings:
    """Floating point operations and bytes read, per second."""

    flops_per_s: float
    bytes_per_s: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def measure_ceilings(
    placement: Placement, matrix: tuple[int, int] = MATRIX, rows: int = ROWS
) -> Ceilings:
    """The best of `ROUNDS` rounds each. Compiles one small graph, in seconds."""
    n_in, n_out = matrix
    x_type = TensorType(placement.dtype, ("rows", n_in), placement.ref)
    weight_type = TensorType(placement.dtype, matrix, placement.ref)
    with Graph("product", input_types=[x_type, weight_type]) as graph:
        x, weight = (value.tensor for value in graph.inputs)
        graph.output(ops.matmul(x, weight))
    model = InferenceSession(devices=[placement.device]).load(graph)
    weights = Buffer.zeros(matrix, placement.dtype, placement.device)
    many, one = (Buffer.zeros((n, n_in), placement.dtype, placement.device) for n in (rows, 1))
    return Ceilings(
        2 * rows * n_in * n_out / _best_s(model, placement, many, weights),
        n_in * n_out * placement.dtype.size_in_bytes / _best_s(model, placement, one, weights),
    )


def _best_s(model: Model, placement: Placement, *inputs: Buffer) -> float:
    seconds = []
    for _ in range(ROUNDS + 1):  # the first warms up
        start_s = time.perf_counter()
        model.execute(*inputs)
        placement.device.synchronize()
        seconds.append(time.perf_counter() - start_s)
    return min(seconds[1:])
