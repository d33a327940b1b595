"""What a command line may look like, and what its errors name."""

import argparse
import importlib
import inspect
import re
from pathlib import Path

import pytest

from maxwhisper import __version__
from maxwhisper.cli import build_parser, main
from maxwhisper.cli.foreign_flags import FOREIGN_FLAGS

PAGE = Path(__file__).parents[2] / "docs" / "command_line.md"


def parse(*words):
    return build_parser().parse_args(words)


def refused(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        parse(*words)
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    "words",
    [
        ["talk.mp3"],
        ["--beam_size", "5", "talk.mp3"],
        ["folder/talk"],
        ["*.mp3"],
        ["-"],
        ["tests"],  # a folder that is here
        ["--", "bench"],
    ],
    ids=" ".join,
)
def test_without_a_command_recordings_are_transcribed(words, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    args = parse(*words)
    assert args.command.__name__ == "transcribe"
    assert args.files == words[-1:]


def test_a_command_comes_before_a_file_of_its_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("bench").touch()
    assert parse("bench").command.__name__ == "bench"
    assert parse("./bench").files == ["./bench"]


def test_files_may_stand_between_flags():
    args = parse("a.mp3", "--beam-size", "5", "b.mp3", "--vad", "c.mp3")
    assert args.files == ["a.mp3", "b.mp3", "c.mp3"]
    assert (args.beam_size, args.vad) == (5, True)
    assert parse("bench", "--rounds", "2", "talk", "1s").clips == ["talk", "1s"]


def test_flags_may_have_hyphens_but_values_and_files_are_left_alone():
    args = parse("transcribe", "--output-dir=my-folder", "--initial-prompt", "a-b", "--", "--c-d")
    assert (str(args.output_dir), args.initial_prompt) == ("my-folder", "a-b")
    assert args.files == ["--c-d"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("cuda", "gpu"),
        ("cuda:1", "gpu:1"),
        ("gpu", "gpu"),
        ("cpu", "cpu"),
        ("cuda:sm_90a", "cuda:sm_90a"),  # a target of `compile`
    ],
)
def test_cuda_is_a_gpu(text, value):
    assert parse("compile", "--device", text).device == value


@pytest.mark.parametrize("words", [["--word_timestamps"], ["--word_timestamps", "true"]])
def test_a_switch_needs_no_value(words):
    assert parse("a.mp3", *words).word_timestamps is True


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["a.mp3", "--beem-size", "5"], "no flag --beem_size: did you mean --beam_size?"),
        (["a.mp3", "--zzz"], "error: no flag --zzz (see --help)"),
        (["bensh"], "got 'bensh': did you mean bench?"),
        (["a.mp3", "--engine", "faster_whisper"], "did you mean faster-whisper?"),
        (["a.mp3", "-f", "srt,jsn"], "got 'jsn': did you mean json?"),
        (["a.mp3", "--vad_filter", "True"], "no flag --vad_filter: use --vad"),
        (["a.mp3", "--compute-type=int8"], "no flag --compute_type: use --dtype"),
        (["models", "shwo"], "did you mean show?"),
        (["bench", "--enginez", "x"], "did you mean --engines?"),
    ],
)
def test_errors_name_what_was_meant(capsys, words, complaint):
    assert complaint in refused(capsys, *words)


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"maxwhisper {__version__}\n"


def flags_of(parser):
    return {name for action in parser._actions for name in action.option_strings}


def our_flags():
    (commands,) = (
        action
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return flags_of(commands.choices["transcribe"]) | flags_of(build_parser())


def rows():
    """(their flag, is it openai-whisper's, is it whisper-ctranslate2's, ours) of the table."""
    for line in PAGE.read_text().splitlines():
        if line.startswith("| `-"):
            theirs, openai, ctranslate2, ours = map(str.strip, line.strip("|").split("|"))
            for flag in re.findall(r"`(-[^` ]+)`", theirs):
                yield flag, openai == "yes", ctranslate2 == "yes", ours


def test_the_table_has_every_flag_of_openai_whisper():
    """Its parser is inside the function: the calls are read from the source."""
    source = inspect.getsource(importlib.import_module("whisper.transcribe").cli)
    calls = re.findall(r'add_argument\(((?:"-[^"]+", ?)+)', source)
    theirs = {flag for call in calls for flag in re.findall(r'"(-[^"]+)"', call)}
    assert len(theirs) > 30
    assert {flag for flag, openai, _, _ in rows() if openai} == theirs


# Those of whisper-ctranslate2 0.5.8, from the calls of `add_argument` in its commandline.py.
CTRANSLATE2_FLAGS = """
    --append_punctuations --batch_size --batched --beam_size --best_of --compression_ratio_threshold
    --compute_type --condition_on_previous_text --device --device_index
    --hallucination_silence_threshold --hf_token --highlight_words --hotwords --initial_prompt
    --language --length_penalty --live_input_device --live_input_device_sample_rate
    --live_transcribe --live_volume_threshold --local_files_only --logprob_threshold
    --max_line_count --max_line_width --max_words_per_line --model --model_dir --model_directory
    --multilingual --no_repeat_ngram_size --no_speech_threshold --output_dir --output_format
    --patience --prefix --prepend_punctuations --pretty_json --print_colors
    --prompt_reset_on_temperature --repetition_penalty --speaker_name --speaker_num --suppress_blank
    --suppress_tokens --task --temperature --temperature_increment_on_fallback --threads
    --vad_filter --vad_max_speech_duration_s --vad_min_silence_duration_ms
    --vad_min_speech_duration_ms --vad_threshold --verbose --version --word_timestamps -f -o -p
"""


def test_the_table_has_every_flag_of_whisper_ctranslate2():
    assert {flag for flag, _, ctranslate2, _ in rows() if ctranslate2} == {
        *CTRANSLATE2_FLAGS.split()
    }


def test_the_table_says_what_the_command_line_does(capsys):
    """A flag that the row calls the same is ours; the errors for the others are in their rows."""
    ours, seen = our_flags(), set()
    for flag, _, _, cell in rows():
        assert flag not in seen
        seen.add(flag)
        if cell.startswith("the same"):
            assert flag in ours, flag
        else:
            assert flag not in ours, flag
            assert FOREIGN_FLAGS[flag] in cell, flag
            assert FOREIGN_FLAGS[flag] in refused(capsys, "a.mp3", flag, "1")
    assert {flag for flag in FOREIGN_FLAGS if flag not in seen} == {
        "--log_prob_threshold",  # names of faster-whisper's library
        "--max_new_tokens",
    }


def test_advice_names_flags_that_exist():
    live = {"--vad_threshold"}
    for advice in FOREIGN_FLAGS.values():
        for flag in re.findall(r"use (--[a-z_]+)", advice):
            assert flag in our_flags() | live, advice
