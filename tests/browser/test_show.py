"""Proof and presentation, in a real browser."""

import pytest

from maxwhisper.web.server.uploads import MAX_FILE_MB
from tests.browser.test_page import ENGINES, OVERFLOW, WORST_CONTRAST, begin_slow_race, run_clip
from tests.fakes.page import write_wav

pytestmark = pytest.mark.browser

NO_MOTION = """const ask = window.matchMedia.bind(window);
window.matchMedia = query => ask(query.includes('reduced-motion') ? 'all' : query);"""

# What can be seen or pressed in stage mode besides the verdict, the lanes and the small Run.
BESIDES = """() => [...document.querySelectorAll('.gradio-container *')]
  .filter(e => e.checkVisibility({visibilityProperty: true, opacityProperty: true}))
  .filter(e => !e.closest('#verdict, .engine-panels, #run, #stop, .visually-hidden, style, script'))
  .filter(e => e.matches('button, a, input, audio, svg')
    || [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
  .map(e => e.outerHTML.slice(0, 150))"""


@pytest.fixture
def open_show(open_page):
    """`open_page`; page.js has run, and the server has drawn the address."""

    def open_it(**how):
        page = open_page(**how)
        for dialog in ("#keys", "#share"):
            page.wait_for_selector(dialog, state="attached")
        return page

    return open_it


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def test_board_is_grey_then_one_check_runs_then_a_group(open_page):
    page = open_page()
    tab(page, "Components")
    page.wait_for_selector(".check")
    grey = "rgb(230, 226, 217)"
    badges = "e => e.map(b => [b.innerText, getComputedStyle(b).backgroundColor])"
    untouched = page.eval_on_selector_all(".check.not-run .badge", badges)
    assert untouched
    assert all(badge == ["○ not run", grey] for badge in untouched)
    page.get_by_role("button", name="Run the check log-mel").click()
    page.locator(".check.passed", has_text="log-mel").wait_for()
    page.get_by_role("button", name="Run the checks of network").click()
    page.locator(".check.failed", has_text="kv-cache").wait_for()
    ((word, colour), *_) = page.eval_on_selector_all(".check.passed .badge", badges)
    assert word == "✓ passed"
    assert colour != grey


def test_an_error_is_injected_and_found_and_healed(open_page):
    page, other = open_page(), open_page()
    for each in (page, other):
        tab(each, "Components")
        each.wait_for_selector(".check")
    page.get_by_role("button", name="Break it").click()
    page.locator(".check.failed", has_text="encoder").wait_for()
    page.get_by_text("Broken on purpose: one weight of the encoder").wait_for()
    page.get_by_role("button", name="Heal").click()
    page.locator(".check.passed", has_text="encoder").wait_for()
    page.get_by_role("button", name="Break it").wait_for()
    assert page.get_by_text("Broken on purpose").count() == 0
    assert other.locator(".check.not-run").count() == 3, "each visitor has own results"
    other.get_by_role("button", name="Run the check encoder").click()
    other.locator(".check.passed", has_text="encoder").wait_for()


def test_layers_are_compared_on_a_chosen_clip(open_page):
    page = open_page()
    tab(page, "Components")
    page.click("#run-layers")
    page.get_by_text("in encoder output").wait_for()
    page.wait_for_selector("#layers-text .heatmaplayer image")
    assert page.locator("#layers-audio .heatmaplayer image").count() == 1
    assert "encoder block 1 (not measured)" in page.inner_text("#layers-audio")
    assert "1 not measured" in page.inner_text("#layers-summary")
    assert "<b>" in page.inner_text("#layers-text")  # a token, shown, not obeyed


def test_layers_of_what_is_no_recording_are_not_offered(open_page):
    page = open_page()
    tab(page, "Components")
    page.get_by_label("Clip").click()
    page.get_by_role("option", name="A recording of my own").click()
    notes = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"nothing to hear"}
    page.set_input_files("#layers-recording input[type=file]", notes)
    refused = page.locator("#layers-recording-refused")
    refused.get_by_text("This is a text file, not audio. Choose").wait_for()
    page.wait_for_selector("#layers-recording input[type=file]", state="attached")


