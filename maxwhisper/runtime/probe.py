"""Check compiled graphs against the numpy reference: one small run of every graph.

Graphs compiled for another processor have silently computed wrong numbers, so every artifact is
checked before use: every graph of `graphs.GRAPH_NAMES`, one row and several, whole tiles and what
is left over, the longest prefill and the last slot of the cache. The reference result is computed
once per checkpoint and stored beside the artifacts.

Every number that a graph returns counts: each position is projected on a few random directions, so
a single wrong number changes what is compared, and the stored answer stays small.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from max.driver import Buffer
from scipy.special import log_softmax, logsumexp

from maxwhisper.cache import Entry
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.decoding.protocols import Float32, GreedyRules, Int64
from maxwhisper.errors import ArtifactError
from maxwhisper.graphs import PREFILL
from maxwhisper.network import reference
from maxwhisper.network.dims import HOP_LENGTH, SAMPLE_RATE, Dims
from maxwhisper.paths import cache_root
from maxwhisper.runtime.buffers import to_float32
from maxwhisper.runtime.device import Placement
from maxwhisper.runtime.model import Encoded, MaxNetwork
from maxwhisper.runtime.verified import is_verified, remember

N_WINDOWS = 2  # encoded at once
ORDER = (2, 0, 1)  # of the rows of the batch, after its prefill: an odd number of rows
N_SHORT = 5  # tokens in the prefill of the batch; a step and a greedy step follow
N_SHOWN = 16  # positions of the longest prefill whose logits are compared
N_DIRECTIONS = 4  # that each position is projected on
N_LIKELY = 8  # tokens that a greedy step may choose from: it must choose one as likely as the first
# Largest error over largest value. Measured on a CPU: 1e-6. float16 keeps 11 bits, bfloat16 8.
_TOLERANCE = {"float32": 1e-4, "float16": 3e-2, "bfloat16": 1e-1}

_ANSWER = "answer.npz"
_NAMES = ("log_mel", "features", "keys_values", "queries", "logits")
_CHOICES = ("likely", "logprobs", "scale")
LAYOUT = 2  # version of the answer; increase it when `expected` computes something else

Answer = dict[str, npt.NDArray[Any]]


def tolerance(placement: Placement) -> float:
    """The maximum difference from the reference, relative to the largest value.

    On a GPU, MAX multiplies float32 matrices of many shapes on the tensor cores in TF32, which
    keeps as many bits of a factor as float16.
    """
    is_tf32 = placement.dtype_name == "float32" and not placement.device.is_host
    return _TOLERANCE["float16" if is_tf32 else placement.dtype_name]


def probe_waveform(dims: Dims) -> Float32:
    """30 s of noise (one encoder window) that swells and fades: every frame is different."""
    n_samples = dims.n_frames * HOP_LENGTH
    envelope = 0.5 - 0.5 * np.cos(np.arange(n_samples) / SAMPLE_RATE)
    noise = np.random.default_rng(0).standard_normal(n_samples)
    return (0.1 * envelope * noise).astype(np.float32)


def probe_rules(dims: Dims) -> tuple[GreedyRules, GreedyRules]:
    """Rules of the greedy step: without timestamps, and with the last 1501 tokens as timestamps."""
    begin = max(2, dims.n_vocab - 1501)
    forbidden = tuple(range(0, begin - 1, 7))
    return GreedyRules(forbidden, begin - 1, dims.n_vocab), GreedyRules(forbidden, begin - 1, begin)


def probe_tokens(dims: Dims) -> Int64:
    """(3, n_text_ctx) random text. Its first tokens end, for the rows in their later `ORDER`, in
    text, in a timestamp and in a pair of them."""
    begin = probe_rules(dims)[1].timestamp_begin
    tokens = np.random.default_rng(1).integers(0, begin - 1, (len(ORDER), dims.n_text_ctx))
    tokens[ORDER[1], N_SHORT + 1] = begin + 10
    tokens[ORDER[2], N_SHORT : N_SHORT + 2] = begin + 5, begin + 7
    return tokens


def shown_positions(dims: Dims) -> list[int]:
    """Positions of the longest prefill, from the first to the last."""
    return [int(at) for at in np.linspace(0, dims.n_text_ctx - 3, N_SHOWN)]


class _Traced(reference.Network):
    """The reference, which keeps the cross-attention queries, keys and values of each layer."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint.dims, checkpoint.weights)
        self.queries: list[Float32] = []
        self.keys_values: list[Float32] = []

    def _linear(self, x: Float32, name: str) -> Float32:
        y: Float32 = super()._linear(x, name)
        if name.endswith(".cross_attn.query"):
            self.queries.append(y)
        if name.endswith((".cross_attn.key", ".cross_attn.value")):
            self.keys_values.append(y)
        return y


