"""A stream in a thread of its own: nothing is lost, nobody waits, errors come back."""

import threading

import numpy as np
import pytest

from maxwhisper.errors import AudioError
from maxwhisper.transcribe.stream import Stream
from maxwhisper.transcribe.stream_thread import StreamThread
from tests.fakes.scripted_transcriber import ScriptedTranscriber, ScriptedVoice, ramp, script

WORDS = script(["one two three", "four five six"])
SAMPLES = ramp(6)


def stream(words=WORDS):
    return Stream(ScriptedTranscriber(words), None, ScriptedVoice(words))


def test_what_is_put_is_what_would_be_fed():
    plain, updates, threads = stream(), [], set()
    want = [plain.feed(SAMPLES[at : at + 1000]) for at in range(0, len(SAMPLES), 1000)]

    def on_update(update):
        updates.append(update)
        threads.add(threading.current_thread())

    with StreamThread(stream(), on_update) as live:
        for at in range(0, len(SAMPLES), 1000):
            live.put(SAMPLES[at : at + 1000])
    assert live.transcript.segments == plain.finish().segments
    assert live.finish() is live.transcript
    assert [update.committed for update in updates] == [update.committed for update in want]
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_put_does_not_wait():
    may_read = threading.Event()

    class Slow(ScriptedVoice):
        def hear(self, samples):
            assert may_read.wait(10)

    with StreamThread(Stream(ScriptedTranscriber([]), None, Slow([])), sample_rate=8_000) as live:
        for _ in range(100):
            live.put(bytes(1600))
        may_read.set()
    assert live.transcript.duration == pytest.approx(10.0)


def test_an_error_comes_back():
    live = StreamThread(stream())
    live.put([np.nan])
    with pytest.raises(AudioError, match="nan at 0"):
        live.finish()
    with pytest.raises(AudioError, match="nan at 0"):
        live.put(SAMPLES)

    def fail():
        with StreamThread(stream()) as live:
            live.put([np.nan])
            raise KeyError

    with pytest.raises(KeyError):  # the caller's own comes first
        fail()
