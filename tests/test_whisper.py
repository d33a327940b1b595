"""The facade: which mode a call gets, what it is told on the way, and what it costs."""

import inspect
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import maxwhisper
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.errors import AudioError, NumericError, OptionError, SomeFailed
from maxwhisper.options import VadOptions
from maxwhisper.transcribe import batched, packing, sequential
from maxwhisper.whisper import Whisper, load
from tests.fakes.audio_files import wav
from tests.fakes.hearing_network import (
    FREE,
    MULTILINGUAL,
    WORDS,
    HearingNetwork,
    heard,
    random_pauses,
    runs,
    speech,
    true_times,
)


@pytest.fixture(autouse=True)
def flawless_vad(monkeypatch):
    monkeypatch.setattr(batched, "speech_spans", runs)
    monkeypatch.setattr(packing, "speech_spans", runs)


@pytest.fixture
def whisper():
    return Whisper(SimpleNamespace(alignment_heads=((0, 0),)), HearingNetwork())


def without_timings(transcript):
    return replace(transcript, timings={})


def numbers(transcript):
    return [number for number, _, _ in heard(transcript)]


def test_windows_follow_one_another_unless_a_batch_is_asked_for(whisper):
    waveform = speech(random_pauses(1, 80))
    one_by_one = sequential.transcribe(HearingNetwork(), waveform, FREE)
    (together,) = batched.transcribe_batch(HearingNetwork(), [waveform], FREE)
    assert without_timings(whisper.transcribe(waveform, FREE)) == without_timings(one_by_one)
    assert set(whisper.network.batches) == {1}
    in_batches = whisper.transcribe(waveform, FREE, batch_size=4)
    assert without_timings(in_batches) == without_timings(together)
    assert max(whisper.network.batches) > 1
    assert "vad" in in_batches.timings


def test_batches_without_vad_read_everything(whisper):
    waveform = speech([20] * 100, tail=4000)  # 60 s of speech, 40 s of silence
    loud = whisper.transcribe(waveform, FREE, batch_size=64)
    n_windows = sum(whisper.network.batches)
    everything = whisper.transcribe(waveform, FREE, batch_size=64, vad=False)
    assert n_windows == 3 < sum(whisper.network.batches) - n_windows
    assert numbers(loud) == numbers(everything) == list(range(1, 101))
    assert "vad" not in everything.timings


@pytest.mark.parametrize("vad", [True, VadOptions(min_silence_duration_ms=1000)])
def test_silence_is_not_read_one_by_one_either(whisper, vad):
    waveform = speech([100, 20, 20, 9000, 20, 12_000, 20, 20])
    transcript = whisper.transcribe(waveform, FREE, vad=vad)
    assert whisper.network.batches == [1, 1, 1]
    assert numbers(transcript) == [number for number, _, _ in true_times(waveform)]
    assert transcript.duration == len(waveform) / 16_000
    assert transcript.timings["vad"] > 0


def test_an_end_told_late_is_not_put_after_the_silence():
    """In faster-whisper, which joins the stretches of speech, it is."""
    from faster_whisper.transcribe import restore_speech_timestamps

    late_s, silence_s = 0.1, 90.0

    class Late(HearingNetwork):
        def heard(self, numbers):
            *tokens, end = super().heard(numbers)
            return [*tokens, end + round(late_s / 0.02)]

    whisper = Whisper(SimpleNamespace(alignment_heads=((0, 0),)), Late())
    waveform = speech([100, 20, round(silence_s * 100), 20])
    (_, (_, _, end_s), *_), how = true_times(waveform), VadOptions(speech_pad_ms=0)
    ends = [end for _, _, end in heard(whisper.transcribe(waveform, FREE, vad=how))]
    assert ends[1] == pytest.approx(end_s + late_s)
    spans = runs(waveform, how)
    told_s = (spans[0].end - spans[0].start) / 16_000 + late_s
    segment = SimpleNamespace(start=0.0, end=told_s, words=None)
    (theirs,) = restore_speech_timestamps([segment], [s._asdict() for s in spans], 16_000)
    assert theirs.end == pytest.approx(end_s + late_s + silence_s)


def test_a_recording_without_speech_is_not_read(whisper):
    transcript = whisper.transcribe(np.zeros(16_000 * 60, np.float32), FREE, vad=True)
    assert (transcript.text, transcript.segments, whisper.network.batches) == ("", (), [])


