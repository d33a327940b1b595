"""What is said of an engine while it loads, by a supervisor whose worker answers at once."""

import threading

import pytest

from maxwhisper.engine import EngineInfo
from maxwhisper.serving import messages
from maxwhisper.serving.supervisor import EngineProcess

INFO = EngineInfo("maxwhisper", "max 1.0", "demo", "cpu", "no GPU", "float32")


class Watched(EngineProcess):
    """Keeps every status that another thread may have seen."""

    def __setattr__(self, name, value):
        if name == "_status":
            self.__dict__.setdefault("seen", []).append(value)
        super().__setattr__(name, value)


@pytest.fixture
def make_engine(monkeypatch):
    """An engine without a process; `on_warm_up` is called before that is answered."""

    def make(on_warm_up=lambda engine: None):
        engine = Watched("maxwhisper", threading.Lock())
        engine._thread = threading.current_thread()  # none of its own is started

        def answer(command, timeout_s):
            if isinstance(command, messages.Load):
                return messages.Loaded(INFO)
            on_warm_up(engine)
            return messages.Warm(cold_s=2.0, warm_s=1.0)

        monkeypatch.setattr(engine, "_ask", answer)
        engine.start("demo")
        engine._wanted.clear()
        return engine

    return make


def test_whoever_sees_an_engine_ready_sees_what_it_runs(make_engine):
    engine = make_engine()
    assert engine._load()
    ready = [status for status in engine.seen if status.phase == "ready"]
    assert [(s.info, s.cold_s, s.warm_s, s.model) for s in ready] == [(INFO, 2.0, 1.0, "demo")]


def test_an_engine_replaced_while_it_warmed_up_is_never_ready(make_engine):
    engine = make_engine(on_warm_up=lambda engine: engine.start("tiny"))
    assert not engine._load()
    assert "ready" not in {status.phase for status in engine.seen}
