"""Options: names, impossible values, and what an engine must refuse."""

import dataclasses
import inspect
import typing

import numpy as np
import pytest

from maxwhisper.errors import OptionError
from maxwhisper.options import (
    FASTER,
    OPENAI,
    LineOptions,
    StreamOptions,
    TranscribeChanges,
    TranscribeOptions,
    VadOptions,
    WindowOptions,
)
from maxwhisper.options.info import Allowed, options_of
from maxwhisper.text.languages import language_code


def test_every_option_of_the_reference_is_there():
    from whisper.decoding import DecodingOptions
    from whisper.transcribe import transcribe

    ours = {field.name for field in dataclasses.fields(TranscribeOptions)}
    named = set(inspect.signature(transcribe).parameters) - {"model", "audio", "verbose"}
    decoding = {field.name for field in dataclasses.fields(DecodingOptions)}
    # `prompt` is `initial_prompt` with history, `fp16` is the device's business.
    assert ours >= (named | decoding) - {"decode_options", "prompt", "fp16"}


def test_changes_are_checked_by_name():
    assert TranscribeOptions().changed({"language": "de"}).language == "de"
    with pytest.raises(OptionError, match="no option called langauge"):
        TranscribeOptions().changed({"langauge": "de"})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"best_of": 5, "temperature": 0.0}, "best_of needs a temperature above 0"),
        ({"beam_size": 5, "temperature": 0.5}, "beam_size needs temperature 0"),
        ({"beam_size": 0}, "beam_size"),
        ({"best_of": 0}, "best_of"),
        ({"patience": 1.0}, "patience needs beam_size"),
        ({"beam_size": 1, "patience": 0.5}, "keeps no candidate"),
        ({"beam_size": 2, "patience": 0.0}, "patience must be above 0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size"),
        ({"language_detection_segments": 0}, "language_detection_segments"),
        ({"task": "sing"}, "task must be"),
        ({"sample_len": 0}, "sample_len"),
        ({"length_penalty": 1.5}, "length_penalty"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": ()}, "temperature"),
        ({"temperature": (0.0, float("inf"))}, "temperature"),
        ({"temperature": (0.0, float("nan"))}, "temperature"),
        ({"max_initial_timestamp": -0.1}, "max_initial_timestamp"),
        ({"max_initial_timestamp": float("inf")}, "max_initial_timestamp"),
        ({"compression_ratio_threshold": float("nan")}, "compression_ratio_threshold"),
        ({"logprob_threshold": float("nan")}, "logprob_threshold"),
        ({"no_speech_threshold": float("nan")}, "no_speech_threshold"),
        ({"prompt_reset_on_temperature": float("nan")}, "prompt_reset_on_temperature"),
        ({"beam_size": 2, "patience": float("inf")}, "patience"),
        ({"repetition_penalty": float("inf")}, "repetition_penalty"),
        ({"seed": -1}, "seed"),
        ({"language_detection_threshold": -0.1}, "language_detection_threshold"),
        ({"language_detection_threshold": 1.1}, "language_detection_threshold"),
        ({"hallucination_silence_threshold": -1.0}, "hallucination_silence_threshold"),
        ({"hotwords": "kernel", "prefix": "And so"}, "hotwords and prefix both begin a window"),
    ],
)
def test_impossible_values(changes, reason):
    with pytest.raises(OptionError, match=reason):
        TranscribeOptions(**changes).validate()


@pytest.mark.parametrize(
    "changes",
    [
        {"beam_size": "5"},
        {"beam_size": 2.5},
        {"best_of": True},
        {"language": 5},
        {"task": None},
        {"temperature": None},
        {"temperature": "0"},
        {"temperature": (0.0, None)},
        {"word_timestamps": "False"},  # a text, and true
        {"seed": None},
        {"prompt_reset_on_temperature": None},
        {"initial_prompt": 5},
        {"initial_prompt": (1.5,)},
        {"clip_timestamps": 5},
        {"clip_timestamps": ("1", "2")},
    ],
    ids=str,
)
def test_a_value_of_another_type_is_refused(changes):
    (name,) = changes
    with pytest.raises(OptionError, match=f"{name} must be of type .*, got "):
        TranscribeOptions(**changes).validate()


@pytest.mark.parametrize("name", ["initial_prompt", "prefix", "hotwords"])
@pytest.mark.parametrize("token", ["endoftext", "startoftranscript", "de", "yue", "0.00", "29.98"])
def test_a_special_token_is_no_text(name, token):
    """openai-whisper refuses it, faster-whisper would take it for the token."""
    with pytest.raises(OptionError, match=rf"^{name} must be ordinary text, got .*<\|{token}\|>"):
        TranscribeOptions(**{name: f"Hello <|{token}|> there"}).validate()


