"""Our kernels against numpy and against MAX's operations: sizes that fill no tile, both types of
weights, every state of the timestamp rules."""

import numpy as np
import pytest
from max.driver import CPU, Buffer
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import DeviceRef, Graph, Module, TensorType
from scipy.special import softmax

from maxwhisper.graphs.greedy import choose, choose_by_operations
from maxwhisper.graphs.layers import (
    KERNELS,
    MASKED,
    attention,
    self_attention,
    skinny_matmul,
)

DEPTH = 64
N_OUT = {DType.float16: 51, DType.float32: 8}  # 51: the last tile reaches back by one column
N_HEAD, N_SLOTS = 2, 45  # slots that fill no whole vectors
# Three chunks of the vocabulary; neither text nor timestamps fill whole chunks or vectors.
N_VOCAB, EOT, FIRST_TIME = 957, 390, 701
N_STATE = 192  # as wide as a test's largest batch
INF = float("inf")


def _graph(module, name, types, build):
    """A graph of `module` with inputs of `types`, (dtype, *shape) each; `build` returns its
    outputs."""
    device = DeviceRef.CPU()
    inputs = [TensorType(dtype, shape, device) for dtype, *shape in types]
    with Graph(name, input_types=inputs, module=module, custom_extensions=[KERNELS]) as graph:
        graph.output(*build(*(value.tensor for value in graph.inputs)))


def as_product(logits):
    """Logits (B, V) as x (B, 1, C) and embedding (V, C) with exactly that product."""
    embedding = np.zeros((N_VOCAB, N_STATE), np.float32)
    embedding[:, : len(logits)] = logits.T
    return np.eye(len(logits), N_STATE, dtype=np.float32)[:, None], embedding


@pytest.fixture(scope="module")
def kernels():
    """kernels(name, *arrays): the outputs of that graph as arrays."""
    f32, i64, module = DType.float32, DType.int64, Module()
    for dtype, n_out in N_OUT.items():
        types = [(f32, "batch", "length", DEPTH), (dtype, n_out, DEPTH), (f32, n_out)]
        _graph(
            module,
            f"skinny_matmul_{dtype.name}",
            types,
            lambda x, weight, bias: (skinny_matmul(x, weight, bias), skinny_matmul(x, weight)),
        )
    qkv = (f32, "batch", "length", 3 * N_HEAD * 64)
    _graph(module, "self_attention", [qkv], lambda x: (self_attention(x, N_HEAD),))
    keys = (f32, "batch", N_HEAD, N_SLOTS, 64)
    types = [(f32, "batch", N_HEAD, "length", 64), keys, keys, (f32, "length", N_SLOTS)]
    _graph(
        module,
        "attention",
        types,
        lambda q, k, v, mask: (attention(q, k, v, mask), attention(q, k, v)),
    )
    rules = [(f32, N_VOCAB), (i64, "batch", 3), (i64, 2)]
    for dtype in N_OUT:
        types = [(f32, "batch", 1, N_STATE), (dtype, N_VOCAB, N_STATE), *rules]
        _graph(module, f"choose_{dtype.name}", types, choose)
    types = [(f32, "batch", N_VOCAB), *rules]
    _graph(
        module,
        "choose_by_operations",
        types,
        lambda logits, forbidden, *state: choose_by_operations(logits + forbidden, *state),
    )
    session = InferenceSession(devices=[CPU()])
    models = session.init_all(session.compile(module, custom_extensions=[KERNELS]))

    def run(name, *arrays):
        if name == "choose":
            name, arrays = "choose_float32", (*as_product(arrays[0]), *arrays[1:])
        outputs = models[name].execute(*(Buffer.from_numpy(array) for array in arrays))
        return [output.to_numpy() for output in outputs]

    return run


