"""The fused layer of the decoder against numpy in float64: sizes that fill no chunk, both types of
weights, every part of the cache."""

import numpy as np
import pytest
from max.driver import CPU, Buffer
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import BufferType, DeviceRef, Graph, Module, TensorType
from scipy.special import erf, softmax

from maxwhisper.graphs.decoder import Attended, fused_block
from maxwhisper.graphs.layers import KERNELS, Scope
from maxwhisper.network.dims import Dims

N_STATE, N_HEAD = 128, 2
N_SLOTS, N_FRAMES = 45, 200  # 200: one chunk of keys and a few more
DIMS = Dims(80, N_FRAMES, N_STATE, N_HEAD, 2, 100, N_SLOTS, N_STATE, N_HEAD, 2)
LAYER_OF = {DType.float16: 0, DType.float32: 1}


def shapes(layer):
    """(shape, is a matrix) of each weight of a layer, by name."""
    name, c = f"decoder.blocks.{layer}", N_STATE
    sizes = {
        "attn.qkv": (3 * c, c),
        "attn.out": (c, c),
        "cross_attn.query": (c, c),
        "cross_attn.out": (c, c),
        "mlp.0": (4 * c, c),
        "mlp.2": (c, 4 * c),
    }
    found = {}
    for part, (n_out, n_in) in sizes.items():
        found[f"{name}.{part}.weight"] = (n_out, n_in)
        found[f"{name}.{part}.bias"] = (n_out,)
    for norm in ("attn_ln", "cross_attn_ln", "mlp_ln"):
        found |= {f"{name}.{norm}.weight": (c,), f"{name}.{norm}.bias": (c,)}
    return found


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(0)
    found = {}
    for dtype, layer in LAYER_OF.items():
        for name, shape in shapes(layer).items():
            array = rng.standard_normal(shape, dtype=np.float32)
            is_matrix = len(shape) == 2
            array = array * shape[1] ** -0.5 if is_matrix else array
            half = is_matrix and dtype == DType.float16
            found[name] = array.astype(np.float16 if half else np.float32)
    return found


@pytest.fixture(scope="module")
def layers(weights):
    """layers(dtype, x, position, cross and cache arrays): the layer's output; it changes the
    caches."""
    module, device = Module(), DeviceRef.CPU()
    cross = TensorType(DType.float32, ("batch", N_HEAD, N_FRAMES, 64), device)
    cache = BufferType(DType.float32, ("batch", N_HEAD, N_SLOTS, 64), device)
    types = [
        TensorType(DType.float32, ("batch", 1, N_STATE), device),
        TensorType(DType.int64, (1,), device),
        TensorType(DType.float32, (1, N_SLOTS), device),
        *[cross] * 4,
        *[cache] * 4,
    ]
    for dtype, layer in LAYER_OF.items():
        with Graph(
            dtype.name, input_types=types, module=module, custom_extensions=[KERNELS]
        ) as graph:
            scope = Scope(graph, DType.float32, device, dtype)
            x, position, mask, *keys_values = graph.inputs
            attended = Attended(mask.tensor, None, keys_values, position.tensor)
            graph.output(fused_block(scope, x.tensor, DIMS, layer, attended))
    session = InferenceSession(devices=[CPU()])
    compiled = session.compile(module, custom_extensions=[KERNELS])
    models = session.init_all(compiled, weights_registry=weights)

    def run(dtype, x, position, cross, caches):
        mask = np.zeros((1, N_SLOTS), np.float32)
        arrays = [x, np.array([position]), mask, *cross * 2, *caches * 2]
        (out,) = models[dtype.name].execute(*map(Buffer.from_numpy, arrays))
        return out.to_numpy()

    return run


def attention(q, k, v):
    """One query of each head: q (B, H, D), k and v (B, H, S, D)."""
    shares = softmax(np.einsum("bhd,bhsd->bhs", q, k) / 8, axis=-1)
    return np.einsum("bhs,bhsd->bhd", shares, v)


