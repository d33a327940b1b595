"""Our own kernel against numpy: every number of rows, columns that fill no tile, both types."""

import numpy as np
import pytest
from max.driver import CPU, Buffer
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import DeviceRef, Graph, Module, TensorType

from maxwhisper.graphs.layers import KERNELS, few_rows

DEPTH = 64
N_OUT = {DType.float16: 51, DType.float32: 8}  # 51: the last tile reaches back by one column


@pytest.fixture(scope="module")
def products():
    """products(dtype): x (B, L, 64) by a matrix of `dtype` with a bias, as a MAX model."""
    device, module = DeviceRef.CPU(), Module()
    for dtype, n_out in N_OUT.items():
        types = [
            TensorType(DType.float32, ("batch", "length", DEPTH), device),
            TensorType(dtype, (n_out, DEPTH), device),
            TensorType(DType.float32, (n_out,), device),
        ]
        extensions = {"module": module, "custom_extensions": [KERNELS]}
        with Graph(dtype.name, input_types=types, **extensions) as graph:
            x, weight, bias = (value.tensor for value in graph.inputs)
            graph.output(few_rows(x, weight, bias), few_rows(x, weight))
    session = InferenceSession(devices=[CPU()])
    models = session.init_all(session.compile(module, custom_extensions=[KERNELS]))
    return {dtype: models[dtype.name] for dtype in N_OUT}


@pytest.mark.parametrize("dtype", list(N_OUT))
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 1), (2, 4), (1, 31)])
def test_few_rows_equal_numpys(products, dtype, shape, figure):
    rng = np.random.default_rng(sum(shape))
    x = rng.standard_normal((*shape, DEPTH), dtype=np.float32)
    weight = rng.standard_normal((N_OUT[dtype], DEPTH), dtype=np.float32)
    bias = rng.standard_normal(N_OUT[dtype], dtype=np.float32)
    stored = weight.astype(np.float16 if dtype == DType.float16 else np.float32)
    want = x.astype(np.float64) @ stored.astype(np.float64).T
    inputs = [Buffer.from_numpy(array) for array in (x, stored, bias)]
    with_bias, without = (buffer.to_numpy() for buffer in products[dtype].execute(*inputs))
    assert without.shape == want.shape
    name = dtype.name
    figure(np.abs(without - want).max(), 1e-5, f"few rows {shape}, {name}, off numpy in float64")
    figure(np.abs(with_bias - want - bias).max(), 1e-5, f"the same {shape} with a bias")
