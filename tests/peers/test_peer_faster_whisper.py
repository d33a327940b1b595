"""faster-whisper's own tests, applied to our API: docs/peers.md lists them one by one.

Its tests need `tiny` and a lecture that is not available here. Tests of loops and times use a
network that transcribes what the samples spell out; tests of words use OpenAI's checkpoints if they
are on disk. Those are compared as words: a comma depends on rounding, and faster-whisper's own two
modes place it differently.
"""

import inspect
import wave
from dataclasses import fields
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from maxwhisper.audio.arrays import from_array
from maxwhisper.audio.load import decode
from maxwhisper.audio.vad import speech_spans
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.decoding.rules import suppressed_tokens
from maxwhisper.evaluation.selftest.numpy_network import NumpyNetwork
from maxwhisper.network.dims import Dims
from maxwhisper.options import TranscribeOptions, VadOptions
from maxwhisper.text.wer import normalize, word_error_rate
from maxwhisper.transcribe import batched, packing
from maxwhisper.transcribe.word_times import MAX_MEDIAN_S
from maxwhisper.whisper import Whisper
from tests.fakes.audio_files import wav
from tests.fakes.hearing_network import (
    FREE,
    TOKENIZER,
    WORDS,
    HearingNetwork,
    heard,
    random_pauses,
    runs,
    speech,
    true_times,
)

SAMPLE_RATE = 16_000
MULTILINGUAL = Dims(80, 1500, 64, 1, 1, 51_865, 448, 64, 1, 1)
JFK_SAYS = (
    "And so my fellow Americans, ask not what your country can do for you, ask what you can do for"
    " your country."
)
MODES = pytest.mark.parametrize("batch_size", [None, 8], ids=["one by one", "in batches"])


class Sentences(HearingNetwork):
    """Writes up to five words per segment, from the time of the first to that of the last."""

    def heard(self, numbers):
        spoken = super().heard(numbers)
        triples = [spoken[i : i + 3] for i in range(0, len(spoken), 3)]
        sentences = [triples[i : i + 5] for i in range(0, len(triples), 5)]
        return [
            token
            for sentence in sentences
            for token in (sentence[0][0], *(word for _, word, _ in sentence), sentence[-1][2])
        ]


class WithoutTimes(HearingNetwork):
    """Writes only the words."""

    def heard(self, numbers):
        return [t for t in super().heard(numbers) if t < self.tokenizer.timestamp_begin]


def facade(network):
    return Whisper(SimpleNamespace(alignment_heads=((0, 0),)), network)


@pytest.fixture
def flawless_vad(monkeypatch):
    monkeypatch.setattr(batched, "speech_spans", runs)
    monkeypatch.setattr(packing, "speech_spans", runs)


def assert_says(transcript, text):
    errors = word_error_rate(text, transcript.text)
    assert errors.wer == 0.0, (transcript.text, text)


def assert_times_never_go_back(transcript):
    """Words are within their segments, segments follow each other, all is within the recording. A
    last word that exceeded its segment by far keeps a median duration, as in openai-whisper
    (timing.py:381), and may end after the segment."""
    said = [segment for segment in transcript.segments if segment.text]
    assert len(said) > 1
    assert transcript.words
    for segment in said:
        assert 0 <= segment.start <= segment.end <= transcript.duration
        for word in segment.words:
            assert word.start <= word.end <= segment.end + MAX_MEDIAN_S
        for word in segment.words[:-1]:
            assert word.end <= segment.end
    for before, after in pairwise(said):
        assert before.end <= after.start


def test_suppressed_ids_of_the_english_vocabulary():
    # fmt: off
    assert suppressed_tokens(TOKENIZER, "-1") == suppressed_tokens(TOKENIZER, (-1,)) == (
        1, 2, 7, 8, 9, 10, 14, 25, 26, 27, 28, 29, 31, 58, 59, 60, 61, 62, 63, 90, 91, 92, 93, 357,
        366, 438, 532, 685, 705, 796, 930, 1058, 1220, 1267, 1279, 1303, 1343, 1377, 1391, 1635,
        1782, 1875, 2162, 2361, 2488, 3467, 4008, 4211, 4600, 4808, 5299, 5855, 6329, 7203, 9609,
        9959, 10563, 10786, 11420, 11709, 11907, 13163, 13697, 13700, 14808, 15306, 16410, 16791,
        17992, 19203, 19510, 20724, 22305, 22935, 27007, 30109, 30420, 33409, 34949, 40283, 40493,
        40549, 47282, 49146, 50257, 50357, 50358, 50359, 50360, 50361,
    )
    # fmt: on


