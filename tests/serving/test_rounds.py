"""Rounds of a race: whose text is shown as it comes, and which round speaks for the engine."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest

from maxwhisper.options import TranscribeOptions
from maxwhisper.serving.race import Finished, Race, Spoke, run_race
from maxwhisper.serving.status import TimedTranscript
from maxwhisper.transcript import Segment, Transcript

SECOND = np.zeros(16_000, np.float32)


class Pool:
    """One engine, whose rounds take given seconds; each says how long, half-way through."""

    names = ("engine",)

    def __init__(self, seconds):
        self._seconds = iter(seconds)

    def use_model(self, model, cancelled):
        pass

    @contextmanager
    def device(self, cancelled):
        yield

    def still_loading(self):
        return ()

    def transcribe(self, name, waveform, options, on_segment, cancelled):
        taken_s = next(self._seconds)
        text = f" {taken_s} s"
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