def layer_of_numpy(weights, layer, x, position, cross, caches):
    """The layer as openai/whisper model.py:142-171 has it, for x (B, C)."""
    name = f"decoder.blocks.{layer}"
    w = {
        key: weights[f"{name}.{key}"].astype(np.float64)
        for key in (full.removeprefix(f"{name}.") for full in shapes(layer))
    }

    def norm(x, part):
        apart = x - x.mean(-1, keepdims=True)
        scaled = apart / np.sqrt((apart**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * w[f"{part}.weight"] + w[f"{part}.bias"]

    def linear(x, part):
        return x @ w[f"{part}.weight"].T + w[f"{part}.bias"]

    def heads(x):
        return x.reshape(len(x), N_HEAD, 64)

    x = x.astype(np.float64)
    keys, values = (cache.astype(np.float64) for cache in caches)
    q, k, v = np.split(linear(norm(x, "attn_ln"), "attn.qkv"), 3, axis=1)
    keys[:, :, position], values[:, :, position] = heads(k), heads(v)
    seen = slice(0, position + 1)
    x = x + linear(
        attention(heads(q), keys[:, :, seen], values[:, :, seen]).reshape(x.shape), "attn.out"
    )
    q = linear(norm(x, "cross_attn_ln"), "cross_attn.query")
    x = x + linear(attention(heads(q), *cross).reshape(x.shape), "cross_attn.out")
    hidden = linear(norm(x, "mlp_ln"), "mlp.0")
    hidden = hidden * (1 + erf(hidden / np.sqrt(2))) / 2
    return x + linear(hidden, "mlp.2"), keys[:, :, position], values[:, :, position]


@pytest.mark.parametrize("dtype", list(LAYER_OF))
@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("position", [0, 1, 17, N_SLOTS - 1])
def test_the_fused_layer_equals_numpys(layers, weights, dtype, batch, position, figure):
    """Slots that are not written yet can hold anything, even NaN, and stay as they are."""
    rng = np.random.default_rng(position)
    x = 2 * rng.standard_normal((batch, 1, N_STATE), dtype=np.float32)
    cross = [rng.standard_normal((batch, N_HEAD, N_FRAMES, 64), dtype=np.float32) for _ in "kv"]
    caches = [rng.standard_normal((batch, N_HEAD, N_SLOTS, 64), dtype=np.float32) for _ in "kv"]
    for cache in caches:
        cache[:, :, position:] = np.nan
    before = [cache.copy() for cache in caches]
    want, key, value = layer_of_numpy(
        weights, LAYER_OF[dtype], x[:, 0], position, cross, np.nan_to_num(before)
    )
    got = layers(dtype, x, position, cross, caches)
    what = f"a layer of {dtype.name}, batch {batch}, slot {position}"
    figure(np.abs(got[:, 0] - want).max(), 3e-5, f"{what}, off numpy in float64")
    for cache, old, new in zip(caches, before, (key, value), strict=True):
        figure(np.abs(cache[:, :, position] - new).max(), 1e-5, f"{what}, new key or value")
        others = np.arange(N_SLOTS) != position
        np.testing.assert_array_equal(cache[:, :, others], old[:, :, others])


def test_a_layer_gives_the_same_whoever_computes_its_chunks(layers):
    """Which thread takes which chunk differs from run to run; the numbers do not."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((3, 1, N_STATE), dtype=np.float32)
    cross = [rng.standard_normal((3, N_HEAD, N_FRAMES, 64), dtype=np.float32) for _ in "kv"]
    caches = [np.zeros((3, N_HEAD, N_SLOTS, 64), np.float32) for _ in "kv"]
    first = layers(DType.float16, x, 0, cross, caches)
    for _ in range(300):
        np.testing.assert_array_equal(layers(DType.float16, x, 0, cross, caches), first)