def expected(checkpoint: Checkpoint) -> Answer:
    """The results in plain numpy: projections, and what a greedy step may choose."""
    dims = checkpoint.dims
    n, tokens, rules = dims.n_text_ctx, probe_tokens(dims), probe_rules(dims)
    network = _Traced(checkpoint)
    mel = reference.log_mel_spectrogram(probe_waveform(dims), dims.n_mels).astype(np.float32)
    features = network.encoder(mel[None])
    long = network.decoder(tokens[:1], features)[0]
    queries = np.concatenate([query[:, : n - 2] for query in network.queries])
    keys_values = np.stack([np.repeat(each, N_WINDOWS, axis=0) for each in network.keys_values])
    several = np.repeat(features, len(ORDER), axis=0)
    short = network.decoder(tokens[:, : N_SHORT + 2], several)
    after = short[list(ORDER), N_SHORT:]
    states = [(long[-1], tokens[0], rules[0])]
    states += [
        (logits, tokens[row, : N_SHORT + 2], rules[1])
        for logits, row in zip(after[:, 1], ORDER, strict=True)
    ]
    logprobs = np.stack([_logprobs(*state) for state in states])
    likely = np.argsort(-logprobs, axis=1, kind="stable")[:, :N_LIKELY]
    logits = [long[shown_positions(dims)], long[n - 2 :], short[:, N_SHORT - 1], after[:, 0]]
    return {
        "log_mel": _projected(mel),
        "features": _projected(np.repeat(features, N_WINDOWS, axis=0)),
        "keys_values": _projected(keys_values),
        "queries": _projected(queries),
        "logits": _projected(np.concatenate(logits)),
        "likely": likely,
        "logprobs": np.take_along_axis(logprobs, likely, axis=1).astype(np.float32),
        "scale": np.abs(long).max(),
    }


def _logprobs(logits: Float32, sampled: Int64, rules: GreedyRules) -> npt.NDArray[np.float64]:
    """(V,) -> log-probabilities of what may follow `sampled`, -inf for what may not. Twin of
    `graphs.greedy.choose`. Source: openai/whisper decoding.py:452-505."""
    row, begin = logits.astype(np.float64), rules.timestamp_begin
    row[list(rules.forbidden)] = -np.inf
    was_time, was_pair = sampled[-1] >= begin, sampled[-2] >= begin
    if was_time and was_pair:
        row[begin:] = -np.inf
    elif was_time:
        row[: rules.eot] = -np.inf
    times = sampled[sampled >= begin]
    if len(times):
        row[begin : times[-1] + (not (was_time and not was_pair))] = -np.inf
    if begin < len(row) and logsumexp(row[begin:]) > row[:begin].max():
        row[:begin] = -np.inf
    return log_softmax(row)


def measured(network: MaxNetwork) -> Answer:
    """The results of the compiled graphs for the same input; `chosen` tokens and the sums of their
    log-probabilities instead of what is likely."""
    mel = network.log_mel(probe_waveform(network.dims), padding=0)[:]
    encoded = network.encode(np.repeat(mel[None], N_WINDOWS, axis=0))
    long, queries, last_token, last_sum = _long_text(network, network.select(encoded, [1]))
    short, tokens, sums = _short_texts(network, network.select(encoded, [1, 0, 1]))
    return {
        "log_mel": _projected(mel),
        "features": _projected(network.features(encoded)),
        "keys_values": _projected(np.stack([_merged(each) for each in encoded.cross_kv])),
        "queries": _projected(queries),
        "logits": _projected(np.concatenate([long, short])),
        "chosen": np.concatenate([last_token, tokens]),
        "sums": np.concatenate([last_sum, sums]),
    }


def _long_text(network: MaxNetwork, encoded: Encoded) -> tuple[Float32, Float32, Int64, Float32]:
    """The longest prefill but two tokens, two steps and a greedy step in the last slot: logits
    (R, V), queries (N, L, C), the chosen token (1,) and its log-probability (1,)."""
    n, tokens = network.dims.n_text_ctx, probe_tokens(network.dims)[:1]
    decoder = network.decoder(encoded)
    rows = network.positions(shown_positions(network.dims))
    logits, *queries = decoder.forward(PREFILL, tokens[:, : n - 2], rows)
    found = [decoder.on_host(logits)[0]]
    found += [decoder.step(tokens[:, position]) for position in (n - 2, n - 1)]
    merged = [_merged(query)[0] for query in queries]
    decoder.rewind(n - 1)
    chosen, sums = decoder.greedy_step(tokens, probe_rules(network.dims)[0])
    return np.concatenate(found), np.stack(merged), chosen, sums


