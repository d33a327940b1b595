"""Check compiled graphs against the numpy reference: one small run of every graph.

Graphs compiled for another processor have silently computed wrong numbers, so every artifact is
checked before use. The reference result is computed once per checkpoint and stored beside the
artifacts; after that the check costs one encoder window and a few decoder steps.
Every array is compared.
"""

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maxwhisper.cache import Entry
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.decoding.protocols import Float32, Int64
from maxwhisper.errors import ArtifactError
from maxwhisper.network import reference
from maxwhisper.network.dims import HOP_LENGTH, SAMPLE_RATE, Dims
from maxwhisper.paths import cache_root
from maxwhisper.runtime.device import Placement
from maxwhisper.runtime.model import MaxNetwork

N_PREFILL = 4  # tokens in the prefill; two more follow as steps
N_TOKENS = N_PREFILL + 2
# Largest error over largest value. Measured on a CPU: 1e-6. float16 keeps 11 bits, bfloat16 8.
_TOLERANCE = {"float32": 1e-4, "float16": 3e-2, "bfloat16": 1e-1}

_ANSWER = "answer.npz"
_NAMES = ("log_mel", "features", "logits")
_LAYOUT = 1  # version of the answer; increase it when `expected` computes something else

Answer = dict[str, npt.NDArray[np.float32]]


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


def probe_tokens(dims: Dims) -> Int64:
    """(1, N_TOKENS) ids spread over the vocabulary."""
    return np.linspace(0, dims.n_vocab - 1, N_TOKENS).astype(np.int64)[None]


def expected(checkpoint: Checkpoint) -> Answer:
    """The results in plain numpy: log-mel, features (every 10th position) and logits."""
    dims = checkpoint.dims
    network = reference.Network(dims, checkpoint.weights)
    mel = reference.log_mel_spectrogram(probe_waveform(dims), dims.n_mels).astype(np.float32)
    features = network.encoder(mel[None])
    logits = network.decoder(probe_tokens(dims), features)[0, N_PREFILL - 1 :]
    return {"log_mel": mel[::10], "features": features[0, ::10], "logits": logits}


def measured(network: MaxNetwork) -> Answer:
    """The results of the compiled graphs for the same input."""
    tokens = probe_tokens(network.dims)
    mel = network.log_mel(probe_waveform(network.dims), padding=0)[:]
    encoded = network.encode(mel[None])
    decoder = network.decoder(encoded)
    logits = [decoder.prefill(tokens[:, :N_PREFILL], [N_PREFILL - 1])[:, 0]]
    logits += [decoder.step(tokens[:, position]) for position in range(N_PREFILL, N_TOKENS)]
    features = network.features(encoded)
    return {
        "log_mel": mel[::10],
        "features": features[0, ::10],
        "logits": np.concatenate(logits),
    }


def relative_error(got: npt.NDArray[np.floating], want: npt.NDArray[np.floating]) -> float:
    """Largest absolute difference over the largest expected value; NaN counts as infinite."""
    error = float(np.abs(got - want).max() / np.abs(want).max())
    return error if np.isfinite(error) else float("inf")


def verify(network: MaxNetwork, checkpoint: Checkpoint, cache_dir: Path | None = None) -> None:
    """Raise `ArtifactError` if the results of the graphs differ from the reference."""
    want, got = _known_answer(checkpoint, cache_dir), measured(network)
    allowed = tolerance(network.placement)
    for name in _NAMES:
        error = relative_error(got[name], want[name])
        if error > allowed:
            raise ArtifactError(
                f"the compiled graphs compute a wrong {name}: expected a relative error of at "
                f"most {allowed:.0e}, got {error:.1e} ({network.placement.target})"
            )


def _known_answer(checkpoint: Checkpoint, cache_dir: Path | None) -> Answer:
    """The reference result, computed once per checkpoint."""
    folder = (cache_dir or cache_root()) / "probes" / checkpoint.digest
    key = {"checkpoint": checkpoint.digest, "layout": _LAYOUT}
    entry = Entry(folder, key, (_ANSWER,), "known answers of the network")
    path = entry.ready(partial(_write_answer, checkpoint), lambda: None) / _ANSWER
    with np.load(path) as stored:
        return {name: stored[name] for name in _NAMES}


def _write_answer(checkpoint: Checkpoint, folder: Path) -> None:
    np.savez_compressed(folder / _ANSWER, allow_pickle=False, **expected(checkpoint))
