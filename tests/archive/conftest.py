"""Fixtures that several tests of archives share."""

import pytest

from maxwhisper import engine
from tests.fakes import archive as fakes


@pytest.fixture
def teller(monkeypatch):
    """The engine that the command line loads; `n_heard` counts what it has transcribed."""
    made = fakes.Teller()
    monkeypatch.setattr(engine, "ENGINES", fakes.ENGINES)
    monkeypatch.setattr(fakes, "create_teller", lambda checkpoint, **_: made)
    return made
