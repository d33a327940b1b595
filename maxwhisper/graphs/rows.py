"""Select rows of a batch on the device: to reorder beams, drop finished rows or duplicate rows.

Input: any (B, H, L, D) buffer. Output: a new buffer.
"""

from max.dtype import DType
from max.graph import DeviceRef, Graph, Module, TensorType, ops

GATHER_ROWS = "gather_rows"


def gather_rows_graph(module: Module, dtype: DType, device: DeviceRef) -> None:
    """x (B, H, L, D) and rows (R,) int64 -> (R, H, L, D): row r is x's row rows[r].

    Works for cross keys and values and for the self-attention cache: all dimensions are symbolic.
    """
    x_type = TensorType(dtype, ("batch", "heads", "length", "width"), device)
    rows_type = TensorType(DType.int64, ("rows",), device)
    with Graph(GATHER_ROWS, input_types=[x_type, rows_type], module=module) as graph:
        x, rows = (value.tensor for value in graph.inputs)
        graph.output(ops.gather(x, rows, axis=0))
