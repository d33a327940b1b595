"""A live stream on a network that transcribes what the samples spell out. Its twin is the
sequential mode."""

from types import SimpleNamespace

import numpy as np
import pytest

from maxwhisper import whisper
from maxwhisper.errors import OptionError
from maxwhisper.options import StreamOptions, VadOptions
from maxwhisper.transcribe import sequential
from maxwhisper.transcribe.live_window import LiveWindowTranscriber
from maxwhisper.transcribe.stream import Stream
from maxwhisper.whisper import Whisper
from tests.fakes.hearing_network import (
    CUT,
    FREE,
    MULTILINGUAL,
    TOKENIZER,
    WORDS,
    HearingNetwork,
    random_pauses,
    runs,
    speech,
)

RATE = 16_000
SAID = [TOKENIZER.decode([token]) for token in WORDS[1:]]


class OpenNetwork(HearingNetwork):
    """Leaves a word open that the window's end cuts, so the next window begins with it."""

    def heard(self, numbers):
        tokens = super().heard(numbers)
        return tokens[:-1] if len(tokens) > 3 and tokens[-2] == CUT else tokens


class FlawlessVoice:
    """A `vad.VoiceMonitor` without errors."""

    def __init__(self):
        self.samples, self.speech_end = np.empty(0, np.float32), 0

    def hear(self, samples):
        self.samples = np.concatenate([self.samples, samples])
        spans = runs(self.samples, VadOptions(min_silence_duration_ms=0))
        self.speech_end = spans[-1].end if spans else 0


def live(network, waveform, options=FREE, how=None, voice=None):
    stream = Stream(LiveWindowTranscriber(network, options), how, voice)
    for start in range(0, len(waveform), RATE):
        stream.feed(waveform[start : start + RATE])
    return stream.finish()


@pytest.mark.parametrize("make", [HearingNetwork, OpenNetwork])
def test_the_final_text_is_the_sequential_modes(make):
    waveform = speech(random_pauses(1, 90), tail=70)
    offline = sequential.transcribe(make(), waveform, FREE)
    assert len(offline.text.split()) >= 90
    assert live(make(), waveform).text == offline.text


def test_windows_with_pauses_lose_nothing_either():
    transcript = live(OpenNetwork(), speech(random_pauses(4, 90), tail=70), voice=FlawlessVoice())
    assert [word.word for word in transcript.words] == SAID[:90]


def test_a_window_continues_at_its_end_at_the_latest():
    """The decoder may hear the end of a segment in the padding, where more audio will follow."""

    class Ahead(HearingNetwork):
        def heard(self, numbers):
            begin, *_, word, _ = super().heard(numbers)
            return [begin, word, begin + 450, begin + 450, word]

    waveform = speech([20] * 3)
    hypothesis = LiveWindowTranscriber(Ahead(), FREE).transcribe(waveform, seek=1000)
    assert (len(hypothesis.closed), len(hypothesis.open)) == (1, 1)
    assert hypothesis.seek == 1000 + len(waveform) // 160 < 1450


def test_words_have_the_streams_times():
    """A hop is six words: no word is cut, and there are enough words for the fake attention. A
    pause is part of a word beside it."""
    how = StreamOptions(hop_s=5.4, window_s=27.0)
    transcript = live(HearingNetwork(), speech([50] * 42), how=how)
    assert [word.word for word in transcript.words] == SAID[:42]
    for i, word in enumerate(transcript.words):
        assert word.start < 0.9 * i + 0.7 < word.end, word  # the middle of the word
        assert word.end - word.start < 1.5, word
    assert transcript.duration == pytest.approx(37.8)


@pytest.mark.parametrize("conditioned", [True, False])
def test_what_is_over_prompts_the_windows_to_come(conditioned):
    network = OpenNetwork()
    options = FREE.changed({"condition_on_previous_text": conditioned})
    live(network, speech([20] * 60), options)
    (first, *_, last) = network.prompts
    assert first == [TOKENIZER.sot]
    assert (WORDS[1] in last) == conditioned
    assert (TOKENIZER.sot_prev in last) == conditioned


def test_the_initial_prompt_is_heard_first():
    network = HearingNetwork()
    live(network, speech([20] * 3), FREE.changed({"initial_prompt": "zero"}))
    assert network.prompts[0] == [TOKENIZER.sot_prev, *TOKENIZER.encode(" zero"), TOKENIZER.sot]


def test_the_language_is_heard_once():
    """In the first window, repeatedly; then it stays."""
    languages = {"de": range(1, 41), "fr": range(41, 200)}
    network = OpenNetwork(MULTILINGUAL, languages=tuple(languages.items()))
    transcript = live(network, speech([20] * 80))
    assert transcript.language == "de"
    assert max(transcript.language_probabilities.values()) > 0.9
    assert len(transcript.language_probabilities) == 99
    asked = live(network, speech([20] * 4), FREE.changed({"language": "french"}))
    assert (asked.language, asked.language_probabilities) == ("fr", {})


@pytest.mark.parametrize(
    "option",
    [
        {"clip_timestamps": "1,2"},
        {"hallucination_silence_threshold": 2.0},
        {"language_detection_segments": 2},
        {"language_detection_threshold": 0.5},
        {"language": "de"},
        {"task": "translate"},
        {"beam_size": 0},
    ],
)
def test_what_cannot_be_done_live_is_refused(option):
    with pytest.raises(OptionError, match=f"{next(iter(option))}|English-only"):
        LiveWindowTranscriber(HearingNetwork(), FREE.changed(option))


def test_words_need_alignment_heads():
    with pytest.raises(OptionError, match="alignment heads"):
        LiveWindowTranscriber(HearingNetwork(alignment_heads=()), FREE)


def test_the_facade_looks_for_speech_unless_told_otherwise(monkeypatch):
    how = VadOptions(threshold=0.7)
    asked = []

    def monitor(options):
        asked.append(options)
        return FlawlessVoice()

    monkeypatch.setattr(whisper, "VoiceMonitor", monitor)
    network = HearingNetwork()
    model = Whisper(SimpleNamespace(alignment_heads=((0, 0),)), network)
    model.stream(FREE).feed(np.zeros(20 * RATE, np.float32))
    assert network.prompts == []
    model.stream(FREE, StreamOptions(vad=how))
    assert asked == [VadOptions(), how]
    stream = model.stream(FREE, StreamOptions(hop_s=5.0, vad=False), language="en")
    stream.feed(speech([20] * 30))
    assert len(network.prompts) == 3
    with pytest.raises(OptionError, match="no option called hop_s"):
        model.stream(hop_s=1.0)
