"""A pool of fake engines, loaded and ready."""

import fake_lanes
import pytest
from fake_lanes import wait_until

from maxwhisper.serving.pool import EnginePool


@pytest.fixture
def make_pool(monkeypatch):
    """A function that starts a pool of fake engines; every pool is closed at the end."""
    fake_lanes.install(monkeypatch)
    pools = []

    def make(names=("maxwhisper",), models=("demo",), ready=True, **settings):
        pool = EnginePool(names, models, **settings)
        pools.append(pool)
        pool.start()
        if ready:
            wait_until(lambda: all(s.phase == "ready" for s in pool.statuses().values()))
        return pool

    yield make
    for pool in pools:
        pool.close()
