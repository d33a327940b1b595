"""The cache: which positions a new token sees, and that nobody overwrites what it holds."""

import subprocess
import sys

import numpy as np
import pytest

from maxwhisper.network.dims import Dims
from maxwhisper.runtime.device import choose
from maxwhisper.runtime.kv_cache import MASKED, KVCache

DIMS = Dims(80, 1500, 64, 2, 1, 51_864, 448, 64, 2, 3)


def test_buffers_are_static():
    cache = KVCache(DIMS, choose("cpu"), batch=2)
    assert [tuple(buffer.shape) for buffer in cache.buffers] == [(2, 2, 448, 32)] * 6


def test_new_tokens_see_the_past_and_themselves():
    cache = KVCache(DIMS, choose("cpu"), batch=1)
    cache.length = 5
    mask = cache.mask(2)
    assert mask.shape == (2, 448)
    assert [(row == 0).sum() for row in mask] == [6, 7]
    assert (mask[0, 6:] == MASKED).all()
    cache.reset()
    assert (cache.mask(1)[0] == 0).sum() == 1


@pytest.mark.faults
def test_a_busy_machine_does_not_zero_what_was_written(engine, monkeypatch):
    """MAX zeroes a new buffer while the graph after it already writes keys and values."""
    monkeypatch.setattr(engine.network, "_cache", None)
    shape = (12, engine.dims.n_audio_ctx, engine.dims.n_audio_state)
    encoded = engine.network.from_features(np.ones(shape, np.float32))
    tokens = np.full((shape[0], 1), 50_257, np.int64)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6)]
    try:
        for _ in range(40):
            engine.network._cache = None
            decoder = engine.network.decoder(encoded)
            decoder.prefill(tokens, [0])
            keys, values = (buffer.to_numpy()[:, :, 0] for buffer in decoder._cache.buffers[:2])
            assert np.abs(keys).max(axis=(1, 2)).all()
            assert np.abs(values).max(axis=(1, 2)).all()
    finally:
        for each in busy:
            each.kill()
            each.wait()
