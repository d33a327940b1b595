"""The long-form loop on a scripted network: silence, prompts, clips, options that it refuses."""

import numpy as np
import pytest

from maxwhisper.errors import OptionError
from maxwhisper.network.dims import Dims
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcribe.segments import Window, window_segments
from maxwhisper.transcribe.sequential import padded_window, transcribe

DIMS = Dims(80, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1)
TOKENIZER = get_tokenizer(DIMS)
WORDS = [TOKENIZER.encode(f" {word}")[0] for word in ("one", "two", "three", "four")]


class ScriptedNetwork:
    """Returns one word per window. Window `silent` has a high no-speech probability and low
    confidence."""

    dims = DIMS
    alignment_heads = ()

    def __init__(self, silent=None):
        self.silent, self.prompts, self.window = silent, [], -1

    def log_mel(self, waveform, padding):
        return np.ones(((len(waveform) + padding) // 160, DIMS.n_mels), np.float32)

    def encode(self, mel):
        assert mel.shape == (1, 3000, DIMS.n_mels)
        self.window += 1

    def decoder(self, encoded):
        return self

    def _logits(self, token):
        logits = np.full((1, DIMS.n_vocab), -20.0, np.float32)
        logits[0, token] = 0.0
        if self.window == self.silent:
            logits[0] = -8.0  # all tokens together are likelier than the best one
            logits[0, token], logits[0, TOKENIZER.no_speech] = 1.0, 20.0
        return logits

    def prefill(self, tokens, rows):
        self.prompts.append(tokens[0].tolist())
        self.said = 0
        return np.stack([self._logits(TOKENIZER.timestamp_begin)] * len(rows), axis=1)

    def step(self, tokens):
        self.said += 1
        return self._logits(WORDS[self.window] if self.said == 1 else TOKENIZER.eot)


def run(seconds=100, silent=None, **options):
    network = ScriptedNetwork(silent)
    waveform = np.zeros(seconds * 16_000, np.float32)
    return network, transcribe(
        network, waveform, TranscribeOptions(**{"temperature": 0.0, **options})
    )


def test_any_length_is_read_to_its_end():
    _, transcript = run(100)
    assert transcript.text == " one two three four"
    assert [(s.start, s.end) for s in transcript.segments] == [
        (0.0, 30.0),
        (30.0, 60.0),
        (60.0, 90.0),
        (90.0, 100.0),
    ]
    assert transcript.duration == 100
    assert set(transcript.timings) == {"mel", "encoder", "prefill", "decode", "text"}


def test_each_window_is_prompted_with_what_was_said():
    network, _ = run(70)
    begin = TOKENIZER.timestamp_begin
    assert network.prompts == [
        [TOKENIZER.sot],
        [TOKENIZER.sot_prev, begin, WORDS[0], TOKENIZER.sot],
        [TOKENIZER.sot_prev, begin, WORDS[0], begin, WORDS[1], TOKENIZER.sot],
    ]


def test_a_silent_window_leaves_the_prompt_for_the_next():
    network, _ = run(90, silent=0, condition_on_previous_text=False, initial_prompt="zero")
    prompted = [TOKENIZER.sot_prev, *TOKENIZER.encode(" zero"), TOKENIZER.sot]
    assert network.prompts == [prompted, prompted, [TOKENIZER.sot]]


def test_without_conditioning_only_the_first_window_has_a_prompt():
    network, transcript = run(70, condition_on_previous_text=False, initial_prompt="zero")
    prompt = TOKENIZER.encode(" zero")
    assert network.prompts[0] == [TOKENIZER.sot_prev, *prompt, TOKENIZER.sot]
    assert network.prompts[1:] == [[TOKENIZER.sot]] * 2
    assert transcript.text == " one two three"  # the prompt is not part of it


def test_silence_is_skipped():
    _, transcript = run(90, silent=1)
    assert transcript.text == " one three"
    assert [s.id for s in transcript.segments] == [0, 1]


def test_silence_is_kept_when_the_rule_is_off_or_the_text_is_confident():
    assert run(90, silent=1, no_speech_threshold=None)[1].text == " one two three"
    assert run(90, silent=1, logprob_threshold=-100.0)[1].text == " one two three"


def test_empty_recording_has_no_segments():
    transcript = run(0)[1]
    assert (transcript.text, transcript.segments, transcript.language) == ("", (), "en")


@pytest.mark.parametrize(
    "option",
    [
        {"append_punctuations": "."},
        {"prepend_punctuations": "("},
        {"hallucination_silence_threshold": 2.0},
    ],
)
def test_options_of_words_are_refused_without_words(option):
    with pytest.raises(OptionError, match=f"without word_timestamps.*{next(iter(option))}"):
        run(1, **option)


def test_words_without_alignment_heads_are_refused():
    with pytest.raises(OptionError, match="alignment heads"):
        run(1, word_timestamps=True)


def test_only_these_windows_are_read():
    _, transcript = run(100, clip_timestamps="10,20,50,200")
    assert [(s.start, s.end) for s in transcript.segments] == [(10, 20), (50, 80), (80, 100)]


def test_a_clip_after_the_end_is_not_read():
    assert run(30, clip_timestamps=(40.0, 50.0))[1].segments == ()


def test_a_window_that_does_not_move_on_is_left(monkeypatch):
    """A word may end within half a frame after the window's start: the loop would never end."""
    from maxwhisper.transcribe import sequential

    def stay(result, window, tokenizer, first_id):
        return window_segments(result, window, tokenizer, first_id)[0], window.seek

    monkeypatch.setattr(sequential, "window_segments", stay)
    assert [s.start for s in run(70)[1].segments] == [0, 30, 60]


@pytest.mark.parametrize(
    "option", [{"task": "dance"}, {"sample_len": 0}, {"max_initial_timestamp": -1.0}]
)
def test_impossible_values_are_refused(option):
    with pytest.raises(OptionError, match=next(iter(option))):
        run(1, **option)


@pytest.mark.parametrize("option", [{"language": "de"}, {"task": "translate"}])
def test_an_english_only_network_refuses_other_languages(option):
    with pytest.raises(OptionError, match="English-only"):
        run(1, **option)


def test_english_by_name_is_answered_by_code():
    assert run(1, language="English")[1].language == "en"


def test_windows_are_padded_with_zeros_not_silence():
    mel = np.full((3100, 80), -0.5, np.float32)
    window = padded_window(mel, Window(50, 1000))
    assert window.shape == (3000, 80)
    assert (window[:1000] == -0.5).all()
    assert not window[1000:].any()
