"""What both baselines decide alike."""

import pytest

from baselines.setup import cpu_threads
from maxwhisper.errors import DeviceError


def test_threads_are_those_asked_for(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert cpu_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "all")
    with pytest.raises(DeviceError, match="expected OMP_NUM_THREADS as a whole number, got 'all'"):
        cpu_threads()