def _short_texts(network: MaxNetwork, encoded: Encoded) -> tuple[Float32, Int64, Float32]:
    """A prefill of a batch, its rows in another order, a step and a greedy step: logits (R, V), the
    chosen tokens (3,) and their log-probabilities (3,)."""
    tokens, order = probe_tokens(network.dims), list(ORDER)
    decoder = network.decoder(encoded)
    found = [decoder.prefill(tokens[:, :N_SHORT], [N_SHORT - 1])[:, 0]]
    decoder.select(order)
    found.append(decoder.step(tokens[order, N_SHORT]))
    chosen, sums = decoder.greedy_step(tokens[order, : N_SHORT + 2], probe_rules(network.dims)[1])
    return np.concatenate(found), chosen, sums


def _merged(heads: Buffer) -> Float32:
    """(B, H, L, D) on the device -> (B, L, C) on the host."""
    values = to_float32(heads).swapaxes(1, 2)
    return values.reshape(*values.shape[:2], -1)


def _projected(values: npt.NDArray[np.floating]) -> Float32:
    """(..., C) -> (..., 4): every position projected on random directions."""
    width = values.shape[-1]
    directions = np.random.default_rng(width).standard_normal((width, N_DIRECTIONS))
    projected: Float32 = (values @ (directions / np.sqrt(width))).astype(np.float32)
    return projected


def relative_error(got: npt.NDArray[np.floating], want: npt.NDArray[np.floating]) -> float:
    """Largest absolute difference over the largest expected value; NaN counts as infinite."""
    error = float(np.abs(got - want).max() / np.abs(want).max())
    return error if np.isfinite(error) else float("inf")


def choice_error(got: Answer, want: Answer) -> float:
    """How much less likely the chosen tokens are than the likeliest, and how far off their
    log-probabilities, relative to the largest logit; infinite for a token that is not likely."""
    worst = 0.0
    for token, found, likely, logprobs in zip(
        got["chosen"], got["sums"], want["likely"], want["logprobs"], strict=True
    ):
        at = np.flatnonzero(likely == token)
        if not len(at) or not np.isfinite(found):
            return float("inf")
        logprob = logprobs[at[0]]
        worst = max(worst, float(logprobs[0] - logprob), abs(float(found - logprob)))
    return worst / float(want["scale"])


def verify_once(network: MaxNetwork, checkpoint: Checkpoint, cache_dir: Path | None = None) -> None:
    """`verify` unless these graphs have passed it here with this checkpoint."""
    artifact, passed = network.artifact, f"{checkpoint.digest}-{LAYOUT}"
    if artifact is None or not is_verified(artifact, network.placement, passed):
        verify(network, checkpoint, cache_dir)
        if artifact is not None:
            remember(artifact, network.placement, passed)


def verify(network: MaxNetwork, checkpoint: Checkpoint, cache_dir: Path | None = None) -> None:
    """Raise `ArtifactError` if the results of the graphs differ from the reference."""
    want, got = _known_answer(checkpoint, cache_dir), measured(network)
    errors = {name: relative_error(got[name], want[name]) for name in _NAMES}
    errors["choice of tokens"] = choice_error(got, want)
    allowed = tolerance(network.placement)
    for name, error in errors.items():
        if error > allowed:
            raise ArtifactError(
                f"the compiled graphs compute a wrong {name}: expected a relative error of at "
                f"most {allowed:.0e}, got {error:.1e} ({network.placement.target})"
            )


def _known_answer(checkpoint: Checkpoint, cache_dir: Path | None) -> Answer:
    """The reference result, computed once per checkpoint."""
    folder = (cache_dir or cache_root()) / "probes" / checkpoint.digest
    key = {"checkpoint": checkpoint.digest, "layout": LAYOUT}
    entry = Entry(folder, key, (_ANSWER,), "known answers of the network")
    path = entry.ready(partial(_write_answer, checkpoint), lambda: None) / _ANSWER
    with np.load(path) as stored:
        return {name: stored[name] for name in (*_NAMES, *_CHOICES)}


def _write_answer(checkpoint: Checkpoint, folder: Path) -> None:
    np.savez_compressed(folder / _ANSWER, allow_pickle=False, **expected(checkpoint))
