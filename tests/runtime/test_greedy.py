"""The greedy loop with captured steps, on a fake device: buffers are reached only by copies, and a
step changes their contents."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from max.driver import Buffer

from maxwhisper.decoding.protocols import GreedyRules
from maxwhisper.network.dims import Dims
from maxwhisper.runtime.greedy import NO_CAPTURE, GreedyLoop

DIMS = Dims(80, 1500, 64, 2, 1, 51_864, 448, 64, 2, 1)
RULES = GreedyRules((1, 2), 50_256, 50_363)
START = np.array([[5, 6], [7, 8]])


class DeviceBuffer:
    """Memory that the host cannot access."""

    def __init__(self, array):
        self.memory = array.copy()

    def inplace_copy_from(self, source):
        assert isinstance(source, Buffer | DeviceBuffer)
        self.memory[...] = source.to_numpy()

    def to_numpy(self):
        return self.memory.copy()


class Step:
    """Increments the last token of every row. `executes`: capturing runs the step too."""

    def __init__(self, executes=False, error=None):
        self.executes, self.error = executes, error
        self.n_executed, self.captured = 0, {}

    def execute(self, position, written, last, sums, *_):
        self.n_executed += 1
        at = position.memory[0]
        last.memory[:] = np.column_stack([last.memory[:, 0] + 1, last.memory[:, :2]])
        written.memory[:, at] = last.memory[:, 0]
        sums.memory -= 1
        position.memory += 1
        return []

    def capture(self, key, *inputs):
        if self.error is not None:
            raise self.error
        assert key not in self.captured, "captured twice"
        if self.executes:
            self.execute(*inputs)
        self.captured[key] = [id(buffer) for buffer in inputs]
        return []

    def replay(self, key, *inputs):
        assert self.captured[key] == [id(buffer) for buffer in inputs], "other buffers"
        n_executed = self.n_executed
        self.execute(*inputs)
        self.n_executed = n_executed

    def release_captured_graph(self, key):
        del self.captured[key]


def loop_of(step):
    placement = SimpleNamespace(device=SimpleNamespace(is_host=False), put=DeviceBuffer)
    cache = SimpleNamespace(batch=2, length=1, buffers=[])
    return GreedyLoop(step, DIMS, placement, cache, None)


def said(loop):
    """Two runs of three steps, then a window with one run."""
    found = []
    for n_goes in (2, 1):
        loop.cache.length = 1
        loop.begin([], START, np.zeros(2, np.float32), RULES)
        found += [array.tolist() for _ in range(n_goes) for array in loop.run(3)]
    return found


@pytest.mark.parametrize("executes", [False, True])
def test_replayed_steps_are_those_executed(executes, monkeypatch):
    step = Step(executes)
    replayed = said(loop_of(step))
    assert step.captured
    assert step.n_executed == 1 + executes  # all others were replayed
    monkeypatch.setenv(NO_CAPTURE, "1")
    executed = Step()
    assert replayed == said(loop_of(executed))
    assert not executed.captured
    assert replayed[0] == [[7, 8, 9], [9, 10, 11]]
    assert replayed[1] == [-3, -3]


@pytest.mark.parametrize("error", [RuntimeError("not capturable"), ValueError("on the device")])
def test_a_step_that_cannot_be_captured_is_executed(error):
    with pytest.warns(UserWarning, match="could not be captured"):
        found = said(loop_of(Step(error=error)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found == said(loop_of(Step()))


def test_closing_gives_back_what_was_captured():
    step = Step()
    loop = loop_of(step)
    said(loop)
    loop.close()
    assert not step.captured
