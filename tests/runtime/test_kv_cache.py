"""The cache's bookkeeping: what each new token may see."""

from maxwhisper.dims import Dims
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
