"""Pieces of the page as HTML: nothing an engine says is markup, and grey is not green."""

import pytest

from maxwhisper.engine import EngineInfo
from maxwhisper.engines.race import EngineResult
from maxwhisper.engines.status import Status
from maxwhisper.evaluation.selftest.result import CheckResult
from maxwhisper.transcript import Transcript
from maxwhisper.web.ui.components.tab import ALL, MARK_PERCENT, Board, bar_percent, board_html
from maxwhisper.web.ui.header import strip_html
from maxwhisper.web.ui.race.engine_panel import EnginePanel, panel_html
from maxwhisper.web.ui.race.verdict import Score
from maxwhisper.web.ui.wording import status_note

EVIL = "<img src=x onerror=alert(1)>"
CATALOGUE = (("log-mel", "audio", "Mel."), ("encoder", "network", "Window."))
MACHINE = {
    "cpu": "Test CPU",
    "threads": 2,
    "gpus": [],
    "versions": {"max": "26.7.0", "torch": "2.13.0", "ctranslate2": None},
    "commit": "0123456789abcdef",
}


def test_lane_escapes_everything():
    page = panel_html(EnginePanel(EVIL, "running", EVIL, [(0.0, EVIL)]))
    assert "<img" not in page
    assert page.count("&lt;img") >= 3


def test_lane_shows_a_dash_before_and_a_range_after():
    assert "<dd>–</dd>" in panel_html(EnginePanel("maxwhisper"))
    lane = panel_html(EnginePanel("maxwhisper", seconds=(1.0, 4.0, 2.0)))
    assert "<dd>2.00</dd>" in lane
    assert "<dd>3 <small>1.00–4.00 s</small></dd>" in lane


@pytest.mark.parametrize(
    ("seconds", "shown"), [(2.0, "15.0"), (0.301, "99.7"), (0.3001, "100"), (0.25, "120")]
)
def test_lane_shows_a_tenth_of_an_rtfx_below_a_hundred(seconds, shown):
    result = EngineResult("maxwhisper", Transcript("", "en", (), 30.0), (seconds,))
    lane = panel_html(EnginePanel("maxwhisper", score=Score(result, None, None)))
    assert f"<dt>RTFx</dt><dd>{shown}</dd>" in lane


def test_no_lane_shows_sixty_seconds():
    assert "<time>1:00.0</time>" in panel_html(
        EnginePanel("maxwhisper", "done", texts=[(59.96, "x")])
    )


def test_lane_without_speech_says_so_and_a_flood_is_cut():
    assert "No speech found." in panel_html(EnginePanel("maxwhisper", "done"))
    flood = panel_html(EnginePanel("maxwhisper", "done", texts=[(0.0, "x" * 15_000)] * 100))
    assert len(flood) < 25_000
    assert "The rest is not shown." in flood


@pytest.mark.parametrize(
    ("status", "note"),
    [
        (Status("ready"), "ready"),
        (Status("unavailable", "no GPU"), "unavailable: no GPU"),
        (Status("loading", "compiling graphs: 41 s"), "loading: compiling graphs: 41 s"),
        (Status("crashed", "crashed, restarting"), "crashed, restarting"),
        (Status("starting"), "starting"),
    ],
)
def test_status_in_words(status, note):
    assert status_note(status) == note


def test_header_gives_device_reason_and_each_engines_state():
    info = EngineInfo("maxwhisper", "max 26.7", "tiny", "cpu", "no GPU was found", "float32")
    statuses = {
        "maxwhisper": Status("ready", info=info, cold_s=2.0, warm_s=1.0),
        "other": Status("unavailable", EVIL),
    }
    strip = strip_html(statuses, MACHINE, n_waiting=2)
    assert "Test CPU, 2 threads · tiny model · CPU (no GPU was found) · float32" in strip
    assert "MAX 26.7.0 · PyTorch 2.13.0 · CTranslate2 not installed" in strip
    assert "commit 0123456789" in strip
    assert '<span class="waiting">2 waiting</span>' in strip
    assert '<span class="device">Test CPU · tiny model · CPU</span>' in strip, (
        "one line, no reasons"
    )
    assert "max 26.7" in strip
    assert "2.0 s" not in strip, "seconds of a warm-up on silence say nothing of a race"
    assert "<em>warm</em>" in strip
    assert "unavailable: &lt;img" in strip


