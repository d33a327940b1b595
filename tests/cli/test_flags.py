"""What a command line asks for: flags as options, in this process and without engines."""

from dataclasses import fields, replace

import pytest

from maxwhisper import cli
from maxwhisper.cli import flags
from maxwhisper.cli.transcribe import mode_of
from maxwhisper.errors import OptionError
from maxwhisper.options import (
    PAUSES,
    LineOptions,
    TranscribeOptions,
    VadOptions,
    WindowOptions,
)
from maxwhisper.options.info import options_of
from maxwhisper.text import writers


def parse(*arguments):
    return flags.options_from(cli.build_parser().parse_args(["transcribe", "x", *arguments]))


def test_every_option_has_a_flag_and_the_defaults_are_the_options():
    assert parse() == TranscribeOptions()


def test_every_line_option_has_a_flag():
    given = vars(cli.build_parser().parse_args(["transcribe", "x"]))
    assert {field.name for field in fields(LineOptions)} < set(given)
    arguments = ["transcribe", "x", "--max_line_width", "42", "--highlight_words", "True"]
    lines = flags.line_options_from(cli.build_parser().parse_args(arguments))
    assert lines == LineOptions(highlight_words=True, max_line_width=42)


@pytest.mark.parametrize(
    ("command", "names"), [("transcribe", ["batch_size", "vad"]), ("batch", ["batch_size"])]
)
def test_flags_of_windows_are_described_by_the_options(command, names, capsys):
    with pytest.raises(SystemExit):
        cli.build_parser().parse_args([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for name in names:
        assert options_of(WindowOptions)[name].info.help in shown


def test_flags_become_values_of_the_right_type():
    options = parse(
        *["--language", "German", "--beam_size", "5", "--patience", "1.5"],
        *["--suppress_tokens", "-1", "--condition_on_previous_text", "False"],
        *["--logprob_threshold", "None", "--clip_timestamps", "0,5.5", "--sample_len", "32"],
    )
    assert (options.language, options.beam_size, options.patience) == ("German", 5, 1.5)
    assert options.suppress_tokens == "-1"
    assert options.condition_on_previous_text is False
    assert options.logprob_threshold is None
    assert options.clip_timestamps == "0,5.5"
    assert options.sample_len == 32


def test_temperatures():
    assert parse("--temperature", "0.4").temperature == 0.4
    assert parse("--temperature", "0,0.5").temperature == (0.0, 0.5)
    ladder = parse("--temperature_increment_on_fallback", "0.2").temperature
    assert ladder == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    with pytest.raises(OptionError, match="temperature"):
        parse("--temperature", "-1")


def test_a_language_is_looked_up_before_a_model_is_loaded():
    assert parse("--language", "GERMAN").language == "GERMAN"
    with pytest.raises(OptionError, match="unknown language 'Germn': did you mean german"):
        parse("--language", "Germn")
    with pytest.raises(OptionError, match="unknown language 'Klingon': use a code"):
        parse("--language", "Klingon")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "00:00.000"), (83.5, "01:23.500"), (3725.0004, "01:02:05.000")]
)
def test_clock_time(seconds, text):
    assert writers.clock_time(seconds) == text


def test_batches_and_voice_activity_reach_the_engine():
    def asked(*flags):
        return mode_of(cli.build_parser().parse_args(["transcribe", "a.wav", *flags]))

    assert asked() == {}
    assert asked("--vad") == {"vad": True}
    assert asked("--batch_size", "4") == {"batch_size": 4, "vad": True}
    how = ("--vad_threshold", "0.7", "--vad_neg_threshold", "None")
    assert asked("--vad", *how) == {"vad": VadOptions(threshold=0.7)}
    assert asked("--batch_size", "4", *how)["vad"] == replace(PAUSES, threshold=0.7)
    with pytest.raises(OptionError, match="--vad_threshold, --vad_neg_threshold: no effect"):
        asked(*how)
    with pytest.raises(OptionError, match="threshold must be between 0 and 1, got 2"):
        asked("--vad", "--vad_threshold", "2")
