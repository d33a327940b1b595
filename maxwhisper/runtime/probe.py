"""Is what was compiled right? One small run of every graph, compared with the numpy reference.

A compiler for another processor has been seen to compute wrong numbers without a word, so no
artifact is trusted unseen. The reference's answer is computed once per checkpoint and kept beside
the artifacts; afterwards the probe costs one encoder window and a few decoder steps.
"""

import tempfile
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from maxwhisper import reference
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.decoding.protocols import Float32, Int64
from maxwhisper.dims import HOP_LENGTH, SAMPLE_RATE, Dims
from maxwhisper.errors import ArtifactError
from maxwhisper.paths import cache_root, make_folder
from maxwhisper.runtime.device import Placement
from maxwhisper.runtime.model import MaxNetwork

N_PREFILL = 4  # tokens given at once; two more follow as steps
N_TOKENS = N_PREFILL + 2
# Largest error over largest value. Measured on a CPU: 1e-6. Half precisions keep 11 and 8 bits.
_TOLERANCE = {"float32": 1e-4, "float16": 3e-2, "bfloat16": 1e-1}

Answer = dict[str, npt.NDArray[np.float32]]


def tolerance(placement: Placement) -> float:
    """How far numbers may lie from the reference's, relative to the largest.

    On a GPU MAX multiplies float32 matrices of many shapes on its tensor cores in TF32, which keeps
    as many bits of a factor as float16 does.
    """
    is_tf32 = placement.dtype_name == "float32" and not placement.device.is_host
    return _TOLERANCE["float16" if is_tf32 else placement.dtype_name]


def probe_waveform(dims: Dims) -> Float32:
    """Noise that swells and fades, as long as one encoder window (30 s): every frame differs."""
    n_samples = dims.n_frames * HOP_LENGTH
    swell = 0.5 - 0.5 * np.cos(np.arange(n_samples) / SAMPLE_RATE)
    noise = np.random.default_rng(0).standard_normal(n_samples)
    return (0.1 * swell * noise).astype(np.float32)


def probe_tokens(dims: Dims) -> Int64:
    """(1, N_TOKENS) ids spread over the vocabulary."""
    return np.linspace(0, dims.n_vocab - 1, N_TOKENS).astype(np.int64)[None]


def expected(checkpoint: Checkpoint) -> Answer:
    """What the probe gives in plain numpy: log-mel, features (every 10th position), logits."""
    dims = checkpoint.dims
    network = reference.Network(dims, checkpoint.weights)
    mel = reference.log_mel_spectrogram(probe_waveform(dims), dims.n_mels).astype(np.float32)
    features = network.encoder(mel[None])
    logits = network.decoder(probe_tokens(dims), features)[0, N_PREFILL - 1 :]
    return {"log_mel": mel[::10], "features": features[0, ::10], "logits": logits}


def measured(network: MaxNetwork) -> Answer:
    """What the compiled graphs give for the same input."""
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
    """Largest absolute difference over the largest value wanted; NaN counts as infinite."""
    error = float(np.abs(got - want).max() / np.abs(want).max())
    return error if np.isfinite(error) else float("inf")


def verify(network: MaxNetwork, checkpoint: Checkpoint, cache_dir: Path | None = None) -> None:
    """Raise `ArtifactError` if the graphs' numbers are not the reference's."""
    want, got = _known_answer(checkpoint, cache_dir), measured(network)
    allowed = tolerance(network.placement)
    for name, answer in want.items():
        error = relative_error(got[name], answer)
        if error > allowed:
            raise ArtifactError(
                f"the compiled graphs compute a wrong {name}: relative error {error:.1e}, "
                f"at most {allowed:.0e} is expected ({network.placement.target})"
            )


def _known_answer(checkpoint: Checkpoint, cache_dir: Path | None) -> Answer:
    """The reference's answer, computed once per checkpoint."""
    path = (cache_dir or cache_root()) / "probes" / f"{checkpoint.digest}.npz"
    try:
        with np.load(path) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        pass
    except (OSError, ValueError, BadZipFile):  # a damaged file: compute it again
        path.unlink(missing_ok=True)
    answer = expected(checkpoint)
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # complete, or not there at all
        unfinished = Path(folder, path.name)
        np.savez_compressed(unfinished, allow_pickle=False, **answer)
        unfinished.replace(path)
    return answer