def test_header_says_where_the_weights_come_from():
    info = EngineInfo("maxwhisper", "max 26.7", "base", "cpu", "no GPU", "float32", "our cache")
    strip = strip_html({"maxwhisper": Status("ready", info=info)}, MACHINE, n_waiting=0)
    assert "base model (our cache) · CPU (no GPU) · float32" in strip


def test_header_names_the_driver_and_says_when_the_queue_is_empty():
    gpu = {"name": "A GPU", "driver_version": "570.1", "memory.total": "1"}
    strip = strip_html({}, {**MACHINE, "gpus": [gpu], "commit": None}, n_waiting=0)
    assert "A GPU (driver 570.1)" in strip
    assert "commit unknown" in strip
    assert "queue empty" in strip


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (Status("loading", "compiling graphs: 41 s"), "compiling"),
        (Status("loading", "reading demo"), "loading"),
        (Status("warming", "first inference"), "warming"),
    ],
)
def test_header_says_in_a_word_what_is_waited_for(status, word):
    assert f"<em>{word}</em>" in strip_html({"maxwhisper": status}, MACHINE, n_waiting=0)


def test_board_is_grey_until_a_check_has_run():
    board = Board(CATALOGUE, commit="0123456789abcdef")
    assert board_html(board).count('class="check not-run"') == 2
    assert "passed" not in board_html(board).replace("0/2 passed", "")
    board.record(CheckResult("log-mel", "audio", "passed", 1e-7, 1e-4, 3.0, "cpu", EVIL))
    page = board_html(board, pending=["encoder"])
    assert "on cpu · commit 0123456789 · 20" in page
    assert 'class="check passed"' in page
    assert 'class="check running"' in page
    assert "1/2 passed · 1 not run · 0.0 s" in page
    assert "<img" not in page


def test_board_counts_a_check_that_could_not_run_as_failed():
    board = Board(CATALOGUE)
    board.record(CheckResult("encoder", "network", "error", None, None, 0.0, "cpu", "no such op"))
    assert "0/2 passed · 1 failed · 1 not run" in board_html(board)
    assert 'class="check error"' in board_html(board)


def test_board_sums_up_in_a_line_and_in_colour():
    board = Board(CATALOGUE)
    for name, ms in (("log-mel", 400.0), ("encoder", 10_000.0)):
        board.record(CheckResult(name, "network", "passed", 1e-7, 1e-4, ms, "cpu"))
    assert '<p class="summary passed" role="status">2/2 passed · 10.4 s</p>' in board_html(board)
    board.record(CheckResult("encoder", "network", "failed", 1.0, 1e-4, 1.0, "cpu"))
    assert '<p class="summary failed" role="status">1/2 passed · 1 failed · 0.4 s<' in (
        board_html(board)
    )


def test_board_forgets_the_results_of_another_network():
    board = Board(CATALOGUE)
    board.record(CheckResult("encoder", "network", "passed", 1e-7, 1e-4, 1.0, "cpu"))
    board.expose_to("weight")
    assert board.results == {}
    assert "one weight of the encoder is 25 % too large, in a copy" in board_html(board)
    board.record(CheckResult("encoder", "network", "failed", 1.0, 1e-4, 1.0, "cpu"))
    board.expose_to("weight")
    assert set(board.results) == {"encoder"}
    board.expose_to("")
    assert board.results == {}
    assert "Broken" not in board_html(board)


def test_board_selects_by_group():
    assert Board(CATALOGUE).names(ALL) == ["log-mel", "encoder"]
    assert Board(CATALOGUE).names("network") == ["encoder"]
    assert Board(CATALOGUE).names("log-mel") == ["log-mel"]
    assert Board(CATALOGUE).names("/etc/passwd") == []


@pytest.mark.parametrize(
    ("error", "tolerance", "percent"),
    [
        (1e-4, 1e-4, MARK_PERCENT),
        (1e-7, 1e-4, MARK_PERCENT / 2),
        (1e-3, 1e-4, 100),
        (1, 1e-4, 100),
        (1e-12, 1e-4, 0),
        (0, 0, 0),
        (1, 0, 100),
    ],
)
def test_error_bar_is_logarithmic(error, tolerance, percent):
    assert bar_percent(error, tolerance) == pytest.approx(percent)


def test_error_bar_of_nan_is_full():
    assert bar_percent(float("nan"), 1e-4) == 100
