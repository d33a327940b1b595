"""Beam search against openai-whisper's own BeamSearchDecoder, on random logits with many ties."""

import numpy as np
import pytest
import torch
from whisper.decoding import BeamSearchDecoder, MaximumLikelihoodRanker

from maxwhisper.decoding.beam import BeamSearch
from maxwhisper.decoding.strategy import likeliest

N_VOCAB, EOT, N_STEPS = 40, 39, 12


class NoCache:
    def rearrange_kv_cache(self, source_indices):
        self.sources = list(source_indices)


def reference_search(logits_of, beam_size, patience):
    """Run openai-whisper's loop around its beam decoder; return the sources of every step and the
    result."""
    cache = NoCache()
    decoder = BeamSearchDecoder(beam_size, EOT, cache, patience)
    tokens = torch.full((beam_size, 1), 7)  # one initial token
    sums = torch.zeros(beam_size)
    for step in range(N_STEPS):
        tokens, completed = decoder.update(tokens, torch.tensor(logits_of(step, tokens)), sums)
        if completed:
            break
    texts, scores = decoder.finalize(tokens[None], sums[None])
    texts = [[text[1 : list(text).index(EOT)].tolist() for text in group] for group in texts]
    return texts[0], scores[0]


def our_search(logits_of, beam_size, patience):
    strategy = BeamSearch(EOT, beam_size, patience)
    sampled = np.empty((beam_size, 0), np.int64)
    sums = np.zeros(beam_size, np.float32)
    for step in range(N_STEPS):
        with_initial = np.concatenate([np.full((beam_size, 1), 7), sampled], axis=1)
        move = strategy.choose(logits_of(step, with_initial), sampled, sums)
        sampled, sums = move.sampled, move.sum_logprobs
        if move.done:
            break
    return strategy.candidates(sampled, sums)[0]


def deterministic_logits(seed, scale, eot_bias, coarse):
    """Logits that depend on the step and on the last token, so that beams differ."""
    table = np.random.default_rng(seed).normal(0, scale, (N_STEPS, N_VOCAB, N_VOCAB))
    table[:, :, EOT] += eot_bias
    if coarse:  # three times more ties among the best than a network would produce
        table = np.round(table * 3) / 3
    table = table.astype(np.float32)

    def logits_of(step, tokens):
        return np.stack([table[step, int(row[-1])] for row in tokens])

    return logits_of


@pytest.mark.parametrize(
    ("beam_size", "patience"),
    [(1, None), (1, 2.0), (2, None), (2, 0.5), (5, None), (5, 0.5), (5, 2.0)],  # 2.5 rounds to 2
)
@pytest.mark.parametrize("eot_bias", [-4.0, 0.0, 3.0])
def test_candidates_equal_openai_whisper(beam_size, patience, eot_bias):
    for seed in range(5):
        logits_of = deterministic_logits(seed, 2.0, eot_bias, coarse=False)
        texts, scores = reference_search(logits_of, beam_size, patience)
        ours = our_search(logits_of, beam_size, patience)
        assert [list(candidate.tokens) for candidate in ours] == texts
        assert [c.sum_logprob for c in ours] == pytest.approx(scores, abs=1e-4)
        for penalty in (None, 0.6):
            best = MaximumLikelihoodRanker(penalty).rank([texts], [scores])[0] if all(texts) else 0
            if all(texts):
                assert likeliest(ours, penalty) is ours[best]


def test_two_windows_do_not_mix():
    """The candidates of each window are the same in a batch as alone."""
    tables = [deterministic_logits(seed, 2.0, 0.0, coarse=False) for seed in (1, 2)]
    alone = [our_search(table, 3, None) for table in tables]

    strategy = BeamSearch(EOT, 3)
    sampled, sums = np.empty((6, 0), np.int64), np.zeros(6, np.float32)
    for step in range(N_STEPS):
        with_initial = np.concatenate([np.full((6, 1), 7), sampled], axis=1)
        parts = [table(step, with_initial[3 * i : 3 * i + 3]) for i, table in enumerate(tables)]
        move = strategy.choose(np.concatenate(parts), sampled, sums)
        assert all(source // 3 == row // 3 for row, source in enumerate(move.sources))
        sampled, sums = move.sampled, move.sum_logprobs
        if move.done:
            break
    together = strategy.candidates(sampled, sums)
    for got, want in zip(together, alone, strict=True):
        assert got[0] == want[0]


def test_forbidden_tokens_are_never_taken():
    strategy = BeamSearch(EOT, 2)
    logits = np.full((2, N_VOCAB), -np.inf, np.float32)
    logits[:, [3, 4, 5]] = [0.0, 1.0, 2.0]
    move = strategy.choose(logits, np.empty((2, 0), np.int64), np.zeros(2, np.float32))
    assert move.sampled.tolist() == [[5], [4]]
    assert move.sources == [1, 1]  # equal beams collapse: the last one is kept
