"""A network with pseudo-random logits, which depend on the audio, the text so far and a seed. It
records every call.

An option that reaches the decoder therefore shows in the calls or in the transcript. Fulfils
`decoding.protocols.Network`. Needs no weights.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from maxwhisper.checkpoint.schema import Heads
from maxwhisper.decoding.protocols import Float32, Int64
from maxwhisper.network.dims import HOP_LENGTH, Dims
from maxwhisper.text.tokenizer import get_tokenizer

DIMS = Dims(1, 1500, 64, 1, 1, 51_865, 448, 64, 1, 1)
TOKENIZER = get_tokenizer(DIMS, language="en", task="transcribe")
# A few words, every kind of punctuation, a blank, and symbols that are suppressed by default.
LIKELY = sorted(
    {*TOKENIZER.encode(' one two three four five six. "seven", (eight) - ♪ [nine]! ten?'), 220}
)
N_TIMES = 12  # likely timestamps at each step
UNLIKELY = -30.0  # logit of all other tokens
SPREAD = 3.0  # standard deviation of the likely tokens' logits


class RandomNetwork:
    """Records every call in `calls`, in order."""

    dims = DIMS
    alignment_heads: Heads = ((0, 0),)

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.calls: list[Any] = []

    def log_mel(self, waveform: Float32, padding: int) -> Float32:
        """One band: the first sample of every hop."""
        samples = np.pad(np.asarray(waveform), (0, padding))
        return samples[: len(samples) // HOP_LENGTH * HOP_LENGTH : HOP_LENGTH, None]

    def encode(self, mel: Float32) -> list[int]:
        """A number for each window."""
        heard = [zlib.crc32(window.tobytes()) for window in mel]
        self.calls.append(("encode", heard))
        return heard

    def decoder(self, encoded: list[int]) -> "RandomDecoder":
        return RandomDecoder(self, encoded)

    def select(self, encoded: list[int], rows: Sequence[int]) -> list[int]:
        return [encoded[row] for row in rows]

    def align(
        self, encoded: list[int], tokens: Int64, rows: Sequence[int]
    ) -> tuple[Float32, Float32]:
        """Pseudo-random logits and attention scores."""
        self.calls.append(("align", tokens.tolist()))
        shape = (len(self.alignment_heads), tokens.shape[1], DIMS.n_audio_ctx)
        scores = np.stack([self.random(heard).standard_normal(shape) * 9 for heard in encoded])
        logits = np.stack([[self.logits(heard, n=row) for row in rows] for heard in encoded])
        return logits, scores.astype(np.float32)

    def logits(self, heard: int, last: int = 0, n: int = 0) -> Float32:
        """(V,) logits after `n` tokens; the end of the text becomes likelier with each."""
        rng = self.random(heard, last, n)
        logits = np.full(DIMS.n_vocab, UNLIKELY, np.float32)
        times = TOKENIZER.timestamp_begin + rng.integers(0, 1501, N_TIMES)
        logits[times] = rng.normal(-SPREAD, SPREAD, N_TIMES)
        likely = LIKELY if n else [*LIKELY, *TOKENIZER.all_language_tokens]
        logits[likely] = rng.normal(0, SPREAD, len(likely))
        logits[TOKENIZER.eot] = rng.normal(n - 6, SPREAD)
        logits[TOKENIZER.no_speech] = rng.normal(SPREAD, 2 * SPREAD)
        return logits

    def random(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *numbers))


class RandomDecoder:
    """One row for each encoded window. The next token depends on the last and on their number."""

    def __init__(self, network: RandomNetwork, encoded: Sequence[int]) -> None:
        self._network, self._heard, self._n = network, list(encoded), 0

    def prefill(self, tokens: Int64, rows: Sequence[int]) -> Float32:
        self._network.calls.append(("prefill", tokens.tolist(), list(rows)))
        self._n = 0
        logits = np.stack([self._network.logits(heard) for heard in self._heard])
        return np.repeat(logits[:, None], len(rows), axis=1)

    def step(self, tokens: Int64) -> Float32:
        self._network.calls.append(("step", tokens.tolist()))
        self._n += 1
        return np.stack(
            [
                self._network.logits(heard, token, self._n)
                for heard, token in zip(self._heard, tokens.tolist(), strict=True)
            ]
        )

    def select(self, rows: Sequence[int]) -> None:
        self._network.calls.append(("select", list(rows)))
        self._heard = [self._heard[row] for row in rows]
