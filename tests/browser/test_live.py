"""Live in a real browser: a fake microphone, the line, the text that stays, and every way in which
a microphone fails. In every state Start or Stop works."""

import pytest

from tests.browser.test_show import tab

pytestmark = pytest.mark.browser

# Counts what the page asks of the browser, and keeps the last microphone in reach.
WATCH = """const media = navigator.mediaDevices, ask = media.getUserMedia.bind(media);
window.asked = 0;
media.getUserMedia = async wish => { window.asked++; return window.heard = await ask(wish); };"""
REFUSE = (
    "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NAME'); }"
)
UNDECIDED = (
    "navigator.mediaDevices.getUserMedia = () => new Promise(later => { window.allow = later; })"
)
INSECURE = "Object.defineProperty(navigator, 'mediaDevices', {value: undefined})"
# Lets a test answer for the server.
REROUTE = """const real = window.fetch;
window.fetch = (address, settings) => window.answer && String(address).startsWith('live/')
  ? window.answer() : real(address, settings);"""
IS_OFF = "() => window.heard.getTracks().every(track => track.readyState === 'ended')"
NOTE = "#live-speak [role=status]"


@pytest.fixture
def open_live(open_page):
    """`open_page` on the Live tab."""

    def open_it(**how):
        page = open_page(**how)
        tab(page, "Live")
        return page

    return open_it


def start(page):
    page.get_by_role("button", name="Start speaking").click()


def stop(page):
    page.click("#live-stop")
    page.wait_for_selector(".live.over", timeout=5000)


def listening(page):
    page.wait_for_selector(".live.listening .tentative")


def can_start(page):
    page.wait_for_selector(".speak[aria-disabled=false]")


def now(page):
    return page.inner_text(".live .now")


def test_speech_is_read_while_it_is_spoken_and_stop_ends_it(open_live, served):
    page, uploads = open_live(script=WATCH), served[1]
    assert page.locator("#live-stop").is_disabled(), "nothing to stop"
    start(page)
    listening(page)
    assert page.get_by_role("meter", name="lag in seconds").is_visible()
    assert page.get_by_text("● Microphone on").is_visible()
    page.wait_for_function("() => document.querySelector('.live .now').innerText.includes('brown')")
    level = page.get_by_role("meter", name="microphone level")
    levels = {level.evaluate("e => e.value") for _ in range(20) if not page.wait_for_timeout(50)}
    assert len(levels) > 3, "the level follows the voice"
    stop(page)
    assert "<b>quick</b> brown" in now(page)  # no chunk was lost, nothing is markup
    assert page.locator(".tentative").count() == 0
    assert page.locator("#live-stop").is_disabled()
    page.get_by_text("The microphone is off.").wait_for()
    assert page.evaluate(IS_OFF)
    assert level.is_hidden()
    assert not list(uploads.root.rglob("*.wav"))


def test_text_survives_stop_and_a_new_start_until_it_is_cleared(open_live):
    page = open_live()
    buttons = page.locator("#live-save button")
    assert buttons.first.is_hidden(), "nothing to save yet"
    for _ in range(2):
        page.locator("#live-clips button").first.click()
        page.wait_for_selector(".live:not(.over, .idle)")
        page.wait_for_selector(".live.over")
    said = "the <b>quick</b> brown fox"
    assert (page.inner_text(".live .earlier"), now(page)) == (said, said)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy", exact=True).click()
    page.get_by_text("Copied.").wait_for()
    assert page.evaluate("() => navigator.clipboard.readText()") == f"{said}\n{said}\n"
    for kind, want in (
        ("txt", f"{said}\n{said}\n"),
        ("srt", "00:00:02,000 --> 00:00:04,000\n" + said),
    ):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save {kind}").click()
        assert download.value.suggested_filename == f"live.{kind}"
        assert want in download.value.path().read_text()
    page.get_by_role("button", name="Clear", exact=True).click()
    page.get_by_text("Your words appear here").wait_for()
    assert buttons.first.is_hidden()


def test_beginning_anew_goes_on_with_the_new_clip(open_live):
    page = open_live()
    start(page)
    listening(page)
    page.locator("#live-clips button").first.click()
    page.get_by_text("The microphone is off.").wait_for()
    page.wait_for_selector("#live-stop:not([disabled])")
    page.wait_for_selector(".live.over")
    assert now(page) == "the <b>quick</b> brown fox"
    assert page.locator("#live-stop").is_disabled()


