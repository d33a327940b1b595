"""The component checks: each compares a part of a loaded engine with an independent reference.

Input: a `Whisper`. Output: `CheckResult`s, each as soon as it is finished. A check that raises
reports "error" with the reason, and the others still run.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from maxwhisper.checkpoint.schema import validate
from maxwhisper.decoding.protocols import Float32, Int64, Network
from maxwhisper.engine import Engine
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.selftest.catalog import CATALOG
from maxwhisper.evaluation.selftest.damage import damaged
from maxwhisper.evaluation.selftest.numpy_network import NumpyNetwork
from maxwhisper.evaluation.selftest.oracle import log_mel_spectrogram
from maxwhisper.evaluation.selftest.result import CheckResult
from maxwhisper.evaluation.selftest.text import count_rule_mistakes, count_tokenizer_mistakes
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.options import GREEDY
from maxwhisper.runtime.model import MaxNetwork, load_network
from maxwhisper.runtime.probe import probe_waveform, relative_error, tolerance
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcribe.sequential import transcribe
from maxwhisper.whisper import Whisper, create_engine

LOG_MEL_TOLERANCE = 1e-4  # absolute; log-mel spans about 2
N_PROMPT = 224  # tokens: the longest text before a window is 223, and its mark
LAST_STEPS = 8  # to the last slot of the cache
N_ATTENTION_TOKENS = 16
PIPELINE_S = 8  # seconds of audio: one window, or more where timestamps move the seek position
PIPELINE_TOKENS = 24  # a window; numpy reads all of them again at every step

RELATIVE = "largest error / largest value"

# The projections that add to the residual stream of a decoder block; zeros switch a part off.
_PARTS = {"attn": "attn.out", "cross_attn": "cross_attn.out", "mlp": "mlp.2"}


@dataclass(frozen=True)
class Finding:
    error: float
    tolerance: float
    unit: str  # what the two numbers are


class Subject:
    """The engine under test, and the values that several checks share. With a `damage`, a network
    with that error is under test; the engine keeps its own."""

    def __init__(self, engine: Whisper, damage: str = "") -> None:
        self.engine = engine
        self.network = damaged(engine, damage) if damage else engine.network
        self.dims = engine.dims
        self.tolerance = tolerance(engine.placement)

    @cached_property
    def numpy_network(self) -> NumpyNetwork:
        return NumpyNetwork(self.engine.checkpoint)

    @cached_property
    def waveform(self) -> Float32:
        return probe_waveform(self.dims)

    @cached_property
    def mel(self) -> Float32:
        """(1, T, M), the same input for both networks."""
        return self.numpy_network.log_mel(self.waveform, padding=0)[None]

    @cached_property
    def features(self) -> Float32:
        """(1, S, C) from the numpy encoder."""
        return self.numpy_network.encode(self.mel)

    def tokens(self, n_rows: int, n_tokens: int, seed: int = 0) -> Int64:
        return np.random.default_rng(seed).integers(0, self.dims.n_vocab, (n_rows, n_tokens))

    def finding(self, got: Float32, want: Float32) -> Finding:
        return Finding(relative_error(got, want), self.tolerance, RELATIVE)


def log_mel(subject: Subject) -> Finding:
    got = subject.network.log_mel(subject.waveform, padding=0)[:]
    want, oracle = log_mel_spectrogram(subject.waveform, subject.dims.n_mels)
    error = float(np.abs(got - want).max())
    return Finding(error, LOG_MEL_TOLERANCE, f"largest absolute error, against {oracle}")


def tokenizer(subject: Subject) -> Finding:
    return Finding(count_tokenizer_mistakes(subject.dims), 0, "mistakes")


def checkpoint(subject: Subject) -> Finding:
    validate(subject.dims, subject.engine.checkpoint.weights)
    return Finding(0, 0, "tensors missing, misshapen or not finite")


def encoder(subject: Subject) -> Finding:
    network = subject.network
    return subject.finding(network.features(network.encode(subject.mel)), subject.features)


def multi_head_attention(subject: Subject) -> Finding:
    return _decoder_part(subject, "attn")


def cross_attention(subject: Subject) -> Finding:
    return _decoder_part(subject, "cross_attn")


def kv_cache(subject: Subject) -> Finding:
    network, tokens = subject.network, subject.tokens(1, 12)
    encoded = network.encode(subject.mel)
    decoder = network.decoder(encoded)
    at_once = decoder.prefill(tokens, range(tokens.shape[1]))[0]
    decoder.prefill(subject.tokens(1, 40, seed=1), [0])  # fill the cache with something else
    one_by_one = [decoder.prefill(tokens[:, :1], [0])[:, 0]]
    one_by_one += [decoder.step(tokens[:, i]) for i in range(1, tokens.shape[1])]
    return subject.finding(np.concatenate(one_by_one), at_once)


def decoder_logits(subject: Subject) -> Finding:
    n_ctx = subject.dims.n_text_ctx
    tokens = subject.tokens(1, n_ctx)
    want = _all_logits(subject.numpy_network, subject.features, tokens)[0]
    decoder = subject.network.decoder(subject.network.from_features(subject.features))
    errors = []
    # Two texts that begin alike: together they show every position, and both end in steps.
    for n_prompt, shown_from in ((N_PROMPT, 0), (n_ctx - LAST_STEPS, N_PROMPT)):
        end = n_prompt + LAST_STEPS
        got = [decoder.prefill(tokens[:, :n_prompt], range(shown_from, n_prompt))[0]]
        got += [decoder.step(tokens[:, i]) for i in range(n_prompt, end)]
        errors.append(relative_error(np.concatenate(got), want[shown_from:end]))
    return Finding(max(errors), subject.tolerance, RELATIVE)


def batch_rows(subject: Subject) -> Finding:
    """Two windows become three rows, and these two in another order."""
    mel = np.concatenate([subject.mel, subject.mel[:, ::-1]])
    features, tokens = subject.numpy_network.encode(mel), subject.tokens(3, 4)
    network = subject.network
    decoder = network.decoder(network.select(network.from_features(features), [1, 0, 1]))
    got = [decoder.prefill(tokens[:, :3], [2])[:, 0]]
    decoder.select([2, 1])
    got.append(decoder.step(tokens[[2, 1], 3]))
    want = _all_logits(subject.numpy_network, features[[1, 0, 1]], tokens)
    return subject.finding(np.concatenate(got), np.concatenate([want[:, 2], want[[2, 1], 3]]))


def timestamp_rules(subject: Subject) -> Finding:
    return Finding(count_rule_mistakes(get_tokenizer(subject.dims)), 0, "mistakes")


def encoder_decoder(subject: Subject) -> Finding:
    mel = np.concatenate([subject.mel, subject.mel[:, ::-1]])  # two windows: forwards, backwards
    tokens = subject.tokens(2, 8)
    want = _all_logits(subject.numpy_network, subject.numpy_network.encode(mel), tokens)
    decoder = subject.network.decoder(subject.network.encode(mel))
    return subject.finding(decoder.prefill(tokens, range(tokens.shape[1])), want)


def complete_pipeline(subject: Subject) -> Finding:
    waveform = subject.waveform[: PIPELINE_S * SAMPLE_RATE]
    eot = get_tokenizer(
        subject.engine.dims
    ).eot  # suppressed: the probe is no speech, but must be decoded
    options = GREEDY.changed(
        {
            "language": "en",
            "sample_len": PIPELINE_TOKENS,
            "no_speech_threshold": None,
            "suppress_tokens": (-1, eot),
        }
    )

    def said(network: Network) -> list[int]:
        segments = transcribe(network, waveform, options).segments
        return [token for segment in segments for token in segment.tokens]

    got, want = said(subject.network), said(subject.numpy_network)
    differing = sum(a != b for a, b in zip(got, want, strict=False)) + abs(len(got) - len(want))
    allowed = 0.0 if subject.engine.placement.device.is_host else 0.1
    return Finding(differing / max(len(want), 1), allowed, f"share of {len(want)} tokens")


def _decoder_part(subject: Subject, kept: str) -> Finding:
    """Compare decoders in which one kind of layer alone adds to the residual stream."""
    original = subject.engine.checkpoint
    zeroed = [part for kind, part in _PARTS.items() if kind != kept]
    weights = {
        name: np.zeros_like(array) if _is_decoder_part(name, zeroed) else array
        for name, array in original.weights.items()
    }
    isolated = replace(original, weights=weights)
    tokens = subject.tokens(1, N_ATTENTION_TOKENS)
    want = _all_logits(NumpyNetwork(isolated), subject.features, tokens)
    network: MaxNetwork = load_network(isolated, subject.engine.placement, subject.engine.cache_dir)
    decoder = network.decoder(network.from_features(subject.features))
    return subject.finding(decoder.prefill(tokens, range(tokens.shape[1])), want)


def _is_decoder_part(name: str, parts: Sequence[str]) -> bool:
    """decoder.blocks.N.PART.weight or .bias, for one of `parts`."""
    fields = name.split(".")
    return fields[:2] == ["decoder", "blocks"] and ".".join(fields[3:-1]) in parts


def _all_logits(network: NumpyNetwork, features: Float32, tokens: Int64) -> Float32:
    return network.reference.decoder(tokens, features)


FUNCTIONS: dict[str, Callable[[Subject], Finding]] = {
    "log-mel": log_mel,
    "tokenizer": tokenizer,
    "checkpoint": checkpoint,
    "encoder": encoder,
    "multi-head attention": multi_head_attention,
    "cross attention": cross_attention,
    "KV cache": kv_cache,
    "decoder logits": decoder_logits,
    "batch rows": batch_rows,
    "timestamp rules": timestamp_rules,
    "encoder-decoder": encoder_decoder,
    "complete pipeline": complete_pipeline,
}


def run_checks(
    engine: Engine, names: Sequence[str] | None = None, device: str = "", damage: str = ""
) -> Iterator[CheckResult]:
    """Run the checks called `names` (default: all), in catalogue order, yielding each result; on
    another `device` than the engine's, its checkpoint is loaded there for them. `damage` is one of
    `DAMAGES`, an error in a copy of the network that the checks are to find.

    Raises `OptionError` for a name that is not in the catalogue, and for another engine than ours;
    `DeviceError` for a device that is not here.
    """
    if not isinstance(engine, Whisper):
        raise OptionError(f"component checks look inside maxwhisper, not {engine.info.name}")
    unknown = set(names or ()) - set(FUNCTIONS)
    if unknown:
        raise OptionError(
            f"no check called {', '.join(sorted(unknown))}: choose from {', '.join(FUNCTIONS)}"
        )
    tested = create_engine(engine.checkpoint, device=device) if device else engine
    subject = Subject(tested, damage)
    for info in CATALOG:
        if names is None or info.name in names:
            yield _run(info.name, info.group, subject)


def _run(name: str, group: str, subject: Subject) -> CheckResult:
    start = time.perf_counter()
    try:
        finding = FUNCTIONS[name](subject)
    except Exception as error:  # any failure of a part is a result of its check, not of the run
        ms = 1000 * (time.perf_counter() - start)
        detail = f"{type(error).__name__}: {error}"
        return CheckResult(name, group, "error", None, None, ms, _device(subject), detail)
    return CheckResult(
        name=name,
        group=group,
        status="passed" if finding.error <= finding.tolerance else "failed",
        error=finding.error,
        tolerance=finding.tolerance,
        ms=1000 * (time.perf_counter() - start),
        device=_device(subject),
        detail=finding.unit,
    )


def _device(subject: Subject) -> str:
    return f"{subject.engine.placement.label} ({subject.engine.placement.dtype_name})"
