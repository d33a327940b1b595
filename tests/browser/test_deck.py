"""The slides in Chromium: keys change them, each fits a projector, nothing is downloaded."""

import pytest

from tools.slides.__main__ import EVALUATION
from tools.slides.deck import deck
from tools.train_demo.record import Evaluation

pytestmark = pytest.mark.browser

OVERFLOW = """() => document.documentElement.scrollHeight > innerHeight
    || document.documentElement.scrollWidth > innerWidth"""


@pytest.fixture
def page(browser, tmp_path):
    """The deck without a record, at the size of a small projector; an error fails the test."""
    path = tmp_path / "index.html"
    path.write_text(deck([], Evaluation.load(EVALUATION)), encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme="light")
    page, problems = context.new_page(), []
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url))
    page.goto(path.as_uri())
    assert problems == [path.as_uri()], "one request: the file"
    yield page
    context.close()
    assert len(problems) == 1, problems


def test_keys_change_the_slides_and_each_fits(page):
    n_slides = page.locator("section").count()
    for number in range(1, n_slides + 1):
        assert page.locator("section:visible").count() == 1
        assert page.locator("output").inner_text() == f"{number} / {n_slides}"
        assert not page.evaluate(OVERFLOW), page.locator("section:visible h2").inner_text()
        page.keyboard.press("ArrowRight")
    assert page.url.endswith(f"#{n_slides}"), "the last one stays"
    page.keyboard.press("Home")
    assert page.locator("section.title").is_visible()
    page.get_by_role("button", name="On").click()
    assert page.locator("output").inner_text().startswith("2 /")


def test_t_switches_light_and_dark(page):
    paper = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.keyboard.press("t")
    assert page.evaluate(paper) != light
    page.keyboard.press("t")
    assert page.evaluate(paper) == light


def test_every_slide_is_printed(page):
    page.emulate_media(media="print")
    assert page.locator("section:visible").count() == page.locator("section").count()
    assert not page.locator("nav").is_visible()
