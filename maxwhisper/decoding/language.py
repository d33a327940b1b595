"""Which language is spoken: one decoder step on start-of-transcript alone.

Source: openai/whisper decoding.py:19-77.
"""

from typing import Any

import numpy as np

from maxwhisper.decoding.protocols import Network
from maxwhisper.errors import OptionError
from maxwhisper.tokenizer import Tokenizer


def detect_language(network: Network, encoded: Any, tokenizer: Tokenizer) -> dict[str, float]:
    """Probability of every language code for one encoded window, in vocabulary order.

    Softmax over language tokens only. Raises `OptionError` for an English-only network.
    """
    if not network.dims.is_multilingual:
        raise OptionError("this model is English-only: it cannot detect languages")
    sot = np.array([[tokenizer.sot]], np.int64)
    logits = network.decoder(encoded).prefill(sot, [0])[0, 0]
    scores = logits[list(tokenizer.all_language_tokens)].astype(np.float64)
    powers = np.exp(scores - scores.max())
    probabilities = (powers / powers.sum()).tolist()
    return dict(zip(tokenizer.all_language_codes, probabilities, strict=True))
