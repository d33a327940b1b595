"""How near the two hot graphs come to what the device can do.

An encoder window is bound by arithmetic, a decoder step by reading: its weights once, and the keys
and values of every row. Counted here from the dims, timed on the engine, divided by the ceilings
that were measured on the same device. Counts are what the mathematics needs: a graph that computes
or reads more than that stays farther below its ceiling.
"""

import functools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from maxwhisper.decoding.protocols import GreedyRules
from maxwhisper.dims import Dims
from maxwhisper.records import columns
from maxwhisper.tokenizer import get_tokenizer

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


def roofline(
    engine: Any, ceilings: Mapping[str, float], batch_sizes: Sequence[int] = BATCH_SIZES
) -> list[dict[str, Any]]:
    """Encoder and step of our engine for each batch size, against `ceilings`, the mapping of
    `runtime.ceilings.Ceilings`: seconds (the median of `ROUNDS`), work, and its share of the most
    that the device gives."""
    network = engine.network
    dims, placement = network.dims, network.placement
    sizes = placement.matrices.size_in_bytes, placement.dtype.size_in_bytes
    entries = []
    for batch in batch_sizes:
        mel = np.zeros((batch, dims.n_frames, dims.n_mels), np.float32)
        encode_s = _median_s(functools.partial(_encoded, network, mel))
        encoded = _encoded(network, mel)
        step_s = _median_s(functools.partial(_steps, network, encoded, batch)) / N_STEPS
        n_bytes = step_bytes(dims, *sizes, batch, N_STEPS // 2)
        entries += [
            _entry("encoder", batch, encode_s, "flops", batch * window_flops(dims), ceilings),
            _entry("decoder step", batch, step_s, "bytes", n_bytes, ceilings),
        ]
    return entries


def lines(record: Mapping[str, Any]) -> list[str]:
    """A table for people, of `{"ceilings": …, "roofline": …}`."""
    most = record["ceilings"]
    rows = [("graph", "batch", "ms", "work", "per second", "of the most")]
    for entry in record["roofline"]:
        unit = "GFLOP" if entry["bound_by"] == "flops" else "GB"
        work, rate = entry["work"] / 1e9, entry["work"] / entry["seconds"] / 1e9
        rows.append(
            (
                entry["graph"],
                str(entry["batch"]),
                f"{1000 * entry['seconds']:.3f}",
                f"{work:.3f} {unit}",
                f"{rate:.1f}",
                f"{entry['share']:.0%}",
            )
        )
    return [
        *columns(rows),
        f"the most, measured on this device: {most['flops_per_s'] / 1e9:.0f} "
        f"GFLOP and {most['bytes_per_s'] / 1e9:.1f} GB a second",
    ]


def _entry(
    graph: str,
    batch: int,
    seconds: float,
    bound_by: str,
    work: int,
    ceilings: Mapping[str, float],
) -> dict[str, Any]:
    share = work / seconds / ceilings[f"{bound_by}_per_s"]
    return {
        "graph": graph,
        "batch": batch,
        "seconds": seconds,
        "bound_by": bound_by,
        "work": work,
        "share": share,
    }


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
