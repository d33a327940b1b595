"""The hot loop: runs the greedy step repeatedly over buffers that stay on the device.

Owns the state of the step and how it runs: executed on a CPU, captured once and replayed on a GPU.
A captured step holds the addresses of its buffers, so this module keeps all of them as long as the
cache exists, keys and values of the audio included.
"""

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from max.driver import Buffer
from max.engine import Model

from maxwhisper.decoding.protocols import Float32, GreedyRules, Int64
from maxwhisper.network.dims import Dims
from maxwhisper.runtime.buffers import zero_buffer
from maxwhisper.runtime.device import Placement
from maxwhisper.runtime.kv_cache import KVCache

NO_CAPTURE = "MAXWHISPER_NO_CAPTURE"  # environment variable: execute every step on a GPU too
STEPS_PER_CHECK = 8  # on a GPU: steps before the host checks whether all rows ended


class _Field:
    """An array on the host and its buffer on the device; on a CPU they share memory."""

    def __init__(self, shape: tuple[int, ...], dtype: type, placement: Placement) -> None:
        self._array: npt.NDArray[Any] = np.zeros(shape, dtype)
        self._on_host = placement.device.is_host
        self.buffer = placement.put(self._array)

    def set(self, values: npt.ArrayLike) -> None:
        self._array[...] = values
        self.reset()

    def reset(self) -> None:
        """Restore the values set last on the device."""
        if not self._on_host:  # the copy may be asynchronous: do not change the array meanwhile
            self.buffer.inplace_copy_from(Buffer.from_numpy(self._array))

    def get(self) -> npt.NDArray[Any]:
        """A copy on the host. On a GPU this waits for the steps so far."""
        return self._array.copy() if self._on_host else self.buffer.to_numpy()


class GreedyLoop:
    """Call `begin` with a prefilled batch, then `run` any number of times."""

    def __init__(
        self, model: Model, dims: Dims, placement: Placement, cache: KVCache, embedding: Buffer
    ) -> None:
        self.cache = cache
        self._model, self._dims, self._placement = model, dims, placement
        self._on_host = placement.device.is_host
        batch = cache.batch
        self._position = _Field((1,), np.int64, placement)
        self._written = _Field((batch, dims.n_text_ctx), np.int64, placement)
        self._last = _Field((batch, 3), np.int64, placement)
        self._sums = _Field((batch, 1), np.float32, placement)
        self._forbidden = _Field((dims.n_vocab,), np.float32, placement)
        self._bounds = _Field((2,), np.int64, placement)
        self._embedding = embedding
        self._cross_kv: Sequence[Buffer] = []
        self._rules: GreedyRules | None = None
        self._is_captured = False
        self._may_capture = not self._on_host and not os.environ.get(NO_CAPTURE)

    @property
    def steps_per_check(self) -> int:
        return 1 if self._on_host else STEPS_PER_CHECK

    @property
    def may_shrink(self) -> bool:
        """False on a GPU, where a smaller batch would need another captured graph."""
        return self._on_host

    def begin(
        self,
        cross_kv: Sequence[Buffer],
        sampled: Int64,
        sum_logprobs: Float32,
        rules: GreedyRules,
    ) -> None:
        """Start after `sampled` (B, n >= 1). The cache holds all columns but the last."""
        self._take_rules(rules)
        self._take_audio(cross_kv)
        begin = rules.timestamp_begin
        is_time = sampled >= begin
        # The first token of a window counts as following a timestamp (decoding.py:466).
        before = sampled[:, -2] if sampled.shape[1] > 1 else np.full(len(sampled), begin)
        latest = np.where(
            is_time.any(axis=1),
            sampled[np.arange(len(sampled)), -1 - is_time[:, ::-1].argmax(axis=1)],
            begin - 1,
        )
        self._position.set(self.cache.length)
        self._last.set(np.stack([sampled[:, -1], before, latest], axis=1))
        self._sums.set(sum_logprobs[:, None])

    def run(self, n_steps: int) -> tuple[Int64, Float32]:
        """Sample `n_steps` tokens per row; return them (B, n_steps) and the sums so far (B,)."""
        first = self.cache.length
        if self._may_capture:
            self._capture()
        for _ in range(n_steps):
            self._step()
        return self._written.get()[:, first : first + n_steps], self._sums.get()[:, 0]

    def verify_capture(self) -> bool:
        """Execute the step and compare its kernel launches with the captured ones.

        Returns False if no step is captured. Raises `RuntimeError` if the launches differ. This
        destroys the state: call `begin` next.
        """
        if self._is_captured:
            self._model.debug_verify_replay(self.cache.batch, *self._inputs())
        return self._is_captured

    def close(self) -> None:
        """Release the captured graph."""
        if self._is_captured:
            self._model.release_captured_graph(self.cache.batch)
            self._is_captured = False

    def _step(self) -> None:
        inputs = self._inputs()
        if self._is_captured:
            self._model.replay(self.cache.batch, *inputs)
        else:
            self._model.execute(*inputs)
        self.cache.length += 1
        if self._on_host:
            self._position.set(self.cache.length)

    def _inputs(self) -> tuple[Buffer, ...]:
        return (
            self._position.buffer,
            self._written.buffer,
            self._last.buffer,
            self._sums.buffer,
            self._forbidden.buffer,
            self._bounds.buffer,
            self._embedding,
            *self._cross_kv,
            *self.cache.buffers,
        )

    def _capture(self) -> None:
        """Capture the step once, before the first one. If that fails, steps are executed instead.

        The step is executed before it is captured, so that everything it needs is loaded. MAX does
        not document whether capturing executes the step, so the state is reset afterwards. The
        values that these runs write to the cache are those that the next steps write again.
        """
        self._may_capture = False
        inputs = self._inputs()
        try:
            self._model.execute(*inputs)
            self._model.capture(self.cache.batch, *inputs)
            self._is_captured = True
        except (RuntimeError, ValueError) as error:  # ValueError: an operation failed on the device
            warnings.warn(
                f"the decoder's step could not be captured ({error}): it is executed instead, "
                f"which is slower; {NO_CAPTURE}=1 skips the attempt",
                stacklevel=2,
            )
        for field in (self._position, self._last, self._sums):
            field.reset()

    def _take_rules(self, rules: GreedyRules) -> None:
        if rules == self._rules:
            return
        self._rules = rules
        forbidden = np.zeros(self._dims.n_vocab, np.float32)
        forbidden[list(rules.forbidden)] = -np.inf
        self._forbidden.set(forbidden)
        self._bounds.set((rules.eot, rules.timestamp_begin))

    def _take_audio(self, cross_kv: Sequence[Buffer]) -> None:
        """On a GPU, copy into buffers whose addresses stay; on a CPU, use the given ones."""
        if self._on_host:
            self._cross_kv = cross_kv
            return
        if not self._cross_kv:
            self._cross_kv = [
                zero_buffer(buffer.shape, buffer.dtype, self._placement) for buffer in cross_kv
            ]
        for own, given in zip(self._cross_kv, cross_kv, strict=True):
            own.inplace_copy_from(given)
