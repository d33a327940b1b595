"""What share of the device's peak rates the two hot graphs reach.

An encoder window is bound by arithmetic, a decoder step by reading: its weights once, and the keys
and values of every row. Work is counted here from the dims, timed on the engine, and divided by the
peak rates that were measured on the same device. Counts are what the mathematics needs: a graph
that computes or reads more than that reaches a lower share.
"""

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from maxwhisper.decoding.protocols import GreedyRules
from maxwhisper.evaluation.profiling.record import Against, Ceilings, RooflineEntry
from maxwhisper.evaluation.records import columns
from maxwhisper.network.dims import Dims
from maxwhisper.text.tokenizer import get_tokenizer

BATCH_SIZES = (1, 8)
N_STEPS = 64  # decoder steps in a row: about what 30 s of speech take
ROUNDS = 3


def window_flops(dims: Dims) -> int:
    """Operations of one window: encoder, and the keys and values that the decoder takes of it. A
    multiplication and its addition are two; norms, softmax and GELU are left out."""
    frames, positions, width = dims.n_frames, dims.n_audio_ctx, dims.n_audio_state
    convolutions = 2 * 3 * width * (frames * dims.n_mels + positions * width)
    # query, key, value, out: 4 C²; the MLP: 8 C²; scores and their weighted sum: 2 S C
    layer = 2 * positions * width * (12 * width + 2 * positions)
    cross_kv = 2 * positions * width * 2 * dims.n_text_state
    return convolutions + dims.n_audio_layer * layer + dims.n_text_layer * cross_kv


def step_bytes(dims: Dims, matrix_itemsize: int, itemsize: int, batch: int, n_tokens: int) -> int:
    """What a step must read when every row holds `n_tokens`: weights once, keys and values of the
    text and of the audio for each row."""
    width = dims.n_text_state
    # self-attention 4 C², cross-attention's query and out 2 C², the MLP 8 C²
    weights = dims.n_text_layer * 14 * width**2 + dims.n_vocab * width
    kept = dims.n_text_layer * 2 * (n_tokens + dims.n_audio_ctx) * width
    return matrix_itemsize * weights + itemsize * batch * kept


def step_flops(dims: Dims, batch: int, n_tokens: int) -> int:
    """Operations of a step when every row holds `n_tokens`: each weight is multiplied and added
    once for each row; so are the keys and values that a row attends to."""
    width = dims.n_text_state
    weights = dims.n_text_layer * 14 * width**2 + dims.n_vocab * width
    attended = dims.n_text_layer * 2 * (n_tokens + dims.n_audio_ctx) * width
    return 2 * batch * (weights + attended)


def window_bytes(dims: Dims, itemsize: int, batch: int) -> int:
    """What a window must read and write: encoder weights once, and for each row its log-mel and
    the decoder's keys and values. What passes between layers may stay in a cache."""
    width, kv = dims.n_audio_state, dims.n_text_layer * 2 * dims.n_text_state
    weights = 3 * width * (dims.n_mels + width) + dims.n_audio_layer * 12 * width**2 + kv * width
    per_row = dims.n_frames * dims.n_mels + dims.n_audio_ctx * kv
    return itemsize * (weights + batch * per_row)


def roofline(
    engine: Any, ceilings: Ceilings, batch_sizes: Sequence[int] = BATCH_SIZES
) -> list[RooflineEntry]:
    """Encoder and decoder step of our engine at each batch size: seconds (the median of `ROUNDS`),
    work, and its share of the device's peak rate."""
    network = engine.network
    dims, placement = network.dims, network.placement
    sizes = placement.matrices.size_in_bytes, placement.dtype.size_in_bytes
    entries = []
    for batch in batch_sizes:
        mel = np.zeros((batch, dims.n_frames, dims.n_mels), np.float32)
        encode_s = _median_s(functools.partial(_encoded, network, mel))
        encoded = _encoded(network, mel)
        step_s = _median_s(functools.partial(_steps, network, encoded, batch)) / N_STEPS
        n_flops = batch * window_flops(dims)
        n_bytes = step_bytes(dims, *sizes, batch, N_STEPS // 2)
        flops_share = n_flops / encode_s / ceilings.flops_per_s
        bytes_share = n_bytes / step_s / ceilings.bytes_per_s
        entries += [
            RooflineEntry("encoder", batch, encode_s, "flops", n_flops, flops_share),
            RooflineEntry("decoder step", batch, step_s, "bytes", n_bytes, bytes_share),
        ]
    return entries


def lines(against: Against) -> list[str]:
    """A table for people."""
    peak = against.ceilings
    rows = [("graph", "batch", "ms", "work", "per second", "of ceiling")]
    for entry in against.roofline:
        unit = "GFLOP" if entry.bound_by == "flops" else "GB"
        work, rate = entry.work / 1e9, entry.work / entry.seconds / 1e9
        rows.append(
            (
                entry.graph,
                str(entry.batch),
                f"{1000 * entry.seconds:.3f}",
                f"{work:.3f} {unit}",
                f"{rate:.1f}",
                f"{entry.share:.0%}",
            )
        )
    return [
        *columns(rows),
        f"ceilings measured on this device: {peak.flops_per_s / 1e9:.0f} "
        f"GFLOP and {peak.bytes_per_s / 1e9:.1f} GB a second",
    ]


def _encoded(network: Any, mel: Any) -> Any:
    encoded = network.encode(mel)
    network.placement.device.synchronize()
    return encoded


def _steps(network: Any, encoded: Any, batch: int) -> None:
    """`N_STEPS` greedy steps: end of text is forbidden."""
    tokenizer = get_tokenizer(network.dims)
    rules = GreedyRules((tokenizer.eot,), tokenizer.eot, network.dims.n_vocab)
    decoder = network.decoder(encoded)
    start = np.tile(np.array(tokenizer.sot_sequence, np.int64), (batch, 1))
    decoder.prefill(start, [start.shape[1] - 1])
    first = np.zeros((batch, 1), np.int64)
    decoder.greedy(first, np.zeros(batch, np.float32), rules, 1 + N_STEPS)


def _median_s(work: Callable[[], Any]) -> float:
    work()
    seconds = []
    for _ in range(ROUNDS):
        start_s = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start_s)
    return statistics.median(seconds)