@pytest.mark.parametrize("dtype", list(N_OUT))
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 1), (2, 4), (1, 31)])
def test_skinny_matmul_equal_numpys(kernels, dtype, shape, figure):
    rng = np.random.default_rng(sum(shape))
    x = rng.standard_normal((*shape, DEPTH), dtype=np.float32)
    weight = rng.standard_normal((N_OUT[dtype], DEPTH), dtype=np.float32)
    bias = rng.standard_normal(N_OUT[dtype], dtype=np.float32)
    stored = weight.astype(np.float16 if dtype == DType.float16 else np.float32)
    want = x.astype(np.float64) @ stored.astype(np.float64).T
    with_bias, without = kernels(f"skinny_matmul_{dtype.name}", x, stored, bias)
    assert without.shape == want.shape
    name = dtype.name
    figure(np.abs(without - want).max(), 1e-5, f"few rows {shape}, {name}, off numpy in float64")
    figure(np.abs(with_bias - want - bias).max(), 1e-5, f"the same {shape} with a bias")


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 6), (3, 16), (1, 25), (2, 48), (1, 203)])
def test_self_attention_equals_numpys(kernels, shape, figure):
    """Scores up to about 40: a softmax that does not subtract the maximum would lose precision."""
    rng = np.random.default_rng(sum(shape))
    qkv = 2 * rng.standard_normal((*shape, 3 * N_HEAD * 64), dtype=np.float32)
    heads = qkv.astype(np.float64).reshape(*shape, 3, N_HEAD, 64).transpose(2, 0, 3, 1, 4)
    q, k, v = heads
    scores = q @ k.swapaxes(2, 3) / 8
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    want = weights / weights.sum(-1, keepdims=True) @ v
    (got,) = kernels("self_attention", qkv)
    want = want.transpose(0, 2, 1, 3).reshape(got.shape)
    figure(np.abs(got - want).max(), 3e-5, f"self-attention {shape}, off numpy in float64")


def test_self_attention_at_scores_no_exponential_can_hold(kernels):
    """One key matches by 10,000, all others by less: the result is its value."""
    qkv = np.zeros((1, 20, 3, N_HEAD, 64), np.float32)
    qkv[:, :, 0, :, 0] = 200
    qkv[:, 7, 1, :, 0] = 400
    qkv[:, :, 2] = np.arange(20, dtype=np.float32)[:, None, None]
    (got,) = kernels("self_attention", qkv.reshape(1, 20, -1))
    np.testing.assert_array_equal(got, np.full_like(got, 7))


@pytest.mark.parametrize("length", [1, 4])
@pytest.mark.parametrize("batch", [1, 3])
def test_attention_equals_numpys(kernels, length, batch, figure):
    """MAX's operations, which a prompt and a GPU use. The mask must be an input of the graph."""
    rng = np.random.default_rng(length)
    q, k, v = (
        2 * rng.standard_normal((batch, N_HEAD, n, 64), dtype=np.float32)
        for n in (length, N_SLOTS, N_SLOTS)
    )
    seen = np.arange(N_SLOTS) <= np.arange(length)[:, None] + 20
    mask = np.where(seen, 0, MASKED).astype(np.float32)
    scores = q.astype(np.float64) @ k.astype(np.float64).swapaxes(2, 3) / 8
    for which, got, hidden in zip(
        ("masked", "whole"), kernels("attention", q, k, v, mask), (mask, 0), strict=True
    ):
        want = softmax(scores + hidden, axis=-1) @ v.astype(np.float64)
        figure(np.abs(got - want).max(), 3e-5, f"{which}, {length} queries, batch {batch}")


STATES = {  # the last token, the one before, the latest timestamp or one before the first
    "at the start": (60, 60, FIRST_TIME - 1),
    "in text": (5, FIRST_TIME + 4, FIRST_TIME + 4),
    "after text was closed": (FIRST_TIME + 9, 5, FIRST_TIME + 9),
    "after a pair of times": (FIRST_TIME + 9, FIRST_TIME + 9, FIRST_TIME + 9),
    "at the last time of all": (N_VOCAB - 1, 5, N_VOCAB - 1),
    "past the last time": (5, N_VOCAB - 1, N_VOCAB - 1),
    "ended": (EOT, 5, FIRST_TIME + 4),
}


