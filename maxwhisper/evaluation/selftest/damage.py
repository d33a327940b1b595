"""Small errors that a visitor puts into a copy of the network, to see the checks find them.

In: a loaded engine and the name of an error. Out: another network, of which one number differs. The
engine keeps its own: what it transcribes meanwhile does not change.
"""

from dataclasses import replace

import numpy as np

from maxwhisper.decoding.protocols import Float32
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.selftest.catalog import DAMAGES
from maxwhisper.network.mel_filters import mel_filters
from maxwhisper.runtime.model import MaxNetwork, load_network
from maxwhisper.whisper import Whisper

_SCALE = "encoder.ln_post.weight"  # (C,): what the encoder's output is multiplied with
WEIGHT_FACTOR = 1.25
FILTER_FACTOR = 1.01
MIDDLE = 0.5  # of the filters: noise is loud there


def damaged(engine: Whisper, name: str) -> MaxNetwork:
    """A network as `engine` has it, with the error called `name`. Raises `OptionError` for a name
    that is not in `DAMAGES`."""
    if name == "weight":
        return _with_weight(engine)
    if name == "filter":
        return _with_filter(engine.network)
    raise OptionError(f"no error called {name!r} to inject: choose from {', '.join(DAMAGES)}")


def _with_weight(engine: Whisper) -> MaxNetwork:
    """One of the last weights of the encoder is larger. The weights are inputs of the compiled
    graphs, so nothing is compiled."""
    scale = engine.checkpoint.weights[_SCALE].copy()
    scale[np.argmax(np.abs(scale))] *= scale.dtype.type(WEIGHT_FACTOR)
    weights = {**engine.checkpoint.weights, _SCALE: scale}
    return load_network(
        replace(engine.checkpoint, weights=weights), engine.placement, engine.cache_dir
    )


def _with_filter(network: MaxNetwork) -> MaxNetwork:
    """One of the mel filters is larger. The filters are an input of a graph; the models are those
    of `network`."""
    filters: Float32 = mel_filters(network.dims.n_mels).copy()  # (M, F)
    filters[int(MIDDLE * len(filters))] *= np.float32(FILTER_FACTOR)
    return MaxNetwork(
        network.dims,
        network.placement,
        network.models,
        network.embedding,
        network.alignment_heads,
        filters,
    )
