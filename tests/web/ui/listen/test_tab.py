"""The Listen & diff tab as HTML: words with times, flags, one sentence before any run."""

import re
from dataclasses import replace

import msgspec
import pytest

from maxwhisper.options import TranscribeOptions
from maxwhisper.text.wer import NOTHING_SAID
from maxwhisper.transcript import Segment, Transcript
from maxwhisper.web.ui.listen.confidence import (
    REPEATS,
    SILENCE,
    UNSURE,
    flags_of,
    legend_html,
    segments_html,
)
from maxwhisper.web.ui.listen.karaoke import ESTIMATED, MEASURED, karaoke_html
from maxwhisper.web.ui.listen.tab import comparison_html, player_html, words_html
from tests.fakes.runs import make_run, result, transcript

EVIL = "<script>alert(1)</script>"
OPTIONS = TranscribeOptions()
SURE = Segment(0, 0, 0.0, 1.0, " word", (1,), 0.0, -0.2, 1.2, 0.01)


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({}, []),
        ({"no_speech_prob": 0.61}, [SILENCE]),
        ({"avg_logprob": -1.01}, [UNSURE]),
        ({"compression_ratio": 2.41}, [REPEATS]),
        ({"no_speech_prob": 0.9, "avg_logprob": -2.0}, [SILENCE, UNSURE]),
        ({"no_speech_prob": 0.6, "avg_logprob": -1.0, "compression_ratio": 2.4}, []),
    ],
)
def test_flags_follow_the_thresholds(changes, flags):
    assert flags_of(replace(SURE, **changes), OPTIONS) == flags


def test_a_threshold_that_is_off_raises_no_flag_and_says_so():
    off = replace(OPTIONS, no_speech_threshold=None)
    assert flags_of(replace(SURE, no_speech_prob=1.0), off) == []
    assert "off in this run" in legend_html(off)
    assert "above 0.6" in legend_html(OPTIONS)


def test_the_table_has_every_segment_and_counts_the_flagged():
    shaky = replace(SURE, text=f" {EVIL}", avg_logprob=-1.5)
    page = segments_html(EVIL, [SURE, shaky], OPTIONS)
    assert "2 segments, 1 flagged" in page
    assert page.count("<tr>") == 3
    assert "<td>-1.50</td>" in page
    assert "<script" not in page


def test_silence_says_so():
    nothing = Transcript("", "en", (), 2.0)
    assert "No speech found." in karaoke_html("maxwhisper", nothing, OPTIONS)
    assert "no speech found" in segments_html("maxwhisper", (), OPTIONS)
    silent = replace(result("maxwhisper", []), transcript=nothing)
    run = make_run(results=(result("openai-whisper", ["hello"]), silent), reference="")
    assert "maxwhisper found no speech" in comparison_html(run)
    assert "no two texts to compare" in comparison_html(run)


def test_every_word_carries_its_time():
    page = karaoke_html("maxwhisper", transcript(["one two"]), OPTIONS)
    times = re.findall(r'data-from="([\d.]+)" data-to="([\d.]+)">(\w+)<', page)
    assert times == [("0.00", "1.00", "one"), ("1.00", "2.00", "two")]
    assert MEASURED in page


def test_estimated_times_are_said_to_be_estimated():
    heard = transcript(["one two"])
    bare = replace(heard, segments=tuple(replace(s, words=()) for s in heard.segments))
    page = karaoke_html("maxwhisper", bare, OPTIONS)
    assert ESTIMATED in page
    assert MEASURED not in page


def test_what_was_said_is_the_first_row_where_it_is_known():
    run = make_run(texts=("the quick brown", "fox"), reference="The quick brown dog.")
    page = comparison_html(run)
    line = "<strong>maxwhisper</strong> against the correct transcript: 1 difference: 1 replaced"
    assert line in page
    assert "against openai-whisper: the same words" in comparison_html(
        msgspec.structs.replace(run, reference="")
    )


def test_that_nobody_speaks_is_no_row_of_words():
    page = comparison_html(make_run(texts=("you",), reference=NOTHING_SAID))
    assert "correct transcript" not in page
    assert "against openai-whisper: the same words" in page


def test_a_translation_from_a_language_without_spaces_keeps_its_words_whole():
    heard = replace(transcript(["good morning"]), language="zh")
    bare = replace(heard, segments=tuple(replace(s, words=()) for s in heard.segments))
    lane = karaoke_html("maxwhisper", bare, replace(OPTIONS, task="translate"))
    assert re.findall(r">([^<>]+)</span>", lane) == ["good", "morning"]
    results = tuple(replace(r, transcript=heard) for r in make_run().results)
    options = TranscribeOptions(task="translate")
    page = comparison_html(make_run(results=results, reference="good evening", options=options))
    assert "1 difference: 1 replaced" in page


def test_nothing_from_outside_is_markup():
    texts = (f"{EVIL} \"quoted\" 'words'", "{{value}} ${value} `x`")
    run = make_run(texts=texts, reference=f"{EVIL} said", audio_name=EVIL)
    page = player_html(run) + words_html(run)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
