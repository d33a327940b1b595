"""A whole visit, as on a stage: land, speak, watch, listen, read, check, go live, share."""

import pytest

from tests.browser.test_page import RUN_ENABLED

pytestmark = pytest.mark.browser


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def test_a_visit_from_landing_to_the_shared_link(speaker):
    page = speaker(viewport={"width": 1440, "height": 900})
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    # Land: a recorded race and its replay.
    assert "measured on" in page.inner_text("#banner")
    assert "fast" in page.inner_text("#verdict .headline")
    # Speak: one click records, stops on silence and races.
    page.click("#speak .speak-now")
    page.wait_for_selector("#verdict .lead", timeout=30_000)
    assert page.inner_text("#chosen strong") == "My recording"
    assert "Not saved" in page.inner_text("#share-links")
    # Watch: a clip raced, and replayed.
    page.wait_for_function(RUN_ENABLED)
    page.get_by_role("button", name="A short clip").click()
    page.wait_for_function(
        "() => document.querySelector('#clips button').getAttribute('aria-pressed') === 'true'"
    )
    page.wait_for_function(RUN_ENABLED)
    page.click("#run")
    page.wait_for_selector("#share-links .address")
    page.get_by_role("button", name="Replay", exact=True).click()
    page.wait_for_selector("#replay .play:text('Pause')")
    # Listen, and read the differences.
    tab(page, "Listen & diff")
    page.locator(".voice .w").first.click()
    page.wait_for_selector(".diff")
    # See where the time goes.
    tab(page, "Where the time goes")
    page.wait_for_selector(".engine-stages")
    # Check the components.
    tab(page, "Components")
    page.click("#run-checks")
    page.locator(".check.passed").first.wait_for()
    page.wait_for_function("() => !document.querySelector('#run-checks').disabled")
    # Live: words while they are spoken.
    tab(page, "Live")
    page.get_by_role("button", name="Start speaking").click()
    page.wait_for_selector(".live.listening")
    page.click("#live-stop")
    page.wait_for_selector(".live.over", timeout=10_000)
    # Share: somebody else opens the link.
    tab(page, "Race")
    link = page.input_value("#share-links .address")
    guest = page.context.browser.new_context().new_page()
    guest.goto(link)
    guest.wait_for_function(
        "said => document.querySelector('#panel-maxwhisper .words')?.innerText === said",
        arg=page.inner_text("#panel-maxwhisper .words"),
    )
    guest.context.close()
    page.close()
    assert problems == []