def test_own_suppression_keeps_the_specials_and_the_request():
    request = [13]
    for _ in range(2):
        found = suppressed_tokens(TOKENIZER, request)
        assert found == (13, 50257, 50357, 50358, 50359, 50360, 50361)
    assert request == [13]


@MODES
def test_bounds_and_text_of_a_segment_are_those_of_its_words(flawless_vad, batch_size):
    waveform = speech([20] * 100)  # a minute, a word every 0.6 s: windows end in a pause
    transcript = facade(Sentences()).transcribe(
        waveform, FREE, batch_size=batch_size, word_timestamps=True
    )
    assert len(transcript.segments) >= 20
    for segment in transcript.segments:
        assert segment.text == "".join(word.word for word in segment.words)
        assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)
    for word, (_, start, end) in zip(transcript.words, true_times(waveform), strict=True):
        assert word.start < (start + end) / 2 < word.end


def test_a_batch_without_timestamps_has_one_segment_a_window(flawless_vad):
    waveform = speech([60] * 180)  # three minutes
    network = WithoutTimes()
    coarse = facade(network).transcribe(waveform, FREE, batch_size=16, without_timestamps=True)
    assert len(coarse.segments) == sum(network.batches) >= 6
    assert all(segment.end <= segment.start + 30 + 1e-9 for segment in coarse.segments)
    fine = facade(Sentences()).transcribe(waveform, FREE, batch_size=16, word_timestamps=True)
    assert len(fine.segments) > len(coarse.segments)
    assert len(fine.words) > len(fine.segments)
    assert fine.text == coarse.text


@MODES
def test_nothing_has_no_segments_but_a_language(batch_size):
    network = NumpyNetwork(random_checkpoint(MULTILINGUAL, seed=0))
    nothing = np.zeros(0, np.float32)
    transcript = facade(network).transcribe(nothing, batch_size=batch_size)
    assert (transcript.text, transcript.segments, transcript.duration) == ("", (), 0.0)
    assert len(transcript.language_probabilities) == 99
    likeliest = max(transcript.language_probabilities, key=transcript.language_probabilities.get)
    assert transcript.language == likeliest


@MODES
def test_hotwords_reach_every_window(flawless_vad, batch_size):
    network = HearingNetwork()
    facade(network).transcribe(
        speech([60] * 90), FREE, batch_size=batch_size, hotwords="kettle tensor"
    )
    words = TOKENIZER.encode(" kettle tensor")
    assert len(network.prompts) >= (3 if batch_size is None else 1)
    for prompt in network.prompts:
        assert prompt[: 1 + len(words)] == [TOKENIZER.sot_prev, *words]


def test_both_entrances_take_the_same_arguments():
    """But for partial text: windows of many recordings are decoded together."""
    one = set(inspect.signature(Whisper.transcribe).parameters)
    many = set(inspect.signature(Whisper.transcribe_many).parameters)
    assert one - {"audio", "on_text"} == many - {"audios"}


def test_every_argument_of_theirs_has_a_place_here():
    from faster_whisper import WhisperModel

    elsewhere = {
        "self": "the engine",
        "audio": "the recording",
        "vad_filter": "`vad` of `Whisper.transcribe`",
        "vad_parameters": "`vad=VadOptions(...)`",
        "log_prob_threshold": "`logprob_threshold`, as openai-whisper spells it",
        "max_new_tokens": "`sample_len`, as openai-whisper calls it",
        "log_progress": "`on_segment`",
        "multilingual": "not offered: a recording has one language",
        "chunk_length": "not offered: graphs are compiled for windows of 30 s",
    }
    ours = {field.name for field in fields(TranscribeOptions)}
    theirs = set(inspect.signature(WhisperModel.transcribe).parameters)
    assert theirs - ours == set(elsewhere)


@MODES
def test_times_never_go_back(flawless_vad, batch_size):
    waveform = speech(random_pauses(1, 200), tail=50)
    transcript = facade(HearingNetwork()).transcribe(
        waveform, FREE, batch_size=batch_size, word_timestamps=True
    )
    assert_times_never_go_back(transcript)


@MODES
def test_clips_become_segments_with_their_bounds(batch_size):
    """A recording of 11 s twice: each clip is transcribed alone, from its start to its end."""
    once = speech([60] * 11)
    transcript = facade(WithoutTimes()).transcribe(
        np.concatenate([once, once]),
        FREE,
        batch_size=batch_size,
        vad=False,
        clip_timestamps=(0, 11, 11, 22),
        without_timestamps=True,
    )
    first, second = transcript.segments
    assert (first.start, first.end) == (0, 11)
    assert (second.start, second.end) == (11, 22)
    assert [WORDS.index(token) for token in first.tokens] == list(range(1, 12))
    assert second.text == first.text