def test_a_file_too_large_for_the_layers_is_refused_in_our_words_and_not_sent(open_page, tmp_path):
    page, sent = open_page(), []
    page.on("request", lambda request: sent.append(request.url) if "upload" in request.url else 0)
    tab(page, "Components")
    page.get_by_label("Clip").click()
    page.get_by_role("option", name="A recording of my own").click()
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(MAX_FILE_MB * 2**20 + 1)
    page.set_input_files("#layers-recording input[type=file]", large)
    refused = page.locator("#layers-recording-refused")
    refused.get_by_text("the limit is 25 MB").wait_for()
    assert page.get_by_text("exceeds the maximum").count() == 0
    assert page.locator("#recording-refused .problem").count() == 0, "it is not about the race"
    assert sent == []
    page.set_input_files("#layers-recording input[type=file]", write_wav(tmp_path / "next.wav"))
    refused.locator(".problem").wait_for(state="detached")


def test_the_tour_opens_by_link_walks_every_tab_and_closes(open_page):
    page = open_page(query="judge=1")
    page.wait_for_selector("#tour:not([hidden])")
    assert page.evaluate("() => document.activeElement.textContent") == "Next →"
    visited = set()
    for _ in range(9):
        selected = "() => document.querySelector('[role=tab][aria-selected=true]').innerText"
        visited.add(page.evaluate(selected).strip())
        page.keyboard.press("ArrowRight")
    assert visited == {
        *("Race", "Listen & diff", "Where the time goes", "Components", "Live", "Use it")
    }
    assert page.locator("#tour").is_hidden()  # the ninth step was the last
    page.get_by_role("button", name="Guided tour").click()
    page.keyboard.press("Escape")
    assert page.locator("#tour").is_hidden()


def test_the_tour_waits_for_a_race_and_goes_on_when_it_is_over(open_show):
    page = open_show()
    begin_slow_race(page)
    page.keyboard.press("t")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    held = page.locator("#tour").get_by_text("The tour waits for its end")
    held.wait_for(timeout=60_000)
    page.wait_for_timeout(6000)  # longer than what was left of this stop
    assert page.inner_text("#tour .count") == "3 of 9"
    page.keyboard.press("s")
    page.get_by_text("4 of 9").wait_for(timeout=60_000)


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_the_tour_races_from_a_cold_page_and_never_covers_our_lane(open_show, width, height):
    page = open_show(width=width, height=height)
    page.get_by_role("button", name="Guided tour").click()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('#clips [aria-pressed=true]')")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#verdict .lead")
    assert page.inner_text("#tour .count") == "3 of 9"
    page.wait_for_timeout(1000)  # the page has scrolled to the lane
    covered = page.evaluate(
        """() => {
        const [a, b] = ['#tour', '#panel-maxwhisper']
          .map(each => document.querySelector(each).getBoundingClientRect());
        return Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left))
          * Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));
        }"""
    )
    print(f"the tour covers {covered:.0f} square pixels of our lane")
    assert covered == 0
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    assert page.inner_text("#tour h2") == "The verdict"
    page.wait_for_selector(".band.toured")


def test_shortcuts_can_be_switched_off_for_good(open_show):
    page = open_show()
    page.keyboard.press("?")
    page.get_by_label("Shortcuts of one key").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("5")
    page.wait_for_timeout(300)
    assert page.get_by_role("tab", name="Race").get_attribute("aria-selected") == "true"
    later = page.context.new_page()  # the next visit
    later.goto(page.url)
    later.wait_for_selector("#keys", state="attached")
    later.keyboard.press("5")
    later.wait_for_timeout(300)
    assert later.get_by_role("tab", name="Race").get_attribute("aria-selected") == "true"
    later.close()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.get_by_label("Shortcuts of one key").check()
    page.keyboard.press("Escape")
    page.keyboard.press("5")
    page.wait_for_function("() => document.querySelector('#live').checkVisibility()")


