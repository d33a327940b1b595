"""The decoding loop (greedy, sampling, beams) against simple twins on any logits.

The network is a table: logits by window, position and last token, a few whole numbers or forbidden,
so ties are frequent. Its decoder remembers the tokens of every row: a row that is moved or fed
wrongly gets other logits.
"""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from whisper.decoding import BeamSearchDecoder, MaximumLikelihoodRanker

from maxwhisper.clock import StageClock
from maxwhisper.decoding.beam import BeamSearch
from maxwhisper.decoding.rules import SuppressTokens, log_sum_exp
from maxwhisper.decoding.search import Search
from maxwhisper.decoding.strategy import Candidate, Sampling, likeliest
from maxwhisper.errors import OptionError
from tests.fakes.properties import properties

N_TEXT, NO_SPEECH, EOT, SOT, N_VOCAB = 5, 5, 6, 7, 8
VOCABULARY = SimpleNamespace(n_vocab=N_VOCAB, eot=EOT, sot=SOT, no_speech=NO_SPEECH)
N_POSITIONS = 3  # after this the tables repeat


def whole_logits(n_windows, n_levels, share_gone, eot_bias, seed):
    """(W, N, V, V) float32 in -n_levels..n_levels; a share, but never end of text, is forbidden.
    Texts are longer if end of text is less favoured."""
    rng, shape = np.random.default_rng(seed), (n_windows, N_POSITIONS, N_VOCAB, N_VOCAB)
    logits = rng.integers(-n_levels, n_levels, shape, endpoint=True).astype(np.float32)
    logits[rng.random(shape) < share_gone] = -np.inf
    logits[..., EOT] = rng.integers(-n_levels, n_levels, shape[:-1], endpoint=True) + eot_bias
    return logits


def tables(n_windows=2, shares_gone=(0.0, 0.3, 0.8)):
    return st.builds(
        whole_logits,
        n_windows=st.integers(1, n_windows),
        n_levels=st.integers(0, 4),
        share_gone=st.sampled_from(shares_gone),
        eot_bias=st.integers(-3, 3),
        seed=st.integers(0, 9999),
    )


class TableDecoder:
    """Rows with the tokens that each has decoded since start of transcript."""

    def __init__(self, table):
        self.table, self.n_steps = table, 0

    def prefill(self, tokens, rows):
        assert tokens.tolist() == [[SOT]] * len(self.table)
        self.rows = [(window, ()) for window in range(len(tokens))]
        return np.stack([self._logits()] * len(rows), axis=1)

    def select(self, rows):
        self.rows = [self.rows[row] for row in rows]

    def step(self, tokens):
        self.n_steps += 1
        self.rows = [
            (window, (*read, token))
            for (window, read), token in zip(self.rows, tokens.tolist(), strict=True)
        ]
        return self._logits()

    def _logits(self):
        return np.stack([logits_after(self.table[window], read) for window, read in self.rows])


def logits_after(table, sampled):
    return table[len(sampled) % N_POSITIONS, sampled[-1] if sampled else SOT]


def logprob_after(table, sampled, token):
    """In the precision of the search, so that rounding does not break a tie."""
    logits = logits_after(table, sampled)
    return logits[token] - log_sum_exp(logits)


def searched(table, strategy, most, rules=()):
    decoder = TableDecoder(table)
    search = Search(VOCABULARY, strategy, rules, most, 448, StageClock())
    result = search.run(decoder, (SOT,), len(table))
    assert decoder.n_steps < most
    return result.candidates


def assert_same(found, wanted):
    assert [candidate.tokens for candidate in found] == [tokens for tokens, _ in wanted]
    sums = [float(score) for _, score in wanted]
    assert [c.sum_logprob for c in found] == pytest.approx(sums, rel=1e-5, abs=1e-4)


def greedy_twin(table, most):
    tokens, score = (), 0.0
    while len(tokens) < most:
        logits = logits_after(table, tokens).tolist()
        best = logits.index(max(logits))  # on a tie, the first
        score += logprob_after(table, tokens, best)
        if best == EOT:
            break
        tokens += (best,)
    return [(tokens, score)]


@properties
@given(tables(3), st.integers(1, 7))
def test_greedy(table, most):
    found = searched(table, Sampling(EOT), most)
    for candidates, window in zip(found, table, strict=True):
        assert_same(candidates, greedy_twin(window, most))


def beam_twin(table, beam_size, most_ended, most):
    """Candidates (tokens, score) in the order they are found. All beams begin alike: one is enough,
    because equal texts count once."""
    live, ended = [((), np.float32(0))], []
    for _ in range(most):
        longer = []
        for tokens, score in live:
            logits = logits_after(table, tokens).tolist()
            by_logit = sorted(range(N_VOCAB), key=lambda token: (-logits[token], token))
            for token in by_logit[: beam_size + 1]:
                more = score + logprob_after(table, tokens, token)
                longer.append(((*tokens, token), more))
        longer.sort(key=lambda text: -text[1])  # stable: on a tie, the first found
        live = []
        for text in longer:
            if len(live) == beam_size:
                break
            if text[0][-1] != EOT:
                live.append(text)
            elif len(ended) < most_ended:
                ended.append((text[0][:-1], text[1]))
        if len(ended) >= most_ended:
            break
    by_score = sorted(live, key=lambda text: text[1])[::-1]  # on a tie, the last
    return ended + by_score[: max(0, beam_size - len(ended))]


