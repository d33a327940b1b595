"""The Live tab's transcript: final and tentative words look different, and nothing is markup."""

from maxwhisper.web.server.live_session import LiveView
from maxwhisper.web.ui.live.tab import live_html

EVIL = "<img src=x onerror=alert(1)>"


def test_tentative_words_are_marked_in_words_too():
    page = live_html(LiveView("listening", " so far", " maybe", 30.0, 1.25, 0.5, left_s=90.0))
    assert 'so far <i class="tentative"><span class="sr">not final: </span>maybe</i>' in page
    assert "<dd>● listening</dd>" in page
    assert "<dd>1.2 s</dd>" in page
    assert "<dd>2.0× real time</dd>" in page
    assert "<dd>1:30</dd>" in page  # left of two minutes


def test_everything_is_escaped():
    page = live_html(LiveView("over", EVIL, EVIL, note=EVIL))
    assert "<img" not in page
    assert page.count("&lt;img") == 3


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
