"""A pool of fake engines, loaded and ready."""

import time

import fake_lanes
import pytest

from maxwhisper.serving.pool import EnginePool


def wait_until(condition, timeout_s=20.0):
    """Return when `condition()` is true; fail the test when it never is."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def make_pool(monkeypatch):
    """A function that starts a pool of fake engines; every pool is closed at the end."""
    fake_lanes.install(monkeypatch)
    pools = []

    def make(names=("maxwhisper",), models=("random",), ready=True, **settings):
        pool = EnginePool(names, models, **settings)
        pools.append(pool)
        pool.start()
        if ready:
            wait_until(lambda: all(s.phase == "ready" for s in pool.statuses().values()))
        return pool

    yield make
    for pool in pools:
        pool.close()
