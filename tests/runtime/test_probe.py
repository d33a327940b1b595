"""The check before trust: every graph runs in it, and a wrong number of any graph is noticed."""

import time

import numpy as np
import pytest

from maxwhisper.errors import ArtifactError
from maxwhisper.graphs import (
    CROSS_KV,
    ENCODER,
    GATHER_ROWS,
    GRAPH_NAMES,
    GREEDY_STEP,
    LOG_MEL,
    NORMALIZE,
    PREFILL,
    STEP,
)
from maxwhisper.runtime import probe

FAR_OFF = 0.05  # of the largest value
LAST = 447  # slot of the cache


class Seen:
    """A graph that counts its runs, and may change what it returns."""

    def __init__(self, model, change=None):
        self.model, self.change, self.shapes = model, change, []

    def execute(self, *inputs):
        self.shapes.append([buffer.shape for buffer in inputs])
        outputs = self.model.execute(*inputs)
        if self.change is not None:
            self.change(inputs, outputs)
        return outputs


@pytest.fixture
def seen(engine, monkeypatch):
    """seen(name, change): that graph, watched and changed until the end of the test."""
    network = engine.network

    def watch(name, change=None):
        graph = Seen(network.models[name], change)
        monkeypatch.setitem(network.models, name, graph)
        monkeypatch.setattr(network, "_greedy", None)  # it holds the graph that was
        return graph

    yield watch
    network._greedy = None


def test_every_graph_runs_alone_and_with_company(engine, seen):
    graphs = {name: seen(name) for name in GRAPH_NAMES}
    probe.verify(engine.network, engine.checkpoint, engine.cache_dir)
    assert all(graph.shapes for graph in graphs.values())
    rows = {name: {shapes[0][0] for shapes in graphs[name].shapes} for name in (PREFILL, STEP)}
    assert rows == {PREFILL: {1, 3}, STEP: {1, 3}}, "a tile of two rows, and one left over"
    assert {shapes[1][0] for shapes in graphs[GREEDY_STEP].shapes} == {1, 3}
    assert {shapes[0][1] for shapes in graphs[PREFILL].shapes} == {5, LAST - 1}


def element(index):
    """A change of one element of the last output."""

    def change(_, outputs):
        values = outputs[-1].to_numpy()
        values.flat[index] += FAR_OFF * np.abs(values).max()

    return change


def chosen_token(inputs, _):
    inputs[1].to_numpy()[0] += 1


def log_probability(inputs, _):
    inputs[3].to_numpy()[-1] += 1.0


def rows_backwards(inputs, outputs):
    values = outputs[0].to_numpy()
    values[:] = values[::-1].copy()


def last_slot_only(inputs, outputs):
    if inputs[1].to_numpy()[0] == LAST:
        element(7)(inputs, outputs)


def last_cached_key(inputs, _):
    """The cache is written in place: the last layer's values of the newest position."""
    inputs[-2].to_numpy()[0, 0, LAST - 2] += 1.0


WRONG = {
    "log-mel, its last bin": (LOG_MEL, lambda _, outputs: _add(outputs[0], -1)),
    "normalised log-mel": (NORMALIZE, element(12_345)),
    "encoder, one number": (ENCODER, element(23_457)),
    "encoder, the second window's last number": (ENCODER, element(-1)),
    "values of the audio": (CROSS_KV, element(0)),
    "prefill, a query of the last position": (PREFILL, element(-1)),
    "prefill, a logit": (PREFILL, lambda _, outputs: _add(outputs[0], 51_000)),
    "prefill, what it leaves in the cache": (PREFILL, lambda inputs, _: _add(inputs[-2], 5)),
    "step, a logit": (STEP, element(-1)),
    "step, in the last slot alone": (STEP, last_slot_only),
    "greedy step, another token": (GREEDY_STEP, chosen_token),
    "greedy step, another probability": (GREEDY_STEP, log_probability),
    "rows in another order": (GATHER_ROWS, rows_backwards),
}


def _add(buffer, index):
    values = buffer.to_numpy()
    values.flat[index] += max(1.0, np.abs(values).max())


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_number_of_any_graph_is_noticed(engine, seen, what):
    name, change = WRONG[what]
    seen(name, change)
    with pytest.raises(ArtifactError, match="the compiled graphs compute a wrong"):
        probe.verify(engine.network, engine.checkpoint, engine.cache_dir)


def test_the_rules_of_the_greedy_step_are_those_of_the_decoder(engine):
    """The twin in the probe against the rules that decoding applies."""
    from maxwhisper.decoding.rules import TimestampRules, log_sum_exp

    dims = engine.dims
    for rules in probe.probe_rules(dims):
        begin = rules.timestamp_begin
        for seed, sampled in enumerate(([9, 9], [9, begin + 3], [begin + 3, begin + 4])):
            drawn = np.random.default_rng(seed).standard_normal(dims.n_vocab).astype(np.float32)
            if begin >= dims.n_vocab and max(sampled) >= begin:
                continue
            want = drawn[None].copy()
            want[:, list(rules.forbidden)] = -np.inf
            if begin < dims.n_vocab:
                TimestampRules(rules.eot, 0, begin, None).apply(want, np.array([sampled]))
            got = probe._logprobs(drawn, np.array(sampled), rules)
            np.testing.assert_allclose(got, want[0] - log_sum_exp(want[0]), atol=1e-4)


def test_nan_is_no_small_error(engine):
    right = np.ones(3, np.float32)
    for wrong in (np.nan, np.inf):
        assert probe.relative_error(np.array([1, 1, wrong], np.float32), right) == np.inf
    assert probe.relative_error(right, right) == 0.0
    got, want = probe.measured(engine.network), probe.expected(engine.checkpoint)
    assert probe.choice_error(got, want) < probe.tolerance(engine.placement)
    got["sums"][-1] = np.nan
    assert probe.choice_error(got, want) == np.inf


def test_it_takes_a_moment(engine, figure):
    probe.measured(engine.network)
    start_s = time.perf_counter()
    probe.measured(engine.network)
    figure(time.perf_counter() - start_s, 3.0, "seconds of the check of the bundled network")
