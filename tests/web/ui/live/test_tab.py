"""The Live tab's text: final and tentative words look different, nothing is markup, and what is
saved has the right times."""

import re
from types import SimpleNamespace

import pytest

from maxwhisper.engines.status import Status
from maxwhisper.transcript import Word
from maxwhisper.web.server.live_session import LiveView
from maxwhisper.web.ui.live.tab import offered_languages
from maxwhisper.web.ui.live.transcript import live_html, saved_html, subtitles, text

EVIL = "<img src=x onerror=alert(1)>"


def said(words, received_s):
    """An ended session with a word each half second."""
    parts = [f" {word}" for word in words.split()]
    timed = (Word(part, n / 2, (n + 1) / 2, 0.9) for n, part in enumerate(parts))
    return LiveView("over", "".join(parts), received_s=received_s, words=tuple(timed))


def test_tentative_words_are_marked_in_words_too():
    view = LiveView("listening", " so far", " maybe", 30.0, 1.25, 0.84, left_s=90.0)
    page = live_html(view)
    assert 'so far <i class="tentative"><span class="sr">not final: </span>maybe</i>' in page
    assert "<dd>● listening</dd>" in page
    assert "<dd>1.2 s</dd>" in page
    assert "<dt>words final after</dt><dd>0.8 s</dd>" in page
    assert "<dd>1:30</dd>" in page  # left of two minutes


def test_everything_is_escaped():
    view = LiveView("over", EVIL, EVIL, note=EVIL)
    page = live_html(view, [view])
    assert "<img" not in page + saved_html([view])
    assert page.count("&lt;img") == 4


def test_before_speech_and_without_it():
    assert "Your words appear here" in live_html(None)
    assert "Waiting for speech." in live_html(LiveView("listening"))
    assert "No speech found." in live_html(LiveView("over"))


def test_a_long_lag_fills_the_meter_and_no_more():
    page = live_html(LiveView("waiting", lag_s=99.0))
    assert 'aria-valuenow="10.0"' in page
    assert "width: 100%" in page
    assert "99.0 s" in page
    assert "waiting for a race" in page


def test_a_place_in_line_is_told_with_the_longest_wait():
    page = live_html(LiveView("in line", left_s=93.6, place=2))
    assert "You are 2nd in line; free in at most 94 s." in page
    assert 'class="live in-line"' in page
    assert "Waiting for speech." not in page
    places = [live_html(LiveView("in line", place=n)) for n in (3, 4, 11)]
    found = [re.search(r"You are (\w+) in line", place)[1] for place in places]
    assert found == ["3rd", "4th", "11th"]


def test_earlier_text_stands_above_and_is_saved_with_it():
    first, empty, now = said("one two", 4.0), LiveView("over", received_s=2.0), said("three", 1.0)
    page = live_html(now, [first])
    assert page.index("one two") < page.index("three")
    assert text([first, empty, now]) == "one two\nthree\n"
    cues = subtitles([first, empty, now])
    assert cues == (
        "1\n00:00:00,000 --> 00:00:01,000\none two\n\n2\n00:00:06,000 --> 00:00:06,500\nthree\n\n"
    )
    saved = saved_html([first, empty, now])
    assert '<pre class="txt" hidden>one two\nthree\n</pre>' in saved
    assert "00:00:06,000 --&gt; 00:00:06,500" in saved


def test_subtitles_are_short_and_end_with_a_sentence_or_a_session():
    words = " ".join(f"word{n}" for n in range(60)) + " Done. Next"
    cues = subtitles([said(words, 31.0), said("again", 0.5)]).strip().split("\n\n")
    lines = [line for cue in cues for line in cue.split("\n")[2:]]
    assert max(len(cue.split("\n")) for cue in cues) <= 5
    assert max(map(len, lines)) <= 42
    assert " ".join(lines) == f"{words} again"
    assert [cue.split("\n")[-1] for cue in cues[-2:]] == ["Next", "again"]
    assert cues[-3].endswith(" Done.")


@pytest.mark.parametrize(
    ("model", "chosen", "value", "n_choices"),
    [("demo", "de", "en", 1), ("tiny", "de", "de", 100), ("tiny.en", "", "en", 1)],
)
def test_only_languages_of_the_weights_are_offered(model, chosen, value, n_choices):
    """Those that our engine has now, which may not be the default of the next race."""
    statuses = {"maxwhisper": Status("ready", model=model)}
    pool = SimpleNamespace(statuses=lambda: statuses, default_model="base")
    offered = offered_languages(pool, chosen)
    assert (offered["value"], len(offered["choices"])) == (value, n_choices)
    assert offered["interactive"] == (n_choices > 1)


def test_a_pause_begins_a_subtitle():
    view = LiveView("over", words=(Word(" a", 0.0, 0.5, 1.0), Word(" b", 1.6, 2.0, 1.0)))
    assert subtitles([view]).count("-->") == 2