@pytest.mark.parametrize("raised", [0, 2, 6], ids=["as drawn", "times likelier", "times certain"])
def test_chooses_as_maxs_operations_do(kernels, raised, figure):
    rng = np.random.default_rng(raised)
    rows = 20 * list(STATES.values())
    logits = 3 * rng.standard_normal((len(rows), N_VOCAB), dtype=np.float32)
    logits[:, FIRST_TIME:] += raised
    forbidden = np.where(rng.random(N_VOCAB) < 0.2, -INF, 0).astype(np.float32)
    forbidden[EOT] = 0
    last = np.array(rows, np.int64)
    for first_time in (FIRST_TIME, N_VOCAB):  # N_VOCAB: without timestamps there are no rules
        inputs = (logits, forbidden, last, np.array([EOT, first_time], np.int64))
        token, logprob = kernels("choose", *inputs)
        want_token, want_logprob = kernels("choose_by_operations", *inputs)
        np.testing.assert_array_equal(token, want_token)
        figure(np.abs(logprob - want_logprob).max(), 1e-5, f"log-probabilities, {first_time}")
        assert len(set(token[:, 0])) > 20


def test_the_first_of_equals_is_chosen(kernels):
    logits = np.zeros((1, N_VOCAB), np.float32)
    state = np.array([STATES["in text"]], np.int64), np.array([EOT, N_VOCAB], np.int64)
    forbidden = np.where(np.arange(N_VOCAB) < 33, -INF, 0).astype(np.float32)
    token, logprob = kernels("choose", logits, forbidden, *state)
    assert token[0, 0] == 33
    assert logprob[0, 0] == pytest.approx(-np.log(N_VOCAB - 33))


@pytest.mark.parametrize("bad", [np.nan, -np.inf], ids=["not a number", "nothing allowed"])
def test_a_choice_from_nothing_has_no_probability(kernels, bad):
    logits = np.full((1, N_VOCAB), bad if np.isnan(bad) else 0, np.float32)
    state = np.array([STATES["in text"]], np.int64), np.array([EOT, FIRST_TIME], np.int64)
    forbidden = np.full(N_VOCAB, 0 if np.isnan(bad) else bad, np.float32)
    _, logprob = kernels("choose", logits, forbidden, *state)
    assert np.isnan(logprob).all()


@pytest.mark.parametrize("dtype", list(N_OUT))
@pytest.mark.parametrize("rows", [list(STATES.values()), [STATES["in text"]]], ids=len)
def test_a_choice_is_that_of_the_product(kernels, dtype, rows, figure):
    """The decoder's other step multiplies first: both choose the same token."""
    rng = np.random.default_rng(len(rows))
    x = rng.standard_normal((len(rows), 1, N_STATE), dtype=np.float32)
    embedding = rng.standard_normal((N_VOCAB, N_STATE), dtype=np.float32) / 4
    embedding = embedding.astype(np.float16 if dtype == DType.float16 else np.float32)
    logits = x[:, 0].astype(np.float64) @ embedding.astype(np.float64).T
    rules = (
        np.where(np.arange(N_VOCAB) % 5 == 2, -INF, 0).astype(np.float32),
        np.array(rows, np.int64),
        np.array([EOT, FIRST_TIME], np.int64),
    )
    token, logprob = kernels(f"choose_{dtype.name}", x, embedding, *rules)
    want, want_logprob = kernels("choose_by_operations", logits.astype(np.float32), *rules)
    np.testing.assert_array_equal(token, want)
    figure(np.abs(logprob - want_logprob).max(), 2e-5, f"log-probabilities, {dtype.name}")
