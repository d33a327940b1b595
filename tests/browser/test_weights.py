"""The page gets an official model for human speech: from a race on `demo` to the next race."""

import pytest
from playwright.sync_api import expect

from tests.browser.test_page import CUT, OVERFLOW, RUN_ENABLED, WORST_CONTRAST, run_clip
from tests.fakes import weights_site
from tests.fakes.page import served_page, write_wav

pytestmark = pytest.mark.browser

# What else is drawn where the line is.
COVERS = """line => { const a = line.getBoundingClientRect();
  return [...document.querySelectorAll('button, .strip, h1')].filter(e => e.checkVisibility()
      && !line.contains(e)).map(e => [e.textContent, e.getBoundingClientRect()])
    .filter(([, b]) => b.left < a.right && a.left < b.right && b.top < a.bottom && a.top < b.bottom)
    .map(([text]) => text); }"""
BLOCK_S = 1.5  # 47 blocks: longer than the first half of the test


@pytest.fixture
def site(tmp_path, monkeypatch):
    for name in ("MAXWHISPER_CACHE", "XDG_CACHE_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    with weights_site.serving(monkeypatch) as site:
        yield site


@pytest.fixture
def served(browser, site, tmp_path, monkeypatch, request):
    """A page that gets `tiny` by itself: slowly, or from a network that is down."""
    site.pause_s, site.is_dead = BLOCK_S, "network" in request.node.name
    with served_page(monkeypatch, tmp_path, better="tiny") as page:
        yield page


def say(page, selector, words):
    page.wait_for_function(
        "([where, words]) => [...document.querySelectorAll(where)]"
        ".some(e => e.innerText.includes(words))",
        arg=[selector, words],
    )


def give_own_recording(page, folder):
    page.get_by_label("Clear").click()
    page.set_input_files("#recording input[type=file]", write_wav(folder / "voice.wav"))
    page.wait_for_function(RUN_ENABLED)


def fits_and_reads(page):
    assert page.evaluate(OVERFLOW) <= 0
    assert page.evaluate(CUT) == []
    ratio, where = page.evaluate(WORST_CONTRAST)
    assert ratio >= 4.5, where


def settings(page):
    page.get_by_role("button", name="Model and settings").click()
    return page.get_by_label("Model", exact=True)


OWN_ROW = """() => {
  const line = document.querySelector('#weights');
  const top = () => document.querySelector('.engine-panels').getBoundingClientRect().top;
  const shown = top();
  line.style.setProperty('display', 'none', 'important');
  const hidden = top();
  line.style.removeProperty('display');
  return Math.abs(shown - hidden);
}"""


def live_offers_a_choice(page, is_choice):
    """The tab Live offers languages to choose from, or English alone. Ends on the tab Race."""
    page.get_by_role("tab", name="Live").click()
    language = page.get_by_label("Spoken language")
    expect(language).to_be_enabled(enabled=is_choice)
    expect(language).to_have_value("English")
    page.get_by_role("tab", name="Race").click()


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_a_page_gets_better_by_itself(site, open_page, served, tmp_path, width, theme, figure):
    page, other = open_page(width, theme=theme), open_page(width)
    live_offers_a_choice(page, False)  # demo knows English alone
    settings(other).click()
    other.get_by_role("option", name="demo").click()
    run_clip(page)
    say(page, "#verdict", "demo is a small English Whisper")
    assert not page.locator(".model-hint").is_visible(), "a clip of synthesised speech"
    say(page, "#weights", "It understands human voices in 99 languages.")
    say(page, "#weights", "s left")
    give_own_recording(page, tmp_path)
    page.get_by_role("button", name="Use tiny as soon as it is ready").wait_for()
    fits_and_reads(page)
    site.pause_s = 0.0
    say(page, "#weights", "tiny is here: it understands human voices in 99 languages.")
    if width == 1440:  # the line takes no row of its own
        page.set_viewport_size({"width": 1440, "height": 900})
        figure(page.evaluate(OWN_ROW), 0, "px that the line about the weights moves the lanes")
        over = page.locator("#weights").evaluate(COVERS)
        assert over == [], "it covers no control"
        live_offers_a_choice(page, True)
    page.wait_for_selector(".model-hint", state="detached")
    page.wait_for_selector(".notice", state="detached")
    fits_and_reads(page)
    settings(page)
    assert page.get_by_label("Language", exact=True).input_value() == "Detect"
    page.click("#run")
    say(page, "#verdict", "tiny is OpenAI's model")
    say(other, "#weights", "tiny is here")
    run_clip(other)
    say(other, "#verdict", "demo is a small English Whisper")  # their own choice
    assert other.get_by_label("Language", exact=True).input_value() == "English"
    give_own_recording(other, tmp_path)
    other.get_by_role("button", name="Use tiny, which understands human voices").click()
    other.wait_for_selector(".model-hint", state="detached")
    other.click("#run")
    say(other, "#verdict", "tiny is OpenAI's model")


def test_without_a_network_one_line_and_a_button(site, open_page, served):
    page = open_page(390)
    page.get_by_role("button", name="Try again").wait_for()
    site.is_dead, site.pause_s = False, 0.0
    page.get_by_role("button", name="Try again").click()
    say(page, "#weights", "tiny is here")
    page.wait_for_selector(".notice", state="detached")
