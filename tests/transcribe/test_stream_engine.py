"""Live transcription with the default model: a real recording, the real voice network."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from maxwhisper.audio.load import decode
from maxwhisper.options import GREEDY, StreamOptions
from maxwhisper.text.wer import word_error_rate
from maxwhisper.web.server.live_session import KEEP_UP

CLIPS = Path(__file__).parents[2] / "examples" / "clips"
SPOKEN = [c for c in json.loads((CLIPS / "clips.json").read_text()) if c["text"]]
RATE = 16_000
GOAL = 0.98  # of the words of the offline text
# Above this word error rate a checkpoint's text says nothing about streaming: errors differ
# by chance with less context.
HEARS = 0.1


def live(engine, waveform, chunk, how=None):
    """The updates of a stream fed in chunks of `chunk` samples, and its transcript."""
    stream = engine.stream(GREEDY.changed({"language": "en"}), how)
    starts = range(0, len(waveform), chunk)
    updates = [stream.feed(waveform[start : start + chunk]) for start in starts]
    return updates, stream.finish()


def test_a_recording_as_it_comes(engine):
    waveform, how = decode(CLIPS / "plain.flac"), StreamOptions(hop_s=2.0)
    updates, transcript = live(engine, waveform, 1000, how)
    committed = [word for update in updates for word in update.committed]
    assert committed == list(transcript.words[: len(committed)])
    assert transcript.text == "".join(word.word for word in transcript.words)
    times = [time for word in transcript.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert all(0 <= time <= transcript.duration for time in times)
    assert transcript.duration == pytest.approx(len(waveform) / RATE)
    assert {"mel", "encoder", "prefill", "decode", "words", "total"} <= set(transcript.timings)
    assert updates[-1].real_time_factor > 0
    _, at_once = live(engine, waveform, len(waveform), how)
    assert at_once.segments == transcript.segments


def test_silence_decodes_nothing(engine):
    silence = np.concatenate([decode(CLIPS / "silence.flac")] * 8)
    _, transcript = live(engine, silence, 8000)
    assert (transcript.text, transcript.segments) == ("", ())
    assert set(transcript.timings) == {"total"}


@pytest.mark.slow
def test_live_text_is_offline_text(engine):
    """The goal of the live mode, if the default checkpoint is good enough."""
    n_words = n_errors = 0
    for clip in SPOKEN:
        waveform = decode(CLIPS / clip["file"])
        offline = engine.transcribe(waveform, GREEDY.changed({"language": "en"})).text
        wer = word_error_rate(clip["text"], offline).wer
        if wer > HEARS:
            pytest.skip(
                f"the model {engine.info.model!r} does not hear {clip['file']}: "
                f"offline, its word error rate is {wer:.2f}, above {HEARS}"
            )
        errors = word_error_rate(offline, live(engine, waveform, RATE // 2)[1].text)
        n_words += errors.n_words
        n_errors += errors.substitutions + errors.deletions + errors.insertions
        print(f"{clip['file']}: live differs from offline by {errors}")
    assert 1 - n_errors / n_words >= GOAL


def in_real_time(stream, waveform):
    """Feed the stream what a microphone has by then, as often as it is free. Yields each update
    with the seconds since the start."""
    began_s, n_fed = time.perf_counter(), 0
    while n_fed < len(waveform):
        n_there = min(len(waveform), int((time.perf_counter() - began_s) * RATE))
        if n_there - n_fed < RATE // 8 and n_there < len(waveform):
            time.sleep(0.005)
            continue
        update = stream.feed(waveform[n_fed:n_there])
        n_fed = n_there
        yield time.perf_counter() - began_s, update


@pytest.mark.slow
@pytest.mark.parametrize("clip", SPOKEN[:2], ids=lambda clip: clip["file"])
def test_the_text_of_the_page_in_real_time(engine, clip):
    """The page's policy, in real time, on this machine."""
    offline = engine.transcribe(
        decode(CLIPS / clip["file"]), GREEDY.changed({"language": "en", "word_timestamps": True})
    )
    if word_error_rate(clip["text"], offline.text).wer > HEARS:
        pytest.skip(f"the model {engine.info.model!r} does not hear {clip['file']}")
    waveform = np.concatenate([decode(CLIPS / clip["file"]), np.zeros(RATE, np.float32)])
    stream = engine.stream(GREEDY.changed({"language": "en"}), KEEP_UP)
    delays, n_updates, before = [], 0, ""
    for now_s, update in in_real_time(stream, waveform):
        delays += [now_s - word.end for word in update.committed]
        n_updates += bool(update.committed) or update.tentative != before
        before = update.tentative
    text = stream.finish().text
    share, per_s = update.real_time_factor, n_updates / (len(waveform) / RATE)
    middle, late = np.quantile(delays, [0.5, 0.95])
    errors = word_error_rate(offline.text, text)
    print(
        f"{clip['file']}: {per_s:.1f} updates per second, words final {middle:.2f} s after their "
        f"end (95th percentile {late:.2f} s), computing {share:.0%} of the time; live differs "
        f"from offline by {errors}"
    )
    assert 1 - errors.wer >= GOAL
