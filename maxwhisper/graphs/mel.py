"""Log-mel spectrogram as two MAX graphs: samples to unclamped log-mel, then the clamp.

There are two graphs because the clamp's floor depends on the loudest bin of the whole recording
(openai/whisper audio.py:155), while long recordings are transformed block by block. Both compute in
float32.
"""

import math

from max.dtype import DType
from max.graph import DeviceRef, Dim, Graph, Module, TensorType, ops

from maxwhisper.graphs.layers import Scope
from maxwhisper.network.dims import HOP_LENGTH, N_FFT
from maxwhisper.network.mel_filters import DYNAMIC_RANGE, LOG_FLOOR, N_BINS

LOG_MEL = "log_mel"
NORMALIZE = "normalize_log_mel"


def log_mel_graph(module: Module, device: DeviceRef) -> None:
    """blocks (T + 2, 160) and filters (201, M) -> log10 mel power (T, M) and its maximum (1, 1).

    `blocks` come from `audio.frames.hop_blocks`. A frame of 400 samples is two and a half hops, so
    three shifted views side by side give all frames without a gather. The DFT is one matrix
    product.
    """
    blocks_type = TensorType(DType.float32, ("blocks", HOP_LENGTH), device)
    filters_type = TensorType(DType.float32, (N_BINS, "mels"), device)
    with Graph(LOG_MEL, input_types=[blocks_type, filters_type], module=module) as graph:
        blocks, filters = (value.tensor for value in graph.inputs)
        n_frames = Dim("blocks") - 2
        tail = N_FFT - 2 * HOP_LENGTH  # 80 samples
        frames = ops.concat(
            [
                blocks[(slice(0, -2), n_frames), :],
                blocks[(slice(1, -1), n_frames), :],
                blocks[(slice(2, None), n_frames), :tail],
            ],
            axis=1,
        )
        basis = Scope(graph, DType.float32, device).weight("mel.dft", N_FFT, 2 * N_BINS)
        spectrum = frames @ basis
        real, imaginary = spectrum[:, :N_BINS], spectrum[:, N_BINS:]
        power = (real * real + imaginary * imaginary) @ filters
        log_mel = ops.log(ops.max(power, ops.constant(LOG_FLOOR, DType.float32, device)))
        log_mel = log_mel * (1 / math.log(10))
        graph.output(log_mel, ops.max(ops.max(log_mel, axis=1), axis=0))


def normalize_graph(module: Module, device: DeviceRef) -> None:
    """log-mel (T, M) and the recording's maximum (1, 1) -> model input (T, M), about -1..1.5."""
    log_mel_type = TensorType(DType.float32, ("frames", "mels"), device)
    peak_type = TensorType(DType.float32, (1, 1), device)
    with Graph(NORMALIZE, input_types=[log_mel_type, peak_type], module=module) as graph:
        log_mel, peak = (value.tensor for value in graph.inputs)
        clamped = ops.max(log_mel, peak - DYNAMIC_RANGE)
        graph.output((clamped + 4.0) * 0.25)
