"""What is compared: option sets, checkpoints, clips."""

from types import SimpleNamespace

import pytest

from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.parity import cases
from maxwhisper.evaluation.parity.cases import MULTILINGUAL_SETS, OPTION_SETS
from maxwhisper.options import GREEDY
from tests.fakes.audio_files import tone, wav
from tests.fakes.parity import SUBJECT, TRANSCRIPT, record_of


def test_option_sets():
    assert len(OPTION_SETS) >= 20
    english = SUBJECT.option_sets()
    assert set(english) == set(OPTION_SETS)
    multilingual = cases.load_subject("v3")
    assert set(multilingual.option_sets()) == set(OPTION_SETS) | set(MULTILINGUAL_SETS)
    assert multilingual.option_sets()["greedy"].sample_len == 64
    assert multilingual.option_sets()["10 tokens a window"].sample_len == 10
    assert cases.load_subject("multilingual").checkpoint.dims.num_languages == 99
    assert english["greedy"] == GREEDY
    assert set(cases.MEANT_REFUSALS) <= set(OPTION_SETS)
    sets = list(english.values())
    assert all(sets.count(options) == 1 for options in sets), "one set twice under two names"
    with pytest.raises(OptionError, match="unknown checkpoint"):
        cases.load_subject("large")
    with pytest.raises(OptionError, match="no option set called sideways"):
        record_of(TRANSCRIPT, option_sets=["sideways"])


def test_turbo_is_not_asked_to_translate():
    turbo = SimpleNamespace(dims=OFFICIAL_MODELS["turbo"].dims)
    sets = cases.Subject("turbo", turbo).option_sets()
    left_out = (set(OPTION_SETS) | set(MULTILINGUAL_SETS)) - set(sets)
    assert left_out == {"translate", "translate from what is detected"}


def test_clips_are_found_and_the_others_named(tmp_path):
    (tmp_path / "deep").mkdir()
    for name, seconds in (("b.wav", 1.0), ("a.wav", 3.0), ("deep/c.wav", 0.5)):
        (tmp_path / name).write_bytes(wav(tone(16_000, seconds)))
    (tmp_path / "notes.txt").write_text("no recording")
    clips, left_out = cases.find_clips(tmp_path, longest_s=2.0)
    assert [(clip.name, clip.audio_s) for clip in clips] == [("b.wav", 1.0), ("deep/c.wav", 0.5)]
    assert list(left_out) == ["a.wav"]
    assert len(cases.find_clips(tmp_path, limit=1)[0]) == 1
    with pytest.raises(OptionError, match="found none"):
        cases.find_clips(tmp_path / "nowhere")
