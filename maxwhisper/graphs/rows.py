"""Rows of a batch, chosen on the device: beams change places, rows leave, rows split.

In: any (B, H, L, D) buffer. Out: a new one.
"""

from max.dtype import DType
from max.graph import DeviceRef, Graph, Module, TensorType, ops

GATHER_ROWS = "gather_rows"


def gather_rows_graph(module: Module, dtype: DType, device: DeviceRef) -> None:
    """x (B, H, L, D) and rows (R,) int64 -> (R, H, L, D): row r is x's row rows[r].

    Serves cross keys and values and the self-attention cache alike: every dimension is symbolic.
    """
    x_type = TensorType(dtype, ("batch", "heads", "length", "width"), device)
    rows_type = TensorType(DType.int64, ("rows",), device)
    with Graph(GATHER_ROWS, input_types=[x_type, rows_type], module=module) as graph:
        x, rows = (value.tensor for value in graph.inputs)
        graph.output(ops.gather(x, rows, axis=0))