def test_the_tour_waits_for_those_who_want_no_motion(open_show):
    page = open_show(script=NO_MOTION)
    page.keyboard.press("t")
    assert page.locator("#tour").get_by_role("button", name="Continue").is_visible()


def test_keys_work_and_never_while_typing(open_show):
    page = open_show()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Keyboard").wait_for(state="hidden")
    page.keyboard.press("5")
    page.wait_for_selector("#live")
    page.keyboard.press("1")
    page.get_by_role("button", name="Options").click()
    page.locator("#reference textarea").fill("")
    page.locator("#reference textarea").press_sequentially("f?4")
    assert page.locator("#keys[open]").count() == 0
    assert page.evaluate("() => document.documentElement.className").count("stage") == 0
    assert page.locator("#reference textarea").input_value() == "f?4"
    outline = page.locator("#reference textarea").evaluate("e => getComputedStyle(e).outlineStyle")
    assert outline == "solid", "who has no mouse sees where the focus is"


def test_stage_and_address_fit_and_read(open_show):
    page = open_show(width=1280)
    page.keyboard.press("f")
    page.wait_for_function("() => document.documentElement.classList.contains('stage')")
    zoom = page.locator(".gradio-container").first.evaluate("e => getComputedStyle(e).zoom")
    assert float(zoom) > 1, "large type"
    assert page.evaluate(OVERFLOW) <= 0
    page.keyboard.press("q")
    page.get_by_role("dialog", name="Open this page on a phone").wait_for()
    assert page.get_by_role("img", name="QR code of http://127.0.0.1").is_visible()
    ratio, where = page.evaluate(WORST_CONTRAST)
    assert ratio >= 4.5, where


@pytest.mark.parametrize("width", [1280, 1920])
def test_stage_mode_shows_lanes_and_verdict_alone(open_show, width, figure):
    page = open_show(width=width, height=1080)
    run_clip(page)
    page.wait_for_selector("#share-links .address")
    page.keyboard.press("f")
    page.wait_for_function("() => document.documentElement.classList.contains('stage')")
    others = page.evaluate(BESIDES)
    print(*others, sep="\n")
    figure(
        len(others), 0, f"texts and controls besides lanes, verdict and Run on stage, {width} px"
    )
    for part in ("#verdict .lead", *(f"#panel-{name} .words" for name in ENGINES)):
        assert page.locator(part).is_visible(), part
    lanes = page.locator(".engine-panels").bounding_box()
    figure(lanes["y"] + lanes["height"], 1080, "px to the end of the lanes on stage, of 1080")
    page.keyboard.press("Escape")
    assert page.locator("#share-links .address").is_visible()


def test_arrow_keys_move_between_tabs(open_show):
    page = open_show()
    page.get_by_role("tab", name="Race").focus()
    chosen = "() => document.querySelector('[role=tab][aria-selected=true]').innerText.trim()"
    for key, name in (
        ("ArrowRight", "Listen & diff"),
        ("End", "Use it"),
        ("ArrowRight", "Race"),
        ("ArrowLeft", "Use it"),
        ("Home", "Race"),
    ):
        page.keyboard.press(key)
        page.wait_for_function(f"name => ({chosen})() === name", arg=name)
        assert page.evaluate("() => document.activeElement.innerText.trim()") == name


def test_screen_readers_are_told_each_end_and_the_verdict_once(open_show):
    page = open_show()
    page.evaluate(
        """() => { window.told = [];
        new MutationObserver(changes => changes.forEach(change => change.addedNodes.forEach(
          node => window.told.push(node.textContent)))).observe(
          document.querySelector('[role=log]#told'), {childList: true}); }"""
    )
    run_clip(page)
    page.wait_for_timeout(500)
    told = page.evaluate("window.told")
    print(*told, sep="\n")
    first, *ends, verdict = told
    assert first == "Racing…"
    assert sorted(end.partition(" is done: ")[0] for end in ends) == sorted(ENGINES)
    assert verdict == page.inner_text("#verdict .lead").strip()
    assert page.locator("#verdict [aria-live]").count() == 0, "else it is read twice"
