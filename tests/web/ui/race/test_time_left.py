"""How long a race still takes: from its windows, its rounds and what its engines took so far."""

from dataclasses import replace

import numpy as np
import pytest

from maxwhisper.engines.race import Finished, Race, Refused, Started
from maxwhisper.options import GREEDY
from maxwhisper.web.ui.dates import about
from maxwhisper.web.ui.race.time_left import TimeLeft
from tests.fakes.runs import result

ENGINES = ("openai-whisper", "faster-whisper", "another")


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def finished(engine, seconds):
    return Finished(replace(result("maxwhisper", ["a fox"]), engine=engine, seconds=seconds))


def race_of(audio_s, rounds):
    return Race(np.zeros(int(16_000 * audio_s), np.float32), GREEDY, "tiny", rounds)


def test_a_race_is_timed_by_what_its_engines_took():
    clock, pace = Clock(), {}
    left = TimeLeft(race_of(45, rounds=2), ENGINES, pace, clock)
    assert left() is None
    left.see(Started("openai-whisper", 0))
    clock.now_s += 5
    assert left() is None, "nothing has ended yet"
    left.see(finished("openai-whisper", (6.0,)))
    assert left() == pytest.approx(5 * 6.0), "the others are taken for as fast"
    left.see(Started("faster-whisper", 0))
    clock.now_s += 2
    assert left() == pytest.approx(5 * 6.0 - 2)
    clock.now_s += 60
    assert left() == pytest.approx(4 * 6.0), "a turn that takes long takes nothing from the next"
    left.see(finished("faster-whisper", (2.0,)))
    left.see(finished("another", (1.0,)))
    assert left() == pytest.approx(6.0 + 2.0 + 1.0)
    left.see(Refused("openai-whisper", "it crashed"))
    assert left() == pytest.approx(2.0 + 1.0)
    left.see(finished("faster-whisper", (2.0, 2.0)))
    left.see(finished("another", (1.0, 1.0)))
    assert left() == 0


def test_the_next_race_is_timed_from_its_start_by_its_windows():
    pace = {}
    first = TimeLeft(race_of(10, rounds=1), ENGINES[:1], pace, Clock())
    first.see(finished("openai-whisper", (3.0,)))
    assert TimeLeft(race_of(31, rounds=3), ENGINES[:1], pace)() == pytest.approx(3 * 2 * 3.0)
    another = race_of(31, rounds=3)
    assert TimeLeft(Race(another.waveform, GREEDY, "base", 3), ENGINES[:1], pace)() is None


def test_ours_has_two_turns_in_a_round():
    pace = {("tiny", "maxwhisper"): 1.0, ("tiny", "faster-whisper"): 2.0}
    left = TimeLeft(race_of(10, rounds=2), ["faster-whisper", "maxwhisper"], pace)
    assert left() == pytest.approx(2 * (2.0 + 2 * 1.0))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "5 s"), (11.0, "15 s"), (55.0, "55 s"), (56.0, "1 minute"), (61.0, "2 minutes")],
)
def test_an_estimate_is_rounded_up(seconds, said):
    assert about(seconds) == said