def test_segments_are_told_as_they_are_found(whisper):
    waveforms = [speech(random_pauses(2, 60)), speech(random_pauses(3, 60), 100)]
    told = []
    transcript = whisper.transcribe(waveforms[0], FREE, told.append, batch_size=2)
    assert tuple(told) == transcript.segments
    told_of = []
    transcripts = whisper.transcribe_many(
        waveforms, FREE, lambda index, segment: told_of.append((index, segment))
    )
    for index, transcript in enumerate(transcripts):
        assert tuple(segment for i, segment in told_of if i == index) == transcript.segments
    told_each = []
    outcomes = whisper.transcribe_each(waveforms, FREE, lambda *told: told_each.append(told))
    for index, transcript in outcomes:
        assert transcript.segments == transcripts[index].segments
        assert tuple(segment for i, segment in told_each if i == index) == transcript.segments
    assert told_each == told_of


def test_files_are_read_on_the_clock(whisper):
    samples = np.zeros(16_000, np.float32)
    transcripts = whisper.transcribe_many([wav(samples), samples], FREE)
    assert [t.duration for t in transcripts] == [1.0, 1.0]
    timings = transcripts[0].timings
    assert timings["audio"] > 0
    stages = sum(seconds for stage, seconds in timings.items() if stage != "total")
    assert timings["total"] >= stages


def test_an_unreadable_recording_costs_no_other(whisper):
    waveforms = [speech(random_pauses(seed, 40)) for seed in (4, 5)]
    want = whisper.transcribe_many(waveforms, FREE)
    mixed = [waveforms[0], b"no recording", waveforms[1], "no_such_file.wav"]
    with pytest.raises(SomeFailed, match="2 of 4 recordings failed") as caught:
        whisper.transcribe_many(mixed, FREE)
    assert set(caught.value.errors) == {1, 3}
    kept = caught.value.transcripts
    assert [kept[1], kept[3]] == [None, None]
    assert [kept[0].segments, kept[2].segments] == [transcript.segments for transcript in want]
    with pytest.raises(AudioError):
        whisper.transcribe(b"no recording", FREE, batch_size=2)


class Overflowing(HearingNetwork):
    """Gives NaN for windows in which it hears a certain word, and numbers for those beside them."""

    def __init__(self, number):
        super().__init__()
        self.token = WORDS[number]

    def decoder(self, encoded):
        decoder = super().decoder(encoded)
        plain = decoder._logits

        def logits():
            found = plain()
            found[[self.token in script for script in decoder.scripts]] = np.nan
            return found

        decoder._logits = logits
        return decoder


@pytest.mark.parametrize(
    ("batch_size", "more"), [(1, {}), (3, {"beam_size": 2}), (64, {"word_timestamps": True})]
)
def test_a_recording_without_numbers_costs_no_other(whisper, batch_size, more):
    options = FREE.changed(more)
    waveforms = [speech([20] * 60, 1 + 100 * n) for n in range(4)]  # 36 s each
    want = whisper.transcribe_many(waveforms, options)
    whisper.network = Overflowing(155)  # in the second window of the second recording
    told = []
    with pytest.raises(SomeFailed, match="2 of 5 recordings failed") as caught:
        whisper.transcribe_many(
            [*waveforms, b"no recording"],
            options,
            lambda index, segment: told.append((index, segment)),
            batch_size=batch_size,
        )
    assert {index: type(error) for index, error in caught.value.errors.items()} == {
        1: NumericError,
        4: AudioError,
    }
    failure, kept = caught.value.errors[1], caught.value.transcripts
    assert (failure.__traceback__, failure.__context__) == (None, None)  # they hold what it heard
    assert [kept[1], kept[4]] == [None, None]
    for index in (0, 2, 3):
        assert kept[index].segments == want[index].segments
        assert tuple(segment for i, segment in told if i == index) == want[index].segments
    told_of_it = [segment for i, segment in told if i == 1]  # what came before
    assert told_of_it == list(want[1].segments[: len(told_of_it)])
    assert len(told_of_it) < 60


def test_a_recording_alone_fails_as_itself(whisper):
    whisper.network = Overflowing(3)
    for mode in ({}, {"batch_size": 4}):
        with pytest.raises(NumericError, match="dtype='float32'"):
            whisper.transcribe(speech([20] * 200), FREE, **mode)


@pytest.mark.parametrize("size", ["8", 8.0, True, 0, -1, float("nan")])
def test_a_batch_is_a_number_of_windows(whisper, size):
    for transcribe, audio in ((whisper.transcribe, None), (whisper.transcribe_many, [None])):
        with pytest.raises(OptionError, match=r"batch_size must be .*, got "):
            transcribe(audio, FREE, batch_size=size)
    with pytest.raises(OptionError, match="batch_size must be of type int, got None"):
        whisper.transcribe_many([], FREE, batch_size=None)


