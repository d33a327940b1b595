"""One model for many: threads, streams, asyncio, Ctrl-C and forks. Nobody gets another's words."""

import asyncio
import gc
import os
import random
import signal
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

import maxwhisper
from maxwhisper.audio.load import decode
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.errors import AudioError, DeviceError, EngineUnavailable, OptionError
from maxwhisper.options import GREEDY
from maxwhisper.whisper import Whisper
from tests.fakes.hearing_network import DIMS, FREE, HearingDecoder, HearingNetwork, speech

TALK = Path(__file__).parents[1] / "examples" / "clips" / "talk.flac"
RATE = 16_000
LONG_S = 60.0  # nobody waits this long, unless for ever


class OneCache(HearingNetwork):
    """Has one cache, like the real network: a decoder ends the one made before it."""

    latest = None
    n_encoded = 0

    def encode(self, mel):
        self.n_encoded += 1
        return super().encode(mel)

    def close(self):
        self.is_closed = True

    def decoder(self, encoded):
        self.latest = OneCacheDecoder(self, encoded)
        return self.latest


class OneCacheDecoder(HearingDecoder):
    def _logits(self):
        threading.Event().wait(1e-4)  # others run
        assert self.network.latest is self, "another caller has taken the cache"
        return super()._logits()


@pytest.fixture
def whisper():
    return Whisper(random_checkpoint(DIMS), OneCache())


def recordings(n):
    """n recordings of two windows, each with words of its own."""
    return [speech([100] * 30, 1 + 30 * number) for number in range(n)]


def at_once(*works):
    """The result of each function, run in a thread of its own, all together."""
    results, barrier = [None] * len(works), threading.Barrier(len(works))

    def run(index):
        barrier.wait(LONG_S)
        try:
            results[index] = works[index]()
        except BaseException as error:  # the caller compares
            results[index] = error

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
        assert not thread.is_alive()
    return results


def live(model, waveform, options=FREE):
    stream = model.stream(options, maxwhisper.StreamOptions(vad=False))
    for start in range(0, len(waveform), RATE):
        stream.feed(waveform[start : start + RATE])
    return stream.finish().text


def is_usable(model, waveform, text):
    return at_once(lambda: model.transcribe(waveform, FREE).text) == [text]


def test_threads_get_their_own_words(whisper):
    waveforms = recordings(6)
    want = [whisper.transcribe(waveform, FREE).text for waveform in waveforms]
    batches = [each.text for each in whisper.transcribe_many(waveforms, FREE, vad=False)]
    in_stream = live(whisper, waveforms[2][: 20 * RATE])
    assert len(set(want)) == 6
    got = at_once(
        *(
            lambda waveform=waveform: whisper.transcribe(waveform, FREE).text
            for waveform in waveforms
        ),
        lambda: [each.text for each in whisper.transcribe_many(waveforms, FREE, vad=False)],
        lambda: "".join(segment.text for segment in whisper.segments(waveforms[0], FREE)),
        lambda: live(whisper, waveforms[2][: 20 * RATE]),
        lambda: live(whisper, waveforms[2][: 20 * RATE]),
    )
    assert got == [*want, batches, want[0], in_stream, in_stream]
    assert in_stream


def test_a_long_recording_does_not_keep_a_short_one_waiting(whisper):
    long, short = speech([20] * 1000), speech([20])  # 10 min
    segments = whisper.segments(long, FREE)
    next(segments)
    n_before = whisper.network.n_encoded
    busy = threading.Thread(target=lambda: list(segments), daemon=True)
    busy.start()
    timings = whisper.transcribe(short, FREE).timings
    assert whisper.network.n_encoded - n_before <= 5 < 20
    assert busy.is_alive()
    assert timings["waiting"] > 0
    busy.join(LONG_S)


def test_segments_come_as_they_are_decoded(whisper):
    waveform, seconds = speech([20] * 200), []  # 120 s
    segments = whisper.segments(waveform, FREE, progress=lambda *each: seconds.append(each))
    assert whisper.network.n_encoded == 0
    first = next(segments)
    assert whisper.network.n_encoded == 1
    found = [first]
    while True:
        try:
            found.append(next(segments))
        except StopIteration as end:
            transcript = end.value
            break
    assert tuple(found) == transcript.segments
    assert transcript.segments == whisper.transcribe(waveform, FREE).segments
    done, totals = zip(*seconds, strict=True)
    assert (list(done), set(totals)) == (sorted(done), {120.0})
    assert (done[0], done[-1]) == (0.0, 120.0)
    in_batches = list(whisper.segments(waveform, FREE, batch_size=2, vad=False))
    assert in_batches == list(whisper.transcribe(waveform, FREE, batch_size=2, vad=False).segments)


def test_progress_in_batches_ends_with_all_of_it(whisper):
    seconds = []
    whisper.transcribe_many(
        [speech([20] * 100), np.zeros(RATE, np.float32)],
        FREE,
        vad=False,
        progress=lambda *each: seconds.append(each),
    )
    assert seconds == sorted(seconds)
    assert seconds[-1] == (61.0, 61.0)


def test_what_is_left_early_is_freed(whisper):
    class Samples(np.ndarray):
        pass

    waveform = speech([20] * 200).view(Samples)
    kept, text = weakref.ref(waveform), whisper.transcribe(waveform, FREE).text
    whisper.network.latest = None
    for _ in whisper.segments(waveform, FREE):
        break
    assert whisper.network.n_encoded < 7
    del waveform
    gc.collect()
    assert kept() is None
    assert is_usable(whisper, speech([20] * 200), text)