@pytest.mark.parametrize("text", ["<|", "a <b> |c|", "<|End|>", "<|0|>", "1 <| 2 |> 3", "\0\x07"])
def test_what_only_looks_like_a_special_token_is_text(text):
    options = TranscribeOptions(initial_prompt=text)
    assert options.validate() is options


@pytest.mark.parametrize("name", ["language", "initial_prompt", "suppress_tokens", "task"])
def test_half_a_character_is_no_text(name):
    with pytest.raises(OptionError, match=rf"^{name} must be Unicode text, got half a character"):
        TranscribeOptions(**{name: "a\ud800b"}).validate()


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "x" * 10_000},
        {"best_of": "x" * 10_000},
        {"temperature": [0.1] * 5_000 + [-1.0]},
        {"beam_size": -(10**5000)},
        {"beam_size": 10**30},
        {"best_of": 10**6, "temperature": 0.5},
        {"seed": 10**30},
        {"temperature": -(10**400)},
        {"initial_prompt": [[[[[["x" * 99] * 9] * 9] * 9] * 9] * 9]},
        {"language": {"x" * 99: "y" * 99}},
    ],
    ids=range(10),
)
def test_a_long_value_is_quoted_shortly(changes):
    with pytest.raises(OptionError) as caught:
        TranscribeOptions(**changes).validate()
    assert len(str(caught.value)) < 140


def test_a_long_language_is_quoted_shortly():
    with pytest.raises(OptionError, match="unknown language 'xxx") as caught:
        language_code("x" * 10_000)
    assert "x" * 50 not in str(caught.value)


def test_the_type_is_said_in_full():
    with pytest.raises(OptionError, match=r"^temperature must be of type float \| tuple\[float, "):
        TranscribeOptions(temperature="0").validate()
    with pytest.raises(OptionError, match=r"^task must be of type str, got None$"):
        TranscribeOptions(task=None).validate()


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 0},
        {"temperature": np.float32(0.5)},
        {"temperature": [0, 0.5]},
        {"beam_size": np.int64(2)},
        {"suppress_tokens": [-1]},
        {"compression_ratio_threshold": None},
        {"clip_timestamps": [1, 2.5]},
    ],
    ids=str,
)
def test_a_value_that_serves_as_well_is_taken(changes):
    TranscribeOptions(**changes).validate()


@pytest.mark.parametrize(
    "changes",
    [
        {"compression_ratio_threshold": -1.0},  # every window falls back
        {"logprob_threshold": 1.0},
        {"no_speech_threshold": -1.0},  # every doubtful window is silence
        {"max_initial_timestamp": 31.0},  # no limit
        {"hallucination_silence_threshold": 0.0},
        {"hotwords": "kernel", "prefix": ""},  # no prefix
    ],
    ids=str,
)
def test_what_the_reference_gives_a_meaning_is_possible(changes):
    assert TranscribeOptions(**changes).validate() == TranscribeOptions(**changes)


def test_unsupported_means_different_from_the_default():
    options = TranscribeOptions(hotwords="kernel")
    options.require_supported(FASTER)
    TranscribeOptions().require_supported(OPENAI)
    message = r"openai-whisper does not support hotwords='kernel' \(it has none\): leave it at None"
    with pytest.raises(OptionError, match=message):
        options.require_supported(OPENAI)


@pytest.mark.parametrize(
    "options",
    [TranscribeOptions, VadOptions, StreamOptions, LineOptions, WindowOptions],
    ids=lambda o: o.__name__,
)
def test_every_option_is_described(options):
    for name, option in options_of(options).items():
        assert option.info.help, name
        assert not option.info.help.endswith("."), name
        option.check(option.default)


def test_the_keywords_for_type_checkers_are_the_options():
    options = {field.name: field.type for field in dataclasses.fields(TranscribeOptions)}
    assert typing.get_type_hints(TranscribeChanges) == options


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        (Allowed(), "be a number"),
        (Allowed(minimum=1), "be at least 1"),
        (Allowed(maximum=2.5), "be at most 2.5"),
        (Allowed(minimum=0, maximum=1), "be between 0 and 1"),
        (Allowed(above=0, is_finite=True), "be above 0 and finite"),
        (Allowed(choices=("a", "b")), "be 'a' or 'b'"),
    ],
    ids=str,
)
def test_what_is_allowed_is_said_in_words(allowed, words):
    assert allowed.words == words
    assert not allowed.includes(float("nan"))


def test_a_long_value_is_quoted_in_part():
    with pytest.raises(OptionError) as caught:
        TranscribeOptions(task="x" * 10_000).validate()
    assert len(str(caught.value)) < 100


def test_as_json():
    assert TranscribeOptions(temperature=(0.0,)).to_dict()["temperature"] == [0.0]