def test_others_wait_in_line_and_begin_by_themselves(open_live):
    page, other, third = open_live(), open_live(script=WATCH), open_live()
    start(page)
    listening(page)
    start(other)
    other.get_by_text("You are 2nd in line; free in at most").wait_for()
    other.get_by_text("The microphone is off until your turn.").wait_for()
    assert other.evaluate(IS_OFF)
    third.locator("#live-clips button").first.click()
    third.get_by_text("You are 3rd in line; free in at most").wait_for()
    third.click("#live-stop")
    third.get_by_text("You left the line.").wait_for()
    stop(page)
    listening(other)
    assert other.get_by_text("● Microphone on").is_visible()
    assert not other.evaluate(IS_OFF)
    start(page)  # and now the first one waits
    page.get_by_text("You are 2nd in line").wait_for()
    other.close()
    listening(page)
    stop(page)


def test_the_microphone_goes_off_when_the_visitor_leaves_the_tab(open_live):
    page = open_live(script=WATCH)
    start(page)
    listening(page)
    tab(page, "Race")
    page.wait_for_function(IS_OFF)
    tab(page, "Live")
    assert page.inner_text(NOTE) == "The microphone went off because you left this tab."
    page.wait_for_selector(".live.over", timeout=5000)
    can_start(page)
    start(page)
    listening(page)
    page.evaluate(
        "() => { Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange')); delete document.hidden; }"
    )
    assert page.evaluate(IS_OFF)
    page.wait_for_selector(".live.over", timeout=5000)


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (REFUSE.replace("NAME", "NotAllowedError"), "The microphone was refused. Allow it"),
        (REFUSE.replace("NAME", "NotFoundError"), "No microphone was found. Connect one"),
        (REFUSE.replace("NAME", "NotReadableError"), "The microphone is used by another program."),
        (INSECURE, "only on pages served over https"),
    ],
)
def test_a_microphone_that_cannot_be_used_is_named_and_start_works(open_live, script, sentence):
    page = open_live(script=script)
    for _ in range(2):
        start(page)
        can_start(page)
        assert sentence in page.inner_text(NOTE)
    assert page.locator("#live-stop").is_disabled()
    page.locator("#live-clips button").first.click()
    page.wait_for_selector(".live.over")


def test_stop_works_while_the_browser_asks_for_the_microphone(open_live):
    page = open_live(script=UNDECIDED)
    start(page)
    page.wait_for_selector("#live-stop:not([disabled])")
    page.click("#live-stop")
    can_start(page)
    assert page.locator("#live-stop").is_disabled()
    page.evaluate(
        "() => { const {stream} = new AudioContext().createMediaStreamDestination();"
        " window.heard = stream; window.allow(stream); }"
    )
    page.wait_for_function(IS_OFF)  # allowed too late
    assert page.get_by_text("Your words appear here").is_visible()


def test_a_double_click_begins_once_and_an_unplugged_microphone_ends(open_live):
    page = open_live(script=WATCH)
    page.get_by_role("button", name="Start speaking").dblclick()
    listening(page)
    assert page.evaluate("() => window.asked") == 1
    page.evaluate("() => window.heard.getTracks()[0].dispatchEvent(new Event('ended'))")
    page.get_by_text("The microphone was unplugged").wait_for()
    page.wait_for_selector(".live.over", timeout=5000)
    can_start(page)


def test_a_lost_connection_and_a_refusal_are_told_and_start_works(open_live):
    page = open_live(script=WATCH + REROUTE)
    start(page)
    page.locator(".live .now", has_text="quick").wait_for()
    page.evaluate("() => { window.answer = async () => { throw new TypeError('lost'); }; }")
    page.get_by_text("The connection was lost.").wait_for()
    assert page.evaluate(IS_OFF)
    can_start(page)
    page.evaluate("() => { window.answer = null; }")
    start(page)
    listening(page)
    assert page.inner_text(".live .earlier").startswith("the")
    page.evaluate(
        "() => { window.answer = async () => new Response('Too many clicks.', {status: 429}); }"
    )
    page.get_by_text("Too many clicks.").wait_for()
    assert page.evaluate(IS_OFF)
    can_start(page)
    stop(page)
