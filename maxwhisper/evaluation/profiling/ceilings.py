"""Peak rates of a device, measured: operations per second and bytes per second.

On a CPU by BLAS through numpy, a large matrix times a matrix and times a vector: what another
library reaches on the same cores. On a GPU by a large product in MAX, and a copy within its memory,
which reads and writes every byte. Knows no network.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from max.driver import Buffer
from max.engine import InferenceSession
from max.graph import Graph, TensorType, ops

from maxwhisper.evaluation.profiling.record import Ceilings
from maxwhisper.runtime.buffers import device_buffer
from maxwhisper.runtime.device import Placement

# 256 MiB in float32: more than any cache here or on an H100 (50 MB of L2) holds.
MATRIX = (4096, 16_384)
ROWS = 256  # 34 GFLOP: a third of a second on two cores
ROWS_OF_GPU = 8192  # 1.1 TFLOP: over a millisecond on an H100, which 34 GFLOP would not fill
TIMES = 8  # launches in a row before a GPU is waited for: one launch may cost as much as a copy
ROUNDS = 5


def measure_ceilings(
    placement: Placement, matrix: tuple[int, int] = MATRIX, rows: int | None = None
) -> Ceilings:
    """The best of `ROUNDS` rounds each. On a GPU one small graph is compiled for it, which takes a
    minute the first time."""
    if placement.device.is_host:
        return _of_host(placement, matrix, rows or ROWS)
    return _of_gpu(placement, matrix, rows or ROWS_OF_GPU)


def _of_host(placement: Placement, matrix: tuple[int, int], rows: int) -> Ceilings:
    weights = np.ones(matrix, np.float32)
    many, one = (np.ones((n, matrix[0]), np.float32) for n in (rows, 1))
    return Ceilings(
        2 * rows * weights.size / _best_s(lambda: many @ weights),
        weights.nbytes / _best_s(lambda: one @ weights),
    )


def _of_gpu(placement: Placement, matrix: tuple[int, int], rows: int) -> Ceilings:
    device, dtype = placement.device, placement.dtype
    x_type = TensorType(dtype, (rows, matrix[0]), placement.ref)
    weight_type = TensorType(dtype, matrix, placement.ref)
    with Graph("product", input_types=[x_type, weight_type]) as graph:
        x, weight = (value.tensor for value in graph.inputs)
        graph.output(ops.matmul(x, weight))
    model = InferenceSession(devices=[device]).load(graph)
    numbers = np.random.default_rng(0)  # zeros are multiplied faster than anything else
    many, weights = (
        device_buffer(numbers.standard_normal(shape, np.float32), dtype, placement)
        for shape in ((rows, matrix[0]), matrix)
    )
    copy = Buffer.zeros(matrix, dtype, device)

    def multiply() -> None:
        for _ in range(TIMES):
            model.execute(many, weights)
        device.synchronize()

    def move() -> None:
        for _ in range(TIMES):
            copy.inplace_copy_from(weights)
        device.synchronize()

    n_flops = 2 * rows * matrix[0] * matrix[1]
    n_bytes = 2 * matrix[0] * matrix[1] * dtype.size_in_bytes
    return Ceilings(TIMES * n_flops / _best_s(multiply), TIMES * n_bytes / _best_s(move))


def _best_s(work: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(ROUNDS + 1):  # the first warms up
        start_s = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start_s)
    return min(seconds[1:])
