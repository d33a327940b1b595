"""Text while it is decoded: what the tokens of the windows say so far.

In: the tokens of every row after each step. Out: calls of `on_text`, at most every `TEXT_EVERY_S`.
It only reads, so a transcript is the same with and without it. Knows no device.
"""

import time
from collections.abc import Callable

import numpy as np

from maxwhisper.decoding.protocols import Float32, Int64
from maxwhisper.decoding.strategy import before_eot
from maxwhisper.text.tokenizer import Tokenizer
from maxwhisper.transcript import OnText

TEXT_EVERY_S = 0.05  # 20 times a second reads as a flow
BETWEEN_WINDOWS = " … "  # in a batch, where more of the window before will follow
_REPLACEMENT = "\ufffd"  # how an incomplete UTF-8 sequence decodes


class PartialText:
    """Calls `on_text` with the text of the windows so far: the first words at once, then at most
    every `TEXT_EVERY_S`."""

    def __init__(
        self, on_text: OnText, tokenizer: Tokenizer, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_text, self._tokenizer, self._now = on_text, tokenizer, now
        self._due_s = 0.0
        self._told = ""

    @property
    def is_due(self) -> bool:
        """False where `tell` would say nothing, because it just did."""
        return self._now() >= self._due_s

    def tell(self, sampled: Int64, sum_logprobs: Float32, group_size: int = 1) -> None:
        """Say what the tokens (R, n) mean, if that is due and new.

        Each window has `group_size` rows. The likeliest of them by `sum_logprobs` (R,) speaks for
        it: in beam search, the best text that has not ended.
        """
        if not self.is_due:
            return
        by_window = sum_logprobs.reshape(-1, group_size)
        best = by_window.argmax(axis=1) + np.arange(0, len(sampled), group_size)
        texts = [partial_text(sampled[row], self._tokenizer) for row in best]
        text = BETWEEN_WINDOWS.join(filter(None, texts))
        if text and text != self._told:
            self._told, self._due_s = text, self._now() + TEXT_EVERY_S
            self._on_text(text)


def partial_text(tokens: Int64, tokenizer: Tokenizer) -> str:
    """The text of tokens (n,) up to the first end of text: without timestamps and special tokens,
    and without the first bytes of a character whose last ones are still to come."""
    spoken = [token for token in before_eot(tokens, tokenizer.eot) if token < tokenizer.eot]
    return tokenizer.decode(spoken).rstrip(_REPLACEMENT).strip()