@MODES
def test_clips_hold_their_own_words_alone(flawless_vad, batch_size):
    waveform = speech([60] * 20)  # word n lasts from n - 0.4 s to n
    transcript = facade(HearingNetwork()).transcribe(
        waveform, FREE, batch_size=batch_size, clip_timestamps=(0, 5, 6, 15)
    )
    said = heard(transcript)
    assert [number for number, _, _ in said] == [*range(1, 6), *range(7, 16)]
    for number, _, end in said:
        assert end == pytest.approx(number, abs=0.021)


def test_speech_of_the_recording_is_found(clip):
    """The silence around it is cut, and `VadOptions` take effect."""
    silence = np.zeros(SAMPLE_RATE // 2, np.float32)
    waveform = np.concatenate([silence, clip("noisy"), silence, clip("plain"), silence])
    asked = VadOptions(min_silence_duration_ms=500, speech_pad_ms=200)
    spans = speech_spans(waveform, asked)
    assert 0 < spans[0].start < SAMPLE_RATE
    assert len(waveform) - SAMPLE_RATE < spans[-1].end < len(waveform)
    pauses = [after.start - before.end for before, after in pairwise(spans)]
    assert pauses
    assert min(pauses) >= SAMPLE_RATE * (500 - 2 * 200) // 1000
    unpadded = speech_spans(waveform, VadOptions(min_silence_duration_ms=500, speech_pad_ms=0))
    assert unpadded[0].start - spans[0].start == SAMPLE_RATE * 200 // 1000


def channels(path):
    """The channels of a 16-bit wav file at 16 kHz, one waveform each."""
    with wave.open(str(path)) as file:
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return [from_array(channel) for channel in frames.reshape(-1, file.getnchannels()).T]


def test_channels_can_be_heard_alone(engine, clip, tmp_path):
    """`decode` mixes them; to transcribe one, pass its samples."""
    path, said = tmp_path / "stereo.wav", [clip("plain"), clip("numbers")]
    length = min(map(len, said))
    path.write_bytes(wav(np.stack([each[:length] for each in said])))
    left, right = channels(path)
    np.testing.assert_allclose(decode(path), (left + right) / 2, atol=1e-6)
    for channel, phrase in ((left, "kettle was already singing"), (right, "platform")):
        assert phrase in normalize(engine.transcribe(channel, language="en").text)


PLAIN_SAYS = (
    "The kettle was already singing when she opened the kitchen door."
    " Outside, the first snow of the year lay quietly on the garden wall."
)


@MODES
def test_demo_hears_the_speech_in_both_modes(engine, clip, batch_size):
    """What a scripted network cannot be wrong in: words, and the times of each."""
    transcript = engine.transcribe(
        clip("plain"), language="en", beam_size=5, word_timestamps=True, batch_size=batch_size
    )
    assert_says(transcript, PLAIN_SAYS)
    for segment in transcript.segments:
        assert segment.text == "".join(word.word for word in segment.words)
        assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)


def test_demo_in_batches_has_finer_segments_with_timestamps(engine, clip):
    options = {"language": "en", "batch_size": 8, "temperature": 0.0}
    coarse = engine.transcribe(clip("talk"), without_timestamps=True, **options)
    fine = engine.transcribe(clip("talk"), **options)
    assert len(fine.segments) > len(coarse.segments) >= 6
    assert len({segment.seek for segment in coarse.segments}) == len(coarse.segments)


@MODES
def test_demo_times_never_go_back(engine, clip, batch_size):
    assert_times_never_go_back(
        engine.transcribe(
            clip("talk"),
            language="en",
            temperature=0.0,
            batch_size=batch_size,
            word_timestamps=True,
        )
    )


@MODES
def test_demo_hears_clips_of_the_speech_twice(engine, clip, batch_size):
    once = clip("plain")[: 10 * SAMPLE_RATE]
    transcript = engine.transcribe(
        np.concatenate([once, once]),
        language="en",
        beam_size=5,
        batch_size=batch_size,
        vad=False,
        clip_timestamps=(0, 10, 10, 20),
        without_timestamps=True,
    )
    first, second = transcript.segments
    assert (first.start, first.end, second.start, second.end) == (0, 10, 10, 20)
    for segment in (first, second):
        assert_says(segment, PLAIN_SAYS)


