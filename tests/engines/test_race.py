"""Rounds of a race: whose text is shown as it comes, and which round speaks for the engine."""

import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from maxwhisper.engines.load import Load
from maxwhisper.engines.race import Finished, Heard, Race, Spoke, Started, run_race, turns
from maxwhisper.engines.timing import TimedTranscript
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import Segment, Transcript

SECOND = np.zeros(16_000, np.float32)


class Pool:
    """One engine, whose rounds take given seconds; each says how long, half-way through."""

    names = ("engine",)
    loading = ()

    def __init__(self, seconds):
        self._seconds = iter(seconds)

    def use_model(self, model, cancelled):
        pass

    @contextmanager
    def device(self, cancelled):
        yield self

    def still_loading(self):
        return self.loading

    def transcribe(self, name, waveform, options, on_segment, on_text=None, **_more):
        taken_s = next(self._seconds)
        text = f" {taken_s} s"
        if on_text is not None:
            on_text(text[:2])
        segment = Segment(0, 0, 0.0, 1.0, text, (), 0.0, 0.0, 0.0, 0.0)
        on_segment(segment)
        heard = Transcript(text, "en", (segment,), 1.0, {"total": taken_s})
        return TimedTranscript(heard, taken_s, (taken_s / 2,))


@pytest.mark.parametrize(
    ("seconds", "shown_s"),
    [((3.0,), 3.0), ((3.0, 1.0), 1.0), ((3.0, 1.0, 2.0), 2.0), ((5.0, 4.0, 1.0, 2.0, 3.0), 3.0)],
)
def test_the_middle_round_speaks_for_all(seconds, shown_s):
    """Its first text never comes after the seconds that stand beside it."""
    race = Race(SECOND, TranscribeOptions(), "demo", rounds=len(seconds))
    events = list(run_race(Pool(seconds), race, threading.Event()))
    results = [event.result for event in events if isinstance(event, Finished)]
    assert len(results) == len(seconds)
    found = results[-1]
    assert found.seconds == seconds
    assert found.shown_s == shown_s == found.transcript.timings["total"]
    assert found.first_text_s == shown_s / 2 <= found.median_s
    assert [event.segment.text for event in events if isinstance(event, Spoke)] == [
        f" {seconds[0]} s"
    ], "only the first round's text is shown as it comes"
    assert [event.text for event in events if isinstance(event, Heard)] == [f" {seconds[0]} s"[:2]]


def test_an_engine_that_restarts_during_a_turn_disturbs_it():
    pool = Pool((1.0,))
    events = run_race(pool, Race(SECOND, TranscribeOptions(), "demo"), threading.Event())
    hear = pool.transcribe

    def transcribe(*given, **more):
        pool.loading = ("engine", "another")
        return hear(*given, **more)

    pool.transcribe = transcribe
    (result,) = [event.result for event in events if isinstance(event, Finished)]
    assert result.disturbed_by == ("another",)


class ThreeEngines(Pool):
    """Ours takes 1 s and 2 s by turns, the others 5 s; others took a tenth of the processor."""

    names = ("openai-whisper", "faster-whisper", "maxwhisper")

    def __init__(self):
        super().__init__(())
        self.order = []

    def transcribe(self, name, waveform, options, on_segment, on_text=None, **_more):
        self.order.append(name)
        is_even = self.order.count(name) % 2 == 0
        self._seconds = iter((5.0 if name != "maxwhisper" else 2.0 if is_even else 1.0,))
        done = super().transcribe(name, waveform, options, on_segment)
        return replace(done, load=Load(0.1, 1.0))


@pytest.mark.parametrize("offset", range(4))
def test_our_engine_is_run_twice_a_round_half_a_round_apart(offset):
    pool = ThreeEngines()
    race = Race(SECOND, TranscribeOptions(), "demo", rounds=2, offset=offset)
    events = list(run_race(pool, race, threading.Event()))
    for number in (0, 1):
        order = pool.order[4 * number : 4 * number + 4]
        assert order[:2].count("maxwhisper") == order[2:].count("maxwhisper") == 1
    last = {e.result.engine: e.result for e in events if isinstance(e, Finished)}
    assert (last["maxwhisper"].seconds, last["maxwhisper"].again) == ((1.0, 1.0), (2.0, 2.0))
    assert last["faster-whisper"].again == ()
    assert last["maxwhisper"].load.total_s == pytest.approx(4.0), "of every turn"
    assert [e.round for e in events if isinstance(e, Started) and e.is_again] == [0, 1]
    ends = [e.result.engine for e in events if isinstance(e, Finished) and e.is_last]
    assert sorted(ends) == sorted(pool.names), "once each"


class Entry:
    def __init__(self, name):
        self.name, self.is_running = name, True


def order_of(taken):
    return " ".join(f"{entry.name}{number}" for entry, number in taken)


def test_turns_rotate_after_the_warm_ups():
    entries = [Entry(name) for name in "abc"]
    assert order_of(turns(entries, 2, warmups=1, offset=2)) == "a-1 b-1 c-1 c0 a0 b0 a1 b1 c1"


def test_a_race_knows_its_turns():
    race = Race(SECOND, TranscribeOptions(), "demo", rounds=2, offset=1)
    assert race.planned(["a", "b", "c"]) == [*"bca", *"cab"]
    pool = Pool((1.0, 2.0))
    events = run_race(pool, replace(race, offset=0), threading.Event())
    assert [e.engine for e in events if isinstance(e, Started)] == race.planned(pool.names)


def test_a_twin_stands_half_way_round_and_is_not_warmed_up():
    entries = [Entry(name) for name in "abc"]
    taken = turns(entries, 2, warmups=1, twin=Entry("A"))
    assert order_of(taken) == "a-1 b-1 c-1 a0 b0 A0 c0 b1 A1 c1 a1"


def test_an_entry_that_is_out_gets_no_more_turns():
    a, b = Entry("a"), Entry("b")
    taken = []
    for entry, number in turns([a, b], 2, warmups=2):
        taken.append((entry, number))
        entry.is_running = entry is b
    assert order_of(taken) == "a-2 b-2 b-1 b0 b1"