def test_mistakes_are_told_before_the_loop(whisper):
    for error, arguments in (
        (OptionError, {"beam_size": 0}),
        (OptionError, {"batch_size": 0}),
        (OptionError, {"vad": 1}),
    ):
        with pytest.raises(error):
            whisper.segments(np.zeros(1, np.float32), **arguments)
    with pytest.raises(AudioError):
        whisper.segments("no_such_file.wav")


def test_ctrl_c_in_a_window_leaves_the_model_usable(whisper):
    waveform = speech([20] * 200)
    text = whisper.transcribe(waveform, FREE).text

    def interrupt(segment):
        if segment.id == 100:
            whisper.network.encode = press

    def press(mel):
        del whisper.network.encode
        signal.raise_signal(signal.SIGINT)
        return whisper.network.encode(mel)

    for arguments in ({}, {"batch_size": 2, "vad": False}):
        with pytest.raises(KeyboardInterrupt):
            whisper.transcribe(waveform, FREE, interrupt, **arguments)
        assert is_usable(whisper, waveform, text)


def test_asyncio(whisper):
    waveforms = recordings(4)
    want = [whisper.transcribe(waveform, FREE) for waveform in waveforms]
    told, seconds, threads = [], [], set()

    def report(segment):
        told.append(segment)
        threads.add(threading.current_thread())

    async def main():
        first, *rest = waveforms
        return await asyncio.gather(
            whisper.atranscribe(first, FREE, report, progress=lambda *s: seconds.append(s)),
            *(whisper.atranscribe(waveform, FREE) for waveform in rest),
        )

    assert [each.text for each in asyncio.run(main())] == [each.text for each in want]
    assert tuple(told) == want[0].segments
    assert threads == {threading.current_thread()}
    assert seconds[-1][0] == seconds[-1][1] == want[0].duration
    with pytest.raises(OptionError, match="beam_size"):
        asyncio.run(whisper.atranscribe(waveforms[0], beam_size=0))


def test_cancelling_stops_between_windows(whisper):
    waveform = speech([20] * 5000)  # 50 min, about 100 windows

    async def main():
        begun = asyncio.Event()
        task = asyncio.create_task(
            whisper.atranscribe(waveform, FREE, progress=lambda *_: begun.set())
        )
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())  # ends when the thread does
    assert whisper.network.n_encoded < 10
    assert at_once(lambda: whisper.transcribe(speech([20]), FREE).text)[0]


def test_a_closed_model_says_so(whisper):
    segments = whisper.segments(speech([20] * 200), FREE)
    next(segments)
    stream = whisper.stream(FREE, maxwhisper.StreamOptions(vad=False))
    with whisper as same:
        assert same is whisper
    whisper.close()
    assert whisper.network.is_closed
    assert not whisper.checkpoint.weights
    for use in (
        lambda: list(segments),
        lambda: stream.feed(speech([20] * 10)),
        lambda: whisper.transcribe(speech([20]), FREE),
    ):
        with pytest.raises(EngineUnavailable, match="this model is closed: load it again"):
            use()


def test_the_model_cannot_be_used_in_the_middle_of_its_own_window(engine):
    clip, told = decode(TALK)[: 3 * RATE], []
    uses = {
        "transcribe": lambda: engine.transcribe(clip),
        "detect": lambda: engine.stream().feed(clip),
        "close": engine.close,
    }

    def use(text):
        for name, function in uses.items():
            try:
                function()
            except EngineUnavailable as error:
                told.append((name, str(error)))

    [text] = at_once(lambda: engine.transcribe(clip, GREEDY, on_text=use).text)
    assert text == engine.transcribe(clip, GREEDY).text
    assert {name for name, _ in told} == set(uses)
    assert all("on_text" in message for _, message in told)


def test_a_fork_is_told_to_spawn(engine):
    """Without the error it would hang: MAX's threads are not in it."""
    read, write = os.pipe()
    if not (child := os.fork()):
        signal.alarm(int(LONG_S))
        for use in (
            lambda: engine.transcribe(np.zeros(RATE, np.float32)),
            lambda: maxwhisper.load("demo"),
        ):
            try:
                use()
            except (EngineUnavailable, DeviceError) as error:
                os.write(write, f"{error}\n".encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as answers:
        lines = answers.readlines()
    assert len(lines) == 2
    assert all("get_context('spawn')" in line for line in lines)


def prove(engine, n_threads, n_recordings):
    """Every thread transcribes every recording, in an order of its own."""
    talk, chance = decode(TALK), random.Random(0)
    starts = [chance.randrange(len(talk) - 3 * RATE) for _ in range(n_recordings)]
    clips = [talk[start : start + chance.randrange(RATE, 3 * RATE)] for start in starts]
    options = GREEDY.changed({"language": "en"})
    want = [engine.transcribe(clip, options).text for clip in clips]

    def work(seed):
        order = random.Random(seed).sample(range(n_recordings), n_recordings)
        return {i: engine.transcribe(clips[i], options).text for i in order}

    got = at_once(*(lambda seed=seed: work(seed) for seed in range(n_threads)))
    wrong = sum(texts[i] != want[i] for texts in got for i in range(n_recordings))
    return wrong, f"of {n_threads * n_recordings} transcripts wrong, {len(set(want))} texts"


def test_the_real_network_mixes_no_words(engine):
    assert prove(engine, n_threads=4, n_recordings=4)[0] == 0


@pytest.mark.slow
def test_the_real_network_mixes_no_words_in_1600_transcripts(engine, monkeypatch, figure):
    monkeypatch.setitem(globals(), "LONG_S", 3600.0)
    wrong, what = prove(engine, n_threads=8, n_recordings=200)
    figure(wrong, 0, what)
