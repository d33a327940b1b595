"""Empty and lost states in a real browser: no race yet, a reload, a broken connection, Stop,
Delete; and what the figures of a race cost."""

import pytest

from maxwhisper.engines.status import Status
from maxwhisper.web.server import fair_use
from tests.browser.test_page import (
    CUT,
    OVERFLOW,
    RUN_ENABLED,
    WORST_CONTRAST,
    begin_slow_race,
    run_clip,
)
from tests.fakes.runs import make_run, waveform

pytestmark = pytest.mark.browser

# Bytes of scripts and styles as they came over the network, the longest task, and the sum of layout
# shifts without a click before them.
COUNT = """() => {
  window.seen = {task: 0, shift: 0};
  new PerformanceObserver(list => list.getEntries().forEach(entry => {
    window.seen.task = Math.max(window.seen.task, entry.duration);
  })).observe({type: 'longtask', buffered: true});
  new PerformanceObserver(list => list.getEntries().forEach(entry => {
    if (!entry.hadRecentInput) window.seen.shift += entry.value;
  })).observe({type: 'layout-shift', buffered: true});
}"""
BYTES = """() => performance.getEntriesByType('resource')
  .reduce((sum, entry) => sum + entry.transferSize, 0)"""
PLOTLY = """() => performance.getEntriesByType('resource')
  .filter(entry => entry.name.includes('PlotlyPlot')).length"""


def query(page):
    return page.evaluate("new URL(location.href).searchParams.get('run')")


@pytest.mark.parametrize("tab", ["Listen & diff", "Where the time goes"])
def test_a_tab_without_a_race_leads_to_one(open_page, tab):
    page = open_page()
    page.get_by_role("tab", name=tab).click()
    page.get_by_role("button", name="Run one").click()
    page.wait_for_selector("#run:visible")
    page.get_by_role("tab", name=tab).click()
    page.get_by_role("button", name="Open a recorded one").click()
    page.get_by_text("A recorded clip").locator("visible=true").first.wait_for()
    page.wait_for_selector({"Listen & diff": ".diff"}.get(tab, ".engine-stages"))
    assert not page.get_by_role("button", name="Run one").is_visible()
    assert query(page), "the address has the race"


@pytest.fixture
def page(browser, served):
    """A page that may log its aborted requests: it is left and loaded again."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{served[0]}?__theme=light")
    page.get_by_role("button", name="A short clip").wait_for()
    yield page
    context.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_an_engine_that_refuses_the_model_is_named_beside_run(open_page, served, width):
    """While the page is open, and until the engine runs again. Nothing is cut or hard to read."""
    page = open_page(width=width)
    engine = served[2]._engines["faster-whisper"]
    before = engine._status
    engine._status = Status("unavailable", "its model has no tokenizer", model=before.model)
    try:
        hint = page.locator("#model-hint").get_by_text("faster-whisper cannot run demo here:")
        hint.wait_for()
        assert page.get_by_text("The others race without it.").is_visible()
        assert page.evaluate(OVERFLOW) <= 0
        assert page.evaluate(CUT) == []
        ratio, where = page.evaluate(WORST_CONTRAST)
        assert ratio >= 4.5, where
    finally:
        engine._status = before
    hint.wait_for(state="detached")


def test_the_address_keeps_the_race_over_reload_and_back(page):
    assert query(page) is None
    run_clip(page)
    page.wait_for_selector("#share-links .address")
    run_id = query(page)
    assert page.input_value("#share-links .address").endswith(f"?run={run_id}")
    assert "__theme=light" in page.url, "and what else it carried"
    page.reload()
    page.get_by_text("measured on").first.wait_for()
    assert query(page) == run_id
    page.goto("about:blank")
    page.go_back()
    page.wait_for_selector("#share-links .address")
    assert query(page) == run_id


def test_a_race_goes_on_over_a_reload_and_may_still_be_stopped(page, served):
    begin_slow_race(page)
    page.reload()
    page.wait_for_selector(".engine-panel.running .words time")
    assert served[2].is_busy
    page.click("#stop")
    page.wait_for_selector(".engine-panel.stopped", timeout=5000)
    page.get_by_role("heading", name="You stopped the race.").wait_for()


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_race_that_is_refused_says_why_once(open_page, monkeypatch, is_kept):
    """A race that is kept is drawn by another generator than one that goes with its page."""
    reason = fair_use._refusal(fair_use.RACES, 30, (30, 0.5), 600)

    def refuse(self, visitor, share):
        raise fair_use.LimitExceeded(reason)

    monkeypatch.setattr(fair_use.FairUse, "check_turn", refuse)
    page = open_page()
    page.get_by_role("button", name="A short clip").click()
    page.wait_for_function(RUN_ENABLED)
    if not is_kept:
        page.click("#options .label-wrap")
        page.get_by_label("Save with a share link").uncheck()
    page.click("#run")
    page.get_by_text(reason).first.wait_for()
    page.wait_for_timeout(1500)  # toasts come after the answer
    assert page.inner_text("body").count("Each visitor may use 30 minutes of races") == 1
    assert page.locator("#banner").get_by_text(reason).count() == 1
    assert page.locator(".toast-body").count() == 0


def test_a_broken_connection_resumes_the_race(page, served):
    begin_slow_race(page)
    run_id = query(page)
    page.context.set_offline(True)
    page.get_by_role("button", name="A short clip").click()  # an idle page asks for nothing
    page.get_by_text("Connection to the server was lost").wait_for()
    page.wait_for_timeout(2000)
    page.context.set_offline(False)
    page.get_by_text("Connection to the server was lost").wait_for(state="detached")
    page.wait_for_selector(".engine-panel.running .words time")
    assert query(page) == run_id
    page.click("#stop")
    page.wait_for_selector(".engine-panel.stopped", timeout=5000)


def test_a_race_loads_no_plotly_until_its_figures_are_opened(open_page, served):
    run = make_run()
    served[3].save(run, waveform())
    page = open_page(script=f"({COUNT})()")
    run_clip(page)
    page.wait_for_selector("#chart .bar")
    page.wait_for_timeout(500)
    cost = page.evaluate("window.seen")
    print(f"\nrace: {page.evaluate(BYTES)} bytes, longest task {cost['task']:.0f} ms", end=", ")
    print(f"layout shift {cost['shift']:.3f}")
    for tab in ("Listen & diff", "Where the time goes"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(500)
    page.wait_for_selector(".plot .mark")
    assert page.evaluate(PLOTLY) == 0
    page.get_by_role("button", name="Explore the figures").click()
    page.wait_for_selector("#records .js-plotly-plot")
    assert page.evaluate(PLOTLY) > 0
    print(f"with Plotly: {page.evaluate(BYTES)} bytes")
