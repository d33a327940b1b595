"""Whisper as MAX graphs. `whisper_module` collects all of them in one module to compile."""

from max.dtype import DType
from max.graph import DeviceRef, Module

from maxwhisper.graphs.decoder import PREFILL, STEP, prefill_graph, step_graph
from maxwhisper.graphs.encoder import CROSS_KV, ENCODER, cross_kv_graph, encoder_graph
from maxwhisper.graphs.greedy import GREEDY_STEP, greedy_step_graph
from maxwhisper.graphs.layers import KERNELS
from maxwhisper.graphs.mel import LOG_MEL, NORMALIZE, log_mel_graph, normalize_graph
from maxwhisper.graphs.rows import GATHER_ROWS, gather_rows_graph
from maxwhisper.network.dims import Dims

__all__ = [
    "CROSS_KV",
    "ENCODER",
    "GATHER_ROWS",
    "GRAPH_NAMES",
    "GREEDY_STEP",
    "KERNELS",
    "LOG_MEL",
    "NORMALIZE",
    "PREFILL",
    "STEP",
    "whisper_module",
]

GRAPH_NAMES = (LOG_MEL, NORMALIZE, ENCODER, CROSS_KV, PREFILL, STEP, GREEDY_STEP, GATHER_ROWS)


def whisper_module(
    dims: Dims, dtype: DType, device: DeviceRef, matrices: DType = DType.float32
) -> Module:
    """Build all graphs of a network in one module: they share kernels and compile faster together.

    `matrices` is the type of the decoder's matrices on a CPU.
    """
    module = Module()
    log_mel_graph(module, device)
    normalize_graph(module, device)
    encoder_graph(module, dims, dtype, device)
    cross_kv_graph(module, dims, dtype, device)
    prefill_graph(module, dims, dtype, device, matrices)
    step_graph(module, dims, dtype, device, matrices)
    greedy_step_graph(module, dims, dtype, device, matrices)
    gather_rows_graph(module, dtype, device)
    return module