@pytest.mark.parametrize("vad", ["no", 0, 0.5, {"threshold": 0.5}])
def test_speech_is_looked_for_or_not(whisper, vad):
    silence = np.zeros(1600, np.float32)
    for mode in ({}, {"batch_size": 2}):
        with pytest.raises(OptionError, match=r"vad must be of type .*VadOptions \| bool \| None"):
            whisper.transcribe(silence, FREE, vad=vad, **mode)
    with pytest.raises(OptionError, match="how must be of type"):
        whisper.stream(FREE, vad)
    with pytest.raises(OptionError, match="options must be of type"):
        whisper.transcribe(silence, vad)


def test_the_language_is_told_as_transcribe_would():
    """60 s of German, then 120 s of French: of five windows most are French, the first is not."""
    languages = (("de", range(1, 101)), ("fr", range(101, 301)))
    network = HearingNetwork(MULTILINGUAL, languages=languages)
    model = Whisper(SimpleNamespace(alignment_heads=((0, 0),)), network)
    waveform = speech([20] * 300)  # 180 s
    for audio in (waveform, wav(waveform[:160_000])):
        found = model.detect_language(audio)
        assert (found.code, found.probability > 0.9) == ("de", True)
        assert len(found.probabilities) == 99
        transcript = model.transcribe(audio, FREE)
        assert (transcript.language, transcript.language_probabilities) == (
            found.code,
            found.probabilities,
        )
    votes = model.detect_language(
        waveform, language_detection_segments=5, language_detection_threshold=None
    )
    assert votes.code == "fr"
    assert model.detect_language(waveform, language_detection_segments=5).code == "de"


def test_a_language_cannot_be_told(whisper):
    with pytest.raises(OptionError, match="English-only"):
        whisper.detect_language("no_such_file.wav")
    model = Whisper(whisper.checkpoint, HearingNetwork(MULTILINGUAL))
    with pytest.raises(AudioError):
        model.detect_language("no_such_file.wav")
    with pytest.raises(OptionError, match="language_detection_segments must be at least 1"):
        model.detect_language(np.zeros(1, np.float32), language_detection_segments=0)


ENTRY_POINTS = {
    "transcribe": lambda model, *asked: model.transcribe(*asked),
    "batched": lambda model, *asked: model.transcribe(*asked, batch_size=2),
    "many": lambda model, waveform, options: model.transcribe_many([waveform] * 2, options),
    "stream": lambda model, waveform, options: model.stream(options),
}


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_turbo_does_not_translate(entry_point):
    turbo = HearingNetwork(OFFICIAL_MODELS["turbo"].dims)
    model, waveform = Whisper(SimpleNamespace(alignment_heads=((0, 0),)), turbo), speech([20] * 5)
    options = FREE.changed({"language": "de"})
    ask = ENTRY_POINTS[entry_point]
    ask(model, waveform, options)
    with pytest.raises(OptionError, match="expected task 'transcribe', got 'translate'; use large"):
        ask(model, waveform, options.changed({"task": "translate"}))


def test_the_package_is_asked_for_all_that_the_facade_can_load():
    package, facade = (inspect.signature(each).parameters for each in (maxwhisper.load, load))
    assert list(package) == list(facade)


def test_options_by_name(whisper):
    waveform = speech([20] * 10)
    assert (
        len(whisper.transcribe(waveform, suppress_tokens=None, temperature=0.0, vad=True).segments)
        == 10
    )
    with pytest.raises(OptionError, match="no option called batchsize"):
        whisper.transcribe(waveform, batchsize=8)
    with pytest.raises(OptionError, match="batch_size must be at least 1"):
        whisper.transcribe(waveform, FREE, batch_size=0)


def test_samples_of_another_rate(whisper):
    """The words are runs of equal samples, so each sample repeated is the recording at 32 kHz."""
    waveform = speech([100] * 20)
    want = without_timings(whisper.transcribe(waveform, FREE))
    pcm = (np.repeat(waveform, 2) * 32768).astype(np.int16)
    given = ((pcm, {"sample_rate": 32_000}), ((32_000, pcm), {}), (np.stack([pcm, pcm]), None))
    for audio, rate in given:
        rate = {"sample_rate": 32_000} if rate is None else rate
        transcripts = [
            whisper.transcribe(audio, FREE, **rate),
            *whisper.transcribe_many([audio], FREE, vad=False, **rate),
        ]
        assert {each.duration for each in transcripts} == {want.duration}
        assert "audio" in transcripts[0].timings
    with pytest.raises(OptionError, match="sample_rate is for arrays"):
        whisper.transcribe_many([wav()], FREE, sample_rate=32_000)
    model = Whisper(whisper.checkpoint, HearingNetwork(MULTILINGUAL, languages=[("de", range(99))]))
    assert model.detect_language(waveform, sample_rate=16_000).code == "de"
