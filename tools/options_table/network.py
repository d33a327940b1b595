"""A network that babbles: what it says follows from the sound, the text so far and a seed, and is
as good as random. And it writes down everything it is asked.

So an option that reaches the decoder shows: in what the network is asked, or in what comes of it.
Fulfils `decoding.protocols.Network`. Needs no weights.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from maxwhisper.checkpoint.schema import Heads
from maxwhisper.decoding.protocols import Float32, Int64
from maxwhisper.dims import HOP_LENGTH, Dims
from maxwhisper.tokenizer import get_tokenizer

DIMS = Dims(1, 1500, 64, 1, 1, 51_865, 448, 64, 1, 1)
TOKENIZER = get_tokenizer(DIMS, language="en", task="transcribe")
# A few words, marks of every kind, a blank, what is suppressed by default.
SAYABLE = sorted(
    {*TOKENIZER.encode(' one two three four five six. "seven", (eight) - ♪ [nine]! ten?'), 220}
)
N_TIMES = 12  # timestamps that are likely at any moment
UNLIKELY = -30.0  # logit of everything else
SPREAD = 3.0  # of the logits of what is likely


class Babbler:
    """`asked` has every call, in order."""

    dims = DIMS

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.asked: list[Any] = []

    def log_mel(self, waveform: Float32, padding: int) -> Float32:
        """One band: the first sample of every hop."""
        samples = np.pad(np.asarray(waveform), (0, padding))
        return samples[: len(samples) // HOP_LENGTH * HOP_LENGTH : HOP_LENGTH, None]

    def encode(self, mel: Float32) -> list[int]:
        """A number for each window."""
        heard = [zlib.crc32(window.tobytes()) for window in mel]
        self.asked.append(("encode", heard))
        return heard

    def decoder(self, encoded: list[int]) -> "BabblingDecoder":
        return BabblingDecoder(self, encoded)

    def select(self, encoded: list[int], rows: Sequence[int]) -> list[int]:
        return [encoded[row] for row in rows]

    def align(
        self, encoded: list[int], tokens: Int64, rows: Sequence[int], heads: Heads
    ) -> tuple[Float32, Float32]:
        """Probabilities and times as good as random."""
        self.asked.append(("align", tokens.tolist()))
        shape = (len(heads), tokens.shape[1], DIMS.n_audio_ctx)
        scores = np.stack([self.random(heard).standard_normal(shape) * 9 for heard in encoded])
        logits = np.stack([[self.logits(heard, n=row) for row in rows] for heard in encoded])
        return logits, scores.astype(np.float32)

    def logits(self, heard: int, last: int = 0, n: int = 0) -> Float32:
        """(V,) after `n` tokens; each makes the end of the text likelier."""
        rng = self.random(heard, last, n)
        logits = np.full(DIMS.n_vocab, UNLIKELY, np.float32)
        times = TOKENIZER.timestamp_begin + rng.integers(0, 1501, N_TIMES)
        logits[times] = rng.normal(-SPREAD, SPREAD, N_TIMES)
        likely = SAYABLE if n else [*SAYABLE, *TOKENIZER.all_language_tokens]
        logits[likely] = rng.normal(0, SPREAD, len(likely))
        logits[TOKENIZER.eot] = rng.normal(n - 6, SPREAD)
        logits[TOKENIZER.no_speech] = rng.normal(SPREAD, 2 * SPREAD)
        return logits

    def random(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *numbers))


class BabblingDecoder:
    """A row for each window heard. The next token depends on the last, and how many there were."""

    def __init__(self, network: Babbler, encoded: Sequence[int]) -> None:
        self._network, self._heard, self._n = network, list(encoded), 0

    def prefill(self, tokens: Int64, rows: Sequence[int]) -> Float32:
        self._network.asked.append(("prefill", tokens.tolist(), list(rows)))
        self._n = 0
        logits = np.stack([self._network.logits(heard) for heard in self._heard])
        return np.repeat(logits[:, None], len(rows), axis=1)

    def step(self, tokens: Int64) -> Float32:
        self._network.asked.append(("step", tokens.tolist()))
        self._n += 1
        return np.stack(
            [
                self._network.logits(heard, token, self._n)
                for heard, token in zip(self._heard, tokens.tolist(), strict=True)
            ]
        )

    def select(self, rows: Sequence[int]) -> None:
        self._network.asked.append(("select", list(rows)))
        self._heard = [self._heard[row] for row in rows]