@pytest.mark.weights
def test_tiny_hears_the_speech_in_both_modes(official, recording):
    waveform = recording("core/jfk.flac")
    transcript = official("tiny").transcribe(waveform, beam_size=5, word_timestamps=True)
    assert (transcript.language, transcript.duration) == ("en", 11.0)
    assert transcript.language_probabilities["en"] > 0.9
    (segment,) = transcript.segments
    assert_says(transcript, JFK_SAYS)
    assert segment.text == "".join(word.word for word in segment.words)
    assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)
    together = official("tiny").transcribe(waveform, beam_size=5, batch_size=8, vad=False)
    assert together.language == "en"
    assert_says(together, JFK_SAYS)


@pytest.mark.weights
def test_tiny_goes_on_after_a_prefix(official, recording):
    """As in openai-whisper, and unlike faster-whisper, the prefix is not part of the text."""
    prefix = "And so my fellow Americans"
    transcript = official("tiny").transcribe(
        recording("core/jfk.flac"), language="en", beam_size=5, prefix=prefix
    )
    (segment,) = transcript.segments
    assert normalize(f"{prefix} {transcript.text}") == normalize(JFK_SAYS)
    assert segment.start == 0
    assert 10 < segment.end <= 11


@pytest.mark.weights
def test_tiny_hears_what_voice_activity_leaves(official, recording):
    """In batches, whose windows contain pauses; faster-whisper cuts them out."""
    transcript = official("tiny").transcribe(
        recording("core/jfk.flac"),
        language="en",
        beam_size=5,
        batch_size=8,
        vad=VadOptions(min_silence_duration_ms=500, speech_pad_ms=200),
    )
    assert_says(transcript, JFK_SAYS)
    assert 0 < transcript.segments[0].start < 1
    assert 10 < transcript.segments[-1].end <= 11


@pytest.mark.weights
def test_tiny_hears_each_channel(official, shared_audio):
    said = [
        "He began a confused complaint against the wizard, who had vanished behind the curtain on"
        " the left.",
        "The horizon seems extremely distant.",
    ]
    for channel, text in zip(
        channels(shared_audio / "core/stereo_diarization.wav"), said, strict=True
    ):
        assert_says(official("tiny").transcribe(channel, beam_size=5), text)


@pytest.mark.weights
def test_tiny_hears_the_language_of_each_half(official, recording):
    """English, then German: there is no `multilingual` option, so the caller cuts."""
    waveform = recording("core/multilingual.mp3")
    half = 30 * SAMPLE_RATE
    english, german = official("tiny").transcribe_many(
        [waveform[:half], waveform[half:]], beam_size=5, without_timestamps=True, vad=False
    )
    assert (english.language, german.language) == ("en", "de")
    assert "permission is hereby granted free of charge" in normalize(english.text)
    assert "die software zu verwenden" in normalize(german.text, "de")


@pytest.mark.weights
@MODES
def test_tiny_hears_a_hotword(official, recording, batch_size):
    transcript = official("tiny").transcribe(
        recording("core/hotwords.mp3"), beam_size=5, hotwords="ComfyUI", batch_size=batch_size
    )
    assert "ComfyUI" in transcript.text


@pytest.mark.weights
def test_tiny_hears_clips_of_the_speech_twice(official, recording):
    once = recording("core/jfk.flac")
    transcript = official("tiny").transcribe(
        np.concatenate([once, once]),
        language="en",
        beam_size=5,
        batch_size=8,
        vad=False,
        clip_timestamps=(0, 11, 11, 22),
        without_timestamps=True,
    )
    first, second = transcript.segments
    assert (first.start, first.end, second.start, second.end) == (0, 11, 11, 22)
    for segment in (first, second):
        assert word_error_rate(JFK_SAYS, segment.text).wer == 0.0


@pytest.fixture(scope="module")
def readings(recording):
    """LJ Speech, sentence after sentence: 170 s instead of the lecture."""
    return np.concatenate([recording(f"ljspeech/LJ001-{i:04d}.wav") for i in range(1, 25)])


@pytest.mark.weights
@MODES
def test_tiny_times_never_go_back(official, readings, batch_size):
    transcript = official("tiny").transcribe(
        readings, language="en", batch_size=batch_size, word_timestamps=True
    )
    assert_times_never_go_back(transcript)


@pytest.mark.weights
def test_tiny_in_batches_has_finer_segments_with_timestamps(official, readings):
    coarse = official("tiny").transcribe(
        readings, language="en", batch_size=16, without_timestamps=True
    )
    assert len(coarse.segments) >= len(readings) / SAMPLE_RATE / 30
    fine = official("tiny").transcribe(readings, language="en", batch_size=16, word_timestamps=True)
    assert len(fine.segments) > len(coarse.segments)
    assert len(fine.words) > len(fine.segments)
