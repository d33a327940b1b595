"""Fine-tunes with added tokens: the network is read with the vocabulary that it grew from.

Tokens are added behind the timestamps. openai-whisper and CTranslate2 take an id there for a time
beyond 30 s, or fail. Without their rows of the embedding the added tokens are never chosen, as if
they were suppressed, and every engine gets the same network. Knows no format.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from maxwhisper.network.dims import Dims

EMBEDDING = "decoder.token_embedding.weight"
# <|notimestamps|> -> size of the vocabulary: `.en`; v1 and v2; v3 and turbo
N_VOCAB_BY_NO_TIMESTAMPS = {50_362: 51_864, 50_363: 51_865, 50_364: 51_866}
N_VOCABS = tuple(N_VOCAB_BY_NO_TIMESTAMPS.values())
_V3_MELS = 128  # only large-v3 and its descendants have them


def original_n_vocab(dims: Dims, no_timestamps: object = None) -> int:
    """Return the size of the vocabulary that `dims.n_vocab` tokens begin with.

    `no_timestamps` is the id of <|notimestamps|>, if a file states it. Without it, a vocabulary
    that is larger than a known one is multilingual, as in openai-whisper (model.py:296).
    """
    n_vocab = dims.n_vocab
    stated = isinstance(no_timestamps, int) and N_VOCAB_BY_NO_TIMESTAMPS.get(no_timestamps)
    if dims.n_mels == _V3_MELS:
        original = N_VOCABS[-1]
    elif stated:
        original = stated
    else:
        original = n_vocab if n_vocab in N_VOCABS else N_VOCABS[1]
    return original if original <= n_vocab else n_vocab


def without_added_tokens(
    dims: Dims, weights: Mapping[str, npt.NDArray[np.floating]], no_timestamps: object
) -> tuple[Dims, dict[str, npt.NDArray[np.floating]], str]:
    """Return dims and weights without added tokens, and a note about them, "" if there are none."""
    n_vocab = original_n_vocab(dims, no_timestamps)
    if n_vocab == dims.n_vocab:
        return dims, dict(weights), ""
    note = f"; {dims.n_vocab - n_vocab} added tokens are left out, so it cannot write them"
    kept = {**weights, EMBEDDING: weights[EMBEDDING][:n_vocab]}
    return replace(dims, n_vocab=n_vocab), kept, note
