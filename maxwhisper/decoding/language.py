"""Language detection: one decoder step after start-of-transcript, on one window or several.

Source: openai/whisper decoding.py:19-77; the vote over several windows follows faster-whisper
(transcribe.py:1817-1839).
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from maxwhisper.decoding.protocols import LogMelFrames, Network
from maxwhisper.errors import OptionError
from maxwhisper.network.dims import N_FRAMES, Dims
from maxwhisper.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class SpokenLanguage:
    """The detected or given language. `probabilities` are those of the deciding window by code, and
    empty if the language was given."""

    code: str
    probabilities: dict[str, float]

    @property
    def probability(self) -> float:
        """Probability of `code`; 1 if the language was given."""
        return self.probabilities.get(self.code, 1.0)


def require_languages(dims: Dims) -> None:
    """Raise `OptionError` for an English-only network, as the reference does (decoding.py:38)."""
    if not dims.is_multilingual:
        raise OptionError(
            "this model is English-only and cannot detect languages: use a model without `.en`"
        )


def detect_language(network: Network, encoded: Any, tokenizer: Tokenizer) -> SpokenLanguage:
    """The likeliest language of one encoded window, with the probability of every code in
    vocabulary order.

    The softmax covers language tokens only. Raises `OptionError` for an English-only network.
    """
    require_languages(network.dims)
    sot = np.array([[tokenizer.sot]], np.int64)
    logits = network.decoder(encoded).prefill(sot, [0])[0, 0]
    scores = logits[list(tokenizer.all_language_tokens)].astype(np.float64)
    shares = softmax(scores).tolist()
    probabilities = dict(zip(tokenizer.all_language_codes, shares, strict=True))
    return SpokenLanguage(max(probabilities, key=probabilities.__getitem__), probabilities)


def vote(
    network: Network,
    mel: LogMelFrames,
    tokenizer: Tokenizer,
    n_windows: int = 1,
    threshold: float | None = None,
) -> SpokenLanguage:
    """The language of a recording whose log-mel (T, M) ends with 30 s of silence.

    Looks at up to `n_windows` windows of 30 s from the start. The first window with a probability
    above `threshold` decides; otherwise the majority does, and the higher probability on a tie.
    """
    content_frames = max(1, len(mel) - N_FRAMES)
    found: list[SpokenLanguage] = []
    for start in range(0, min(content_frames, n_windows * N_FRAMES), N_FRAMES):
        encoded = network.encode(mel[start : start + N_FRAMES][None])
        found.append(detect_language(network, encoded, tokenizer))
        if threshold is not None and found[-1].probability > threshold:
            return found[-1]
    votes = Counter(language.code for language in found)
    return max(found, key=lambda each: (votes[each.code], each.probability))
