"""The decoder's self-attention cache: static buffers, owned here and written in place."""

import functools
from collections.abc import Sequence
from copy import copy

import numpy as np
import numpy.typing as npt
from max.driver import Buffer

from maxwhisper.graphs.layers import MASKED
from maxwhisper.network.dims import Dims
from maxwhisper.runtime.buffers import zero_buffer
from maxwhisper.runtime.device import Placement


class KVCache:
    """Key and value buffers, (B, H, n_text_ctx, D) each, for every decoder layer.

    Positions are filled from the left; `length` of them hold tokens. Slots beyond are masked, so a
    reset only sets the length to 0. It does not remove NaN: the weight of a masked slot is 0, and
    0 times NaN is NaN. A cache with `is_sound` False may hold NaN and must not be used again.
    """

    def __init__(self, dims: Dims, placement: Placement, batch: int) -> None:
        shape = (batch, dims.n_text_head, dims.n_text_ctx, dims.text_head_width)
        self.length = 0
        self.is_sound = True
        self.capacity = dims.n_text_ctx
        self.buffers: Sequence[Buffer] = [
            zero_buffer(shape, placement.dtype, placement) for _ in range(2 * dims.n_text_layer)
        ]

    @property
    def batch(self) -> int:
        return int(self.buffers[0].shape[0])

    def moved(self, buffers: Sequence[Buffer]) -> "KVCache":
        """A cache of the same length with its rows in `buffers`."""
        cache = copy(self)
        cache.buffers = buffers
        return cache

    def reset(self) -> None:
        self.length = 0

    def mask(self, n_tokens: int) -> npt.NDArray[np.float32]:
        """(n_tokens, n_text_ctx): each new token sees itself and the tokens before it."""
        return _causal(self.capacity)[self.length : self.length + n_tokens]


@functools.cache
def _causal(n: int) -> npt.NDArray[np.float32]:
    """(n, n): 0 up to the diagonal, the mask value beyond it."""
    return np.triu(np.full((n, n), MASKED, np.float32), 1)
