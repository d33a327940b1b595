"""An engine's turn is over when its threads sleep: they take nothing from the next one's."""

import threading
import time

import numpy as np

from maxwhisper.engines import timing
from maxwhisper.options import GREEDY
from tests.fakes.engines import FakeEngine

SECOND = np.zeros(16_000, np.float32)


class Spinning(FakeEngine):
    """A thread of its own computes on for `spin_s` after each transcription."""

    def __init__(self, spin_s):
        super().__init__("spinning")
        self.spin_s, self.thread = spin_s, None

    def transcribe(self, *given, **more):
        self.thread = threading.Thread(target=self.spin, args=(time.monotonic() + self.spin_s,))
        self.thread.start()
        return super().transcribe(*given, **more)

    def spin(self, until_s):
        while time.monotonic() < until_s:
            pass


def test_a_turn_waits_for_the_threads_of_its_engine_outside_the_clock():
    engine = Spinning(0.15)
    done = timing.timed(engine, SECOND, GREEDY)
    assert not engine.thread.is_alive()
    assert done.seconds < 0.1


def test_an_engine_at_rest_is_not_waited_for(monkeypatch):
    waits = []
    monkeypatch.setattr(timing.time, "sleep", lambda seconds: waits.append(seconds))
    timing.settle()
    assert waits == [timing.LOOK_S]


def test_an_engine_that_never_rests_is_waited_for_in_vain(monkeypatch):
    monkeypatch.setattr(timing, "SETTLE_S", 0.1)
    engine = Spinning(0.4)
    timing.timed(engine, SECOND, GREEDY)
    assert engine.thread.is_alive()
    engine.thread.join()
