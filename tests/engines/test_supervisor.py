"""The status of an engine while it loads, by a supervisor whose process answers at once."""

import threading

import pytest

from maxwhisper.engine import EngineInfo
from maxwhisper.engines import messages
from maxwhisper.engines.supervisor import SupervisedEngine

INFO = EngineInfo("maxwhisper", "max 1.0", "demo", "cpu", "no GPU", "float32")


class Watched(SupervisedEngine):
    """Keeps every status that another thread may have seen."""

    def __setattr__(self, name, value):
        if name == "_status":
            self.__dict__.setdefault("seen", []).append(value)
        super().__setattr__(name, value)


class Process:
    """Loads and warms up at once; `on_warm_up` is called before the warm-up is answered."""

    def __init__(self, on_warm_up):
        self._on_warm_up = on_warm_up

    exit_code = None

    def run(self, command, cancelled=None, deadline=None):
        if isinstance(command, messages.Load):
            yield messages.Loaded(INFO, None, "", 0.5)
            return
        self._on_warm_up()
        yield from (2.0, 1.0)


@pytest.fixture
def engine():
    """An engine without a process and a thread of its own."""
    engine = Watched("maxwhisper", threading.Lock())
    engine._thread = threading.current_thread()
    engine.start("demo")
    engine._wanted.clear()
    return engine


def test_whoever_sees_an_engine_ready_sees_what_it_runs(engine):
    assert engine._load(Process(lambda: None))
    ready = [status for status in engine.seen if status.phase == "ready"]
    assert [(s.info, s.cold_s, s.warm_s, s.model) for s in ready] == [(INFO, 2.0, 1.0, "demo")]


def test_an_engine_replaced_while_it_warmed_up_is_never_ready(engine):
    assert not engine._load(Process(lambda: engine.start("tiny")))
    assert "ready" not in {status.phase for status in engine.seen}
