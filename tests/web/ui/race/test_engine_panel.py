"""A lane while its engine runs: text that may change, how it comes, and whose turn is next."""

import pytest

from maxwhisper.options import GREEDY, TranscribeOptions
from maxwhisper.web.ui.race.engine_panel import EnginePanel, arrival, panel_html


def test_text_that_may_change_is_shown_after_what_is_final_and_is_not_read_aloud():
    panel = EnginePanel("maxwhisper", texts=[(0.0, " The end.")], partial="a <b>new")
    panel.start("running")
    html = panel_html(panel)
    assert '<p class="partial">a &lt;b&gt;new</p>' in html
    assert html.index("The end.") < html.index("a &lt;b&gt;new")
    assert 'aria-live="off"' in html
    panel.phase = "done"
    assert "aria-live" not in panel_html(panel)


def test_a_running_lane_says_how_its_text_comes_and_when_its_turn_began():
    panel = EnginePanel("faster-whisper", arrival=arrival("faster-whisper", GREEDY))
    panel.start("round 1 of 2")
    panel.elapsed_s = 1.25
    html = panel_html(panel)
    assert "round 1 of 2" in html
    assert "Text arrives segment by segment." in html
    assert 'data-turn="1" data-elapsed="1.25"' in html
    assert "Transcribing…" in html
    panel.seconds = (2.0,)
    panel.start("round 2 of 2")
    html = panel_html(panel)
    assert "Text arrives" not in html, "later rounds send no text"
    assert 'data-turn="2" data-elapsed="0.0"' in html
    panel.phase = "done"
    assert "ticking" not in panel_html(panel)


@pytest.mark.parametrize(
    ("engine", "options", "by"),
    [
        ("maxwhisper", GREEDY, "token"),
        ("openai-whisper", GREEDY, "token"),
        ("faster-whisper", GREEDY, "segment"),
        ("maxwhisper", GREEDY.changed({"beam_size": 5}), "token"),
        ("openai-whisper", GREEDY.changed({"beam_size": 5}), "segment"),
        ("openai-whisper", TranscribeOptions(temperature=0.5), "token"),
        ("openai-whisper", TranscribeOptions(temperature=0.5, best_of=5), "segment"),
    ],
)
def test_how_text_comes(engine, options, by):
    assert arrival(engine, options) == f"Text arrives {by} by {by}."


def test_who_waits_has_a_place():
    panel = EnginePanel("maxwhisper", "waiting")
    assert panel.progress == "waiting"
    panel.place, panel.rounds = 2, 3
    assert panel.progress == "Waiting its turn: 2nd"
    panel.seconds = (1.0,)
    assert panel.progress == "1 of 3 rounds"
