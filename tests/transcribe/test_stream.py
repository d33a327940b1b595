"""Live transcription with a scripted transcriber: every word once, in time, for any chunks."""

import json
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from maxwhisper.audio.arrays import from_array
from maxwhisper.errors import AudioError, NumericError, OptionError
from maxwhisper.options import StreamOptions, VadOptions
from maxwhisper.transcribe.stream import Stream
from tests.fakes.scripted_transcriber import (
    RATE,
    Said,
    ScriptedTranscriber,
    ScriptedVoice,
    ramp,
    script,
)

CLIPS = Path(__file__).parents[2] / "examples" / "clips"
SENTENCES = [" ".join(f"w{n}" for n in range(first, first + 9)) for first in range(0, 180, 9)]


def clip_script(file):
    """The words of an example clip; a pause of 0.25 s or more separates utterances."""
    clips = {clip["file"]: clip for clip in json.loads((CLIPS / "clips.json").read_text())}
    words, utterance = [], 0
    for word in clips[file]["words"]:
        if words and word["start"] - words[-1].end >= 0.25:
            utterance += 1
        words.append(Said(word["word"], word["start"], word["end"], utterance))
    return words, clips[file]["duration_s"]


def run(words, seconds, chunks=None, options=None, with_voice=True, **errors):
    """Feed a ramp in `chunks` (samples each); return transcriber, updates, transcript."""
    transcriber = ScriptedTranscriber(words, **errors)
    stream = Stream(transcriber, options, ScriptedVoice(words) if with_voice else None)
    samples, updates, at = ramp(seconds), [], 0
    for n in chunks or [RATE // 4] * (round(seconds * 4) + 1):
        updates.append(stream.feed(samples[at : at + n]))
        at += n
    updates.append(stream.feed(samples[at:]))
    return transcriber, updates, stream.finish()


def random_chunks(seed, seconds):
    """From 1 sample to 10 s, all sizes about equally likely."""
    chance, chunks = random.Random(seed), []
    while sum(chunks) < seconds * RATE:
        chunks.append(round(10 ** chance.uniform(0, np.log10(10 * RATE))))
    return chunks


def committed(updates):
    return [word for update in updates for word in update.committed]


@pytest.mark.parametrize("file", ["plain.flac", "noisy.flac", "two_voices.flac", "talk.flac"])
@pytest.mark.parametrize("hop_s", [0.5, 1.0, 3.0])
def test_the_final_text_is_what_was_said(file, hop_s):
    words, seconds = clip_script(file)
    _, updates, transcript = run(words, seconds, options=StreamOptions(hop_s=hop_s))
    assert transcript.text == "".join(f" {said.text}" for said in words)
    assert transcript.text.startswith("".join(word.word for word in committed(updates)))


def test_any_chunks_give_the_same_transcript():
    words, seconds = script(SENTENCES[:6], pause_s=0.4), 22
    how = {"options": StreamOptions(window_s=10.0), "mishears": 0.05}
    _, _, expected = run(words, seconds, **how)
    for seed in range(20):
        _, updates, transcript = run(words, seconds, random_chunks(seed, seconds), **how)
        assert transcript.segments == expected.segments, f"seed {seed}"
        n_words = len(committed(updates))
        assert committed(updates) == list(transcript.words[:n_words])


@pytest.mark.parametrize("with_voice", [True, False])
@pytest.mark.parametrize("mishears", [0.0, 0.1, 0.3])
def test_no_word_twice_and_none_lost(with_voice, mishears):
    words = script(SENTENCES)
    seconds = words[-1].end + 1
    for hop_s in (0.5, 1.0, 2.5):
        options = StreamOptions(hop_s=hop_s)
        _, _, transcript = run(
            words, seconds, options=options, with_voice=with_voice, mishears=mishears
        )
        heard = [word.word.split("-")[0].strip(" .") for word in transcript.words]
        assert heard == [said.text for said in words], f"hop {hop_s}"


@pytest.mark.parametrize("sentence", ["no " * 70, "the cat and " * 25])
def test_repetitions_are_counted(sentence):
    """Longer than a window, all the same word: only number and times distinguish them."""
    words = script([sentence] * 3)
    _, _, transcript = run(words, words[-1].end + 1, edge_errors=False)
    assert transcript.text.split() == [said.text for said in words]


def test_times_are_the_streams():
    words, seconds = clip_script("talk.flac")
    _, _, transcript = run(words, seconds)
    for said, word in zip(words, transcript.words, strict=True):
        assert abs(word.start - said.start) <= 0.13, word  # jitter of the ends of two words
        assert abs(word.end - said.end) <= 0.13, word
    times = [time for word in transcript.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert transcript.duration == seconds
    for segment in transcript.segments:
        assert segment.text == "".join(word.word for word in segment.words)
        assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)
        assert segment.tokens == tuple(segment.text.encode())
    assert [segment.id for segment in transcript.segments] == list(range(len(transcript.segments)))
    assert len(transcript.segments) == words[-1].utterance + 1


def test_silence_decodes_nothing():
    transcriber, updates, transcript = run([], 120)
    assert transcriber.windows == []
    assert (transcript.text, transcript.segments, transcript.duration) == ("", (), 120)
    assert all(update.lag_s == 0 for update in updates)


def test_a_pause_commits_and_what_follows_costs_nothing():
    words = script(["one two three", "four five"], pause_s=60.0)
    transcriber, updates, transcript = run(words, 70)
    assert transcript.text == " one two three four five"
    silent = [update for update in updates if 3 <= update.received_s <= 61]
    assert all((update.tentative, update.lag_s) == ("", 0.0) for update in silent)
    assert not [end for _, end in transcriber.windows if 3 <= end <= 61]
    later = [begin for begin, _ in transcriber.windows if begin > 3]
    assert min(later) >= words[3].start - StreamOptions().lead_s - 1.0  # a hop
    remembered = [word.strip(" .") for word in transcriber.remembered]
    assert remembered == [said.text for said in words]


def test_windows_are_bounded_and_move_to_the_end_of_a_segment():
    words = script(SENTENCES, pause_s=0.3)  # no pause is long enough to commit
    for window_s in (10.0, 30.0):
        options = StreamOptions(window_s=window_s)
        transcriber, _, _ = run(words, words[-1].end + 1, options=options)
        assert max(round(end - begin, 6) for begin, end in transcriber.windows) == window_s
        begins = sorted({begin for begin, _ in transcriber.windows})[1:]
        ends = [said.end for said in words]
        assert len(begins) > words[-1].end / window_s - 2
        assert all(min(abs(begin - end) for end in ends) < 0.1 for begin in begins)
        remembered = [word.strip(" .") for word in transcriber.remembered]
        assert remembered == [said.text for said in words][: len(remembered)]


def test_words_are_committed_before_the_window_is_full():
    words = script([" ".join(f"w{n}" for n in range(80))])
    _, updates, _ = run(words, 25)
    speaking = [update for update in updates if 4 <= update.received_s <= 24]
    assert max(update.lag_s for update in speaking) < 2.5  # two hops and a word
    assert all(update.tentative for update in speaking[::4])
    assert all(update.real_time_factor < 1 for update in speaking)


LIVE = StreamOptions(hop_s=0.25, keep_up=True)  # as on the page


def test_a_word_is_final_about_a_second_after_it_was_spoken():
    words = script([" ".join(f"w{n}" for n in range(80))])
    _, updates, _ = run(words, 25, [RATE // 8] * 200, LIVE)
    spoken = iter(words)
    delays = [update.received_s - next(spoken).end for update in updates for _ in update.committed]
    assert len(delays) > 75
    assert max(delays) <= 1.5
    assert np.median(delays) <= 1.2


def test_unfinished_text_has_no_full_stop():
    """The scripted transcriber writes one after every word that has just ended."""
    words = script(SENTENCES[:6], pause_s=0.4)  # shorter than a pause that commits
    _, updates, transcript = run(words, words[-1].end, [RATE // 8] * 200, LIVE)
    assert not [update.tentative for update in updates if update.tentative.endswith(".")]
    assert not [word.word for word in committed(updates) if word.word.endswith(".")]
    assert transcript.text.endswith("."), "the last word keeps its own"


def test_half_a_word_is_not_final():
    class Prophet(ScriptedTranscriber):
        """Hears the same half of a word each time."""

        def _heard(self, said, begin, end, chance):
            half = Said(said.text[: len(said.text) // 2], said.start, said.end, said.utterance)
            return super()._heard(half if said.end > end else said, begin, end, chance)

    words = script(["he was singing something beautiful yesterday evening"], word_s=0.9)
    stream = Stream(Prophet(words, edge_errors=False), LIVE, ScriptedVoice(words))
    updates = [stream.feed(samples) for samples in np.split(ramp(8), 64)]
    stream.finish()
    assert [word.word.strip() for word in committed(updates)] == [said.text for said in words]


def test_hypotheses_of_almost_the_same_audio_do_not_agree():
    class Hasty(ScriptedTranscriber):
        """Mishears every word until 0.35 s after its end: in two hops, one after the other."""

        def _heard(self, said, begin, end, chance):
            hasty = Said(f"mis{said.text}", said.start, said.end, said.utterance)
            return super()._heard(hasty if said.end > end - 0.35 else said, begin, end, chance)

    words = script(["he was singing something beautiful yesterday evening"], word_s=0.3)
    stream = Stream(Hasty(words, edge_errors=False), LIVE, ScriptedVoice(words))
    updates = [stream.feed(samples) for samples in np.split(ramp(8), 64)]
    stream.finish()
    assert [word.word.strip() for word in committed(updates)] == [said.text for said in words]


def test_who_falls_behind_may_leave_hops_out():
    words = script(SENTENCES)
    seconds = words[-1].end + 1
    chunks = [4 * RATE] * 60
    every, _, _ = run(words, seconds, chunks)
    some, _, transcript = run(words, seconds, chunks, StreamOptions(keep_up=True))
    assert len(some.windows) < len(every.windows) / 2
    heard = [word.word.strip(" .") for word in transcript.words]
    assert heard == [said.text for said in words]


def test_memory_is_bounded():
    words = script(["one two"])
    stream = Stream(ScriptedTranscriber(words), None, ScriptedVoice(words))
    samples, sizes = ramp(300), set()
    for n in range(0, len(samples), RATE):
        stream.feed(samples[n : n + RATE])
        sizes.add(stream._buffer.nbytes)
    assert sizes == {30 * RATE * 4}
    assert stream._n_samples <= 2 * RATE
    assert (stream._committed, stream._tentative, stream._hypothesis) == ([], [], None)


@pytest.mark.parametrize("n_samples", [0, 1, 159, 160, 1600])
def test_short_streams(n_samples):
    transcript = Stream(ScriptedTranscriber([])).finish()
    assert (transcript.text, transcript.segments, transcript.duration) == ("", (), 0.0)
    stream = Stream(ScriptedTranscriber([Said("a", 0.0, n_samples / RATE, 0)]))
    stream.feed(ramp(n_samples / RATE))
    assert len(stream.finish().words) == (n_samples >= 160)  # a whole mel frame


class FailingTranscriber(ScriptedTranscriber):
    """Fails now and then, or from `dies_at` windows on."""

    n_calls = 0
    dies_at = float("inf")

    def transcribe(self, waveform, seek):
        self.n_calls += 1
        if self.n_calls % 3 == 2 or len(self.windows) >= self.dies_at:
            raise NumericError("no numbers")
        return super().transcribe(waveform, seek)


class FailingVoice(ScriptedVoice):
    def hear(self, samples):
        self.n_calls = getattr(self, "n_calls", 0) + 1
        if self.n_calls % 5 == 3:
            raise RuntimeError("onnxruntime")
        super().hear(samples)


def patient(act, samples=None):
    """Feed, or finish, and repeat while it fails: the result, and the number of failures."""
    for n_failures in range(100):
        try:
            return (act() if samples is None else act(samples)), n_failures
        except (NumericError, RuntimeError):
            samples = samples if samples is None else samples[:0]
    raise AssertionError("fails for ever")


@pytest.mark.parametrize("window_s", [6.0, 30.0])
def test_a_failing_network_costs_no_word(window_s):
    """Chunks hold several hops: the samples after a failing hop are kept, and so is the text."""
    words, seconds = script(SENTENCES[:6], pause_s=0.4), 22
    how = StreamOptions(window_s=window_s)
    _, _, expected = run(words, seconds, options=how)
    for seed in range(5):
        stream = Stream(FailingTranscriber(words), how, FailingVoice(words))
        samples, at, updates, n_failures = ramp(seconds), 0, [], 0
        for n in random_chunks(seed, seconds):
            update, n_failed = patient(stream.feed, samples[at : at + n])
            updates.append(update)
            n_failures, at = n_failures + n_failed, at + n
        transcript, n_failed = patient(stream.finish)
        assert n_failures > 5
        assert transcript.segments == expected.segments, f"seed {seed}"
        assert transcript.duration == seconds
        n_words = len(committed(updates))
        assert committed(updates) == list(transcript.words[:n_words])


def test_what_was_committed_outlives_the_network():
    words = script(SENTENCES[:6], pause_s=0.4)
    transcriber = FailingTranscriber(words)
    transcriber.dies_at, stream = 8, Stream(transcriber, None, ScriptedVoice(words))
    samples = ramp(22)
    with pytest.raises(NumericError):
        stream.feed(samples)
    buffer = stream._unread.copy()
    samples[:] = 0  # the caller can reuse the array
    np.testing.assert_array_equal(stream._unread, buffer)
    for act in (stream.finish, lambda: stream.feed(ramp(0)), stream.finish):
        with pytest.raises(NumericError):
            act()
    said = stream.committed()
    assert 5 < len(said.words) < len(words)
    heard = [word.word.strip(" .") for word in said.words]
    assert heard == [said.text for said in words][: len(heard)]
    assert said.duration < 22
    transcriber.dies_at = float("inf")
    transcript, _ = patient(stream.finish)
    heard = [word.word.strip(" .") for word in transcript.words]
    assert heard == [said.text for said in words]


def test_feeding_after_the_end_is_an_error():
    stream = Stream(ScriptedTranscriber([]))
    assert stream.finish() is stream.finish()
    with pytest.raises(AudioError, match="open another stream"):
        stream.feed(ramp(1))


def test_bytes_and_other_rates():
    seconds, received = 4, []

    class Recorder(ScriptedVoice):
        def hear(self, samples):
            received.append(samples.copy())

    tone = np.sin(np.arange(seconds * 2 * RATE) / 20)
    pcm = (tone * 30_000).astype("<i2").tobytes()
    stream = Stream(ScriptedTranscriber([]), None, Recorder([]))
    for start in range(0, len(pcm), 1001):  # cut within samples
        update = stream.feed(pcm[start : start + 1001], sample_rate=2 * RATE)
    assert update.received_s == pytest.approx(seconds, abs=0.1)
    assert stream.finish().duration == pytest.approx(seconds, abs=1e-3)
    want = from_array(np.frombuffer(pcm, "<i2"), 2 * RATE)
    got = np.concatenate(received)
    assert np.abs(got - want[: len(got)]).max() < 1e-3


def test_threads_may_share_a_stream():
    """Each call is complete before the next one begins."""
    inside = []

    class Watched(ScriptedVoice):
        def hear(self, samples):
            inside.append(len(inside))
            time.sleep(1e-3)
            assert len(inside) == 1
            inside.clear()

    stream, failed = Stream(ScriptedTranscriber([]), None, Watched([])), []

    def feed():
        try:
            for _ in range(20):
                stream.feed(np.zeros(160))
        except AssertionError as error:
            failed.append(error)

    feeding = [threading.Thread(target=feed) for _ in range(4)]
    for thread in feeding:
        thread.start()
    for thread in feeding:
        thread.join()
    assert not failed
    assert stream.finish().duration == 0.8


def test_samples_are_checked():
    stream = Stream(ScriptedTranscriber([]))
    with pytest.raises(AudioError, match=r"\(n,\) or \(channels, n\), got shape \(100, 2\)"):
        stream.feed(np.zeros((100, 2), np.float32))
    with pytest.raises(AudioError, match=r"-1\.\.1"):
        stream.feed(np.full(10, np.nan, np.float32))


def test_how_much_is_kept_before_speech_and_when_it_parts():
    words = script(["one two", "three four", "five six"], pause_s=1.2, lead_s=5.0)
    for pad_ms in (0.0, 1000.0):
        how = StreamOptions(hop_s=0.25, vad=VadOptions(speech_pad_ms=pad_ms))
        transcriber, _, transcript = run(words, 12, options=how)
        first, kept_s = transcriber.windows[0][0], words[0].start - pad_ms / 1000
        assert kept_s - how.hop_s - 0.11 < first <= kept_s
        assert transcript.text == " one two three four five six"
        assert len({begin for begin, _ in transcriber.windows}) == 1, "shorter pauses than 2 s"
    parting = StreamOptions(hop_s=0.25, vad=VadOptions(min_silence_duration_ms=800))
    transcriber, _, transcript = run(words, 12, options=parting)
    assert transcript.text == " one two three four five six"
    assert len({begin for begin, _ in transcriber.windows}) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"hop_s": 0.0},
        {"hop_s": 5.0, "window_s": 4.0},
        {"window_s": 31.0},
        {"pause_s": 0},
        {"pause_s": 1.0, "vad": False},
        {"window_s": 0.5, "hop_s": 0.5},  # silence alone would fill it
        {"window_s": 6.0, "vad": VadOptions(speech_pad_ms=5900)},
        {"window_s": 6.0, "vad": VadOptions(min_speech_duration_ms=5900)},
        {"max_speech_duration_s": 9.0},
        {"threshold": 1.5},
        {"hop_s": "1"},
        {"hop_s": True},
        {"hop_s": float("nan")},
        {"window_s": None},
        {"pause_s": float("nan")},
        {"pause_s": "0.5"},
        {"vad": "no"},
        {"keep_up": None},
        {"threshold": "0.5"},
    ],
)
def test_impossible_options_are_refused(options):
    name = next(iter(options))
    if name not in StreamOptions.__dataclass_fields__:
        options = {"vad": VadOptions(**options)}
    with pytest.raises(OptionError, match=name):
        Stream(ScriptedTranscriber([]), StreamOptions(**options))
