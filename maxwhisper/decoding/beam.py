"""Beam search: keeps the `beam_size` likeliest texts of each window.

Implements `strategy.Strategy`. Follows openai/whisper decoding.py:298-404 (BeamSearchDecoder)
exactly, ties included: candidates are keyed by their tokens, so equal beams collapse in the first
step; sorting is stable; an ended candidate is never replaced.
"""

from collections.abc import Sequence

import numpy as np

from maxwhisper.decoding.protocols import Float32, Int64
from maxwhisper.decoding.rules import log_sum_exp
from maxwhisper.decoding.strategy import Candidate, Move, before_eot

Tokens = tuple[int, ...]


class BeamSearch:
    """Keeps `beam_size` live rows per window until round(beam_size * patience) candidates ended."""

    is_greedy = False

    def __init__(self, eot: int, beam_size: int, patience: float | None = None) -> None:
        self.group_size = beam_size
        self._eot = eot
        self._max_ended = round(beam_size * (1.0 if patience is None else patience))
        self._ended: list[dict[Tokens, float]] = []  # per window: sampled tokens -> log-probability

    def choose(self, logits: Float32, sampled: Int64, sum_logprobs: Float32) -> Move:
        size = self.group_size
        self._ended = self._ended or [{} for _ in range(len(logits) // size)]
        live: list[tuple[Tokens, float, int]] = []
        for window, ended in enumerate(self._ended):
            rows = range(window * size, (window + 1) * size)
            scores, sources = self._successors(rows, logits, sampled, sum_logprobs)
            newly_ended: dict[Tokens, float] = {}
            n_live = len(live)
            for tokens in sorted(scores, key=scores.__getitem__, reverse=True):
                if tokens[-1] == self._eot:
                    newly_ended[tokens] = scores[tokens]
                    continue
                live.append((tokens, scores[tokens], sources[tokens]))
                if len(live) - n_live == size:
                    break
            for tokens, score in newly_ended.items():  # in order of insertion: best first
                if len(ended) >= self._max_ended:
                    break
                ended[tokens] = score
            if len(ended) >= self._max_ended:  # other windows may still go on
                self._fill_up(ended, [(tokens, score) for tokens, score, _ in live[n_live:]])
        return Move(
            np.array([tokens for tokens, _, _ in live], np.int64),
            np.array([score for _, score, _ in live], np.float32),
            [source for _, _, source in live],
            all(len(ended) >= self._max_ended for ended in self._ended),
        )

    def _successors(
        self, rows: range, logits: Float32, sampled: Int64, sum_logprobs: Float32
    ) -> tuple[dict[Tokens, float], dict[Tokens, int]]:
        """Score and source row of the `beam_size` + 1 likeliest continuations of each row."""
        scores: dict[Tokens, float] = {}
        sources: dict[Tokens, int] = {}
        for row in rows:
            prefix = tuple(sampled[row].tolist())
            normaliser = log_sum_exp(logits[row])
            for token in _largest(logits[row], self.group_size + 1):
                tokens = (*prefix, token)
                scores[tokens] = float(sum_logprobs[row] + (logits[row, token] - normaliser))
                sources[tokens] = row
        return scores, sources

    def candidates(
        self, sampled: Int64, sum_logprobs: Float32
    ) -> tuple[tuple[Candidate, ...], ...]:
        """The ended texts; if they are fewer than `beam_size`, also the best live ones."""
        size = self.group_size
        texts = [tuple(tokens) for tokens in sampled.tolist()]
        live = list(zip(texts, sum_logprobs.tolist(), strict=True))
        for window, ended in enumerate(self._ended):
            self._fill_up(ended, live[window * size : (window + 1) * size])
        return tuple(
            tuple(
                Candidate(before_eot(np.array(tokens, np.int64), self._eot), score)
                for tokens, score in ended.items()
            )
            for ended in self._ended
        )

    def _fill_up(self, ended: dict[Tokens, float], live: Sequence[tuple[Tokens, float]]) -> None:
        """Add live texts, best first (of equals the last), until there are `beam_size`."""
        for tokens, score in sorted(live, key=lambda text: text[1])[::-1]:
            if len(ended) >= self.group_size:
                break
            ended[(*tokens, self._eot)] = score


def _largest(logits: Float32, count: int) -> list[int]:
    """Tokens of the `count` largest logits (V,), largest first; on a tie the smaller token."""
    likely = np.flatnonzero(logits >= np.partition(logits, -count)[-count])
    ordered = likely[np.argsort(-logits[likely], kind="stable")]
    return [int(token) for token in ordered[:count]]