@st.composite
def beams(draw):
    beam_size, patience = draw(st.integers(1, 4)), draw(st.sampled_from([None, 0.5, 1.5, 2.0]))
    most_ended = round(beam_size * (patience or 1.0))
    assume(most_ended > 0)
    return beam_size, patience, most_ended


@properties
@given(tables(), beams(), st.integers(1, 6))
def test_beams(table, beam, most):
    """Each window as if it were alone, whenever the others end."""
    beam_size, patience, most_ended = beam
    found = searched(table, BeamSearch(EOT, beam_size, patience), most)
    for candidates, window in zip(found, table, strict=True):
        assert_same(candidates, beam_twin(window, beam_size, most_ended, most))


@settings(properties, max_examples=50)
@given(tables(1, shares_gone=[0.0]), beams(), st.integers(1, 6))
def test_beams_are_openai_whispers(table, beam, most):
    """The reference class, with ties broken by a little noise and some tokens forbidden: it leaves
    the order of ties to torch."""
    beam_size, patience, _ = beam
    noise = np.random.default_rng(0).normal(0, 0.01, table.shape)
    table = (table + noise).astype(np.float32)
    inference = SimpleNamespace(rearrange_kv_cache=lambda sources: None)
    theirs = BeamSearchDecoder(beam_size, EOT, inference, patience)
    tokens, sums = torch.full((beam_size, 1), SOT), torch.zeros(beam_size)
    for _ in range(most):
        logits = np.stack([logits_after(table[0], row[1:]) for row in tokens.tolist()])
        tokens, completed = theirs.update(tokens, torch.from_numpy(logits), sums)
        if completed:
            break
    texts, scores = theirs.finalize(tokens[None], sums[None])
    wanted = [
        (tuple(text[1 : text.index(EOT)]), score)
        for text, score in zip([text.tolist() for text in texts[0]], scores[0], strict=True)
    ]
    assert_same(searched(table, BeamSearch(EOT, beam_size, patience), most)[0], wanted)


@properties
@given(tables(3), st.integers(1, 3), st.sampled_from([0.2, 1.0]), st.integers(1, 6), st.integers(0))
def test_samples_are_possible_and_their_figures_their_own(table, best_of, temperature, most, seed):
    """No forbidden token is drawn. The log-probability of a text is that of its tokens at
    temperature 1, end of text included, whatever the rows beside it do."""
    found = searched(table, Sampling(EOT, temperature, best_of, np.random.default_rng(seed)), most)
    assert [len(candidates) for candidates in found] == [best_of] * len(table)
    for candidates, window in zip(found, table, strict=True):
        for candidate in candidates:
            tokens = candidate.tokens
            assert len(tokens) <= most
            said = tokens if len(tokens) == most else (*tokens, EOT)
            steps = [logprob_after(window, said[:n], said[n]) for n in range(len(said))]
            assert candidate.sum_logprob == pytest.approx(float(sum(steps)), abs=1e-4)
            assert np.isfinite(candidate.sum_logprob)


candidate_lists = st.lists(
    st.builds(
        Candidate,
        tokens=st.integers(0, 6).map(lambda n: (1,) * n),
        sum_logprob=st.integers(-12, 0).map(float) | st.just(-np.inf),
    ),
    min_size=1,
    max_size=5,
)


@properties
@given(candidate_lists, st.sampled_from([None, 0.0, 0.5, 1.0]))
def test_the_best_of_candidates(candidates, length_penalty):
    """No candidate is better; on a tie it is the first. Equals openai-whisper's ranking, except
    where that divides by the length of an empty text."""

    def score(candidate):
        n = len(candidate.tokens)
        weight = max(1, n) if length_penalty is None else ((5 + n) / 6) ** length_penalty
        return candidate.sum_logprob / weight

    best = likeliest(candidates, length_penalty)
    at = next(index for index, candidate in enumerate(candidates) if candidate is best)
    assert all(score(other) < score(best) for other in candidates[:at])
    assert all(score(other) <= score(best) for other in candidates[at:])
    if length_penalty is not None or all(candidate.tokens for candidate in candidates):
        texts, sums = [c.tokens for c in candidates], [c.sum_logprob for c in candidates]
        assert MaximumLikelihoodRanker(length_penalty).rank([texts], [sums]) == [at]


class NothingLeft:
    """A rule that forbids every token of the last row after `n_before` tokens."""

    def __init__(self, n_before):
        self.n_before = n_before

    def apply(self, logits, sampled):
        if sampled.shape[1] == self.n_before:
            SuppressTokens(tuple(range(N_VOCAB))).apply(logits[-1:], sampled)


@properties
@given(
    tables(shares_gone=[0.0]),
    st.sampled_from(
        [
            Sampling(EOT),
            Sampling(EOT, 0.7, 2, np.random.default_rng(0)),
            BeamSearch(EOT, 1),
            BeamSearch(EOT, 3),
        ]
    ),
    st.integers(0, 3),
)
def test_an_error_where_no_token_is_left(table, strategy, n_before):
    """In any row, at any step. The reference returns token 0 there, with log-probability NaN."""
    table[..., EOT] = -30.0  # nothing ends before
    with pytest.raises(OptionError, match="suppress_tokens must leave some"):
        searched(table, copy.deepcopy(strategy), 9, [NothingLeft(n_before)])
