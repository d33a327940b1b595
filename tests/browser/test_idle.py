"""What a page asks of the server while nobody touches it: nothing; and it is told of changes."""

import pytest

from tests.browser.test_page import RUN_ENABLED

pytestmark = pytest.mark.browser

WATCHED_S = 20
MOST = 2  # requests in that time
SETTLED = "() => document.querySelectorAll('.chip.ready').length === 3"


def settled(open_page, **how):
    """A page that has drawn everything, with all engines ready."""
    page = open_page(**how)
    page.wait_for_function(SETTLED)
    page.wait_for_load_state("load")
    page.wait_for_timeout(3000)
    return page


def requests_of(page):
    """The list that the requests of `page` are added to, from now on."""
    sent = []
    page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    return sent


def test_an_idle_page_asks_for_nothing(open_page, figure):
    page = settled(open_page)
    sent = requests_of(page)
    page.wait_for_timeout(1000 * WATCHED_S)
    print(*sent, sep="\n")
    figure(len(sent), MOST, f"requests of an idle page in {WATCHED_S} s")


def test_a_change_shows_within_seconds_on_a_page_that_nobody_touches(open_page):
    idle, racing = settled(open_page), open_page()
    before = idle.inner_text("#strip")
    racing.get_by_role("button", name="Model and settings").click()
    racing.get_by_label("Initial prompt").fill("crash")
    racing.get_by_role("button", name="A short clip").click()
    racing.wait_for_function(RUN_ENABLED)
    racing.click("#run")
    idle.wait_for_function(
        "before => document.querySelector('#strip').innerText !== before", arg=before, timeout=5000
    )
    idle.wait_for_function(SETTLED)  # it was started again


def test_a_hidden_page_asks_for_nothing_and_looks_again_when_it_is_seen(open_page):
    page = settled(open_page)
    seen = (
        "is => { Object.defineProperty(document, 'hidden', {value: !is, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange')); }"
    )
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/news")):
        page.evaluate(seen, False)  # the stream ends
    sent = requests_of(page)
    page.wait_for_timeout(3000)
    assert sent == []
    with page.expect_request("**/news"):
        page.evaluate(seen, True)
