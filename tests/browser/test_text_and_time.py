"""A finished run, listened to and read: words follow the sound, differences need no colour."""

import re
import time

import pytest

from tests.fakes.runs import make_run, result, waveform

pytestmark = pytest.mark.browser

DRAWN_S, GOAL_S = 3.0, 0.5  # on a machine with other work, and on an idle one
NOW = "() => [...document.querySelectorAll('.w.now')].map(word => word.textContent)"
TIME = "() => document.querySelector('#listen audio').currentTime"


@pytest.fixture
def open_run(open_page, served):
    """A function that opens a tab of a run by its link."""

    def open_it(tab, run, **how):
        served[3].save(run, waveform(run.audio_s))
        page = open_page(query=f"run={run.id}", **how)
        page.wait_for_selector("#banner .recorded")
        page.get_by_role("tab", name=tab).click()
        return page

    return open_it


def lit(page, word):
    page.wait_for_function(f"word => ({NOW})().filter(w => w === word).length === 3", arg=word)


def test_a_click_seeks_and_words_light_up_while_the_sound_plays(open_run):
    page = open_run("Listen & diff", make_run())
    page.wait_for_selector("#listen audio")
    page.evaluate("document.querySelector('#listen audio').playbackRate = 0.25")  # 2.7 s a word
    page.locator(".voice .w", has_text="jumps").first.click()
    lit(page, "jumps")  # in every lane
    assert page.evaluate(TIME) == pytest.approx(2.0, abs=0.5)
    lit(page, "over")  # by itself
    page.evaluate("document.querySelector('#listen audio').pause()")


def test_keys_and_the_picture_seek(open_run, figure):
    page = open_run("Race", make_run())
    clicked_s = time.monotonic()
    page.get_by_role("tab", name="Listen & diff").click()
    page.wait_for_selector(".sound")
    figure(time.monotonic() - clicked_s, DRAWN_S, "s to draw the waveform", GOAL_S)
    assert page.get_by_text("Drawing the waveform").is_hidden(), "it is drawn"
    page.get_by_role("group", name="words of maxwhisper").focus()
    for word in ("quick", "brown"):
        page.keyboard.press("ArrowRight")
        lit(page, word)
    page.keyboard.press("ArrowLeft")
    lit(page, "quick")
    box = page.locator(".sound").bounding_box()
    page.locator(".sound").click(position={"x": box["width"] * 0.75, "y": 20})
    assert page.evaluate(TIME) == pytest.approx(3.0, abs=0.05)


def test_differences_are_readable_and_nothing_is_obeyed(open_run):
    texts = ("the quick <b>brown</b> fox", "jumps over it")
    heard = [("openai-whisper", texts), ("maxwhisper", (texts[0], "jumped over ${it} {{it}}"))]
    run = make_run(results=tuple(result(*each) for each in heard), reference="")
    page = open_run("Listen & diff", run, width=390)
    assert "openai-whisper: jumps; maxwhisper: jumped" in page.inner_text(".differ >> nth=0")
    assert "<b>brown</b>" in page.inner_text(".diff")
    assert "${it} {{it}}" in page.text_content("[data-engine=maxwhisper] .words")
    styles = (
        "[...document.querySelectorAll('.odd')].map(e => getComputedStyle(e).textDecorationLine)"
    )
    assert set(page.evaluate(styles)) == {"underline"}


def test_time_is_shown_in_stages_and_against_errors(open_run):
    page = open_run("Where the time goes", make_run())
    page.wait_for_selector("#timings [aria-label^='RTFx over'] .mark")
    assert page.locator("#timings [aria-label^='RTFx over'] .mark").count() == 3
    assert "measured on 2 January 2026" in page.inner_text("#timings")
    assert page.locator(".engine-stages").count() == 3
    assert "Recorded benchmarks" in page.inner_text("#records")


def test_lines_of_the_run_can_be_copied(open_run):
    page = open_run("Use it", make_run(model="tiny"))
    page.get_by_role("button", name="copy: Command line").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.copy')].some(e => /copied|Ctrl/.test(e.textContent))"
    )
    assert "--model=tiny" in page.inner_text(".code >> nth=1")
    address = page.url.partition("/?")[0]
    assert f"PAGE='{address}'" in page.inner_text(".code >> nth=2")
    assert f'"url": "{address}/gradio_api/mcp"' in page.inner_text(".code >> nth=3")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="listed as JSON").click()
    opened.value.get_by_text("/compare").first.wait_for()
    opened.value.close()


def test_three_endpoints_are_listed_for_people_and_nothing_internal(open_page, figure):
    page = open_page()
    page.get_by_role("tab", name="Use it").click()
    page.wait_for_selector(".endpoint")
    listed = {}
    for endpoint in page.locator(".endpoint").all():
        types = endpoint.locator("dd").all_inner_texts()
        assert all(re.match(r"(filepath|str|bool|None \| )", kind) for kind in types), types
        name = endpoint.locator("h3").inner_text()
        assert f'api_name="{name}")' in endpoint.locator("code").inner_text(), "an example"
        assert page.url.partition("/?")[0] in endpoint.locator("code").inner_text()
        listed[name] = endpoint.locator("dt").all_inner_texts()
    print(listed)
    figure(abs(len(listed) - 3), 0, "endpoints more or less than three on the tab Use it")
    assert listed == {
        "/compare": [*("recording", "model", "language", "reference", "rounds", "keep", "options")],
        "/transcribe": ["recording", "model", "language", "word_timestamps"],
        "/models": [],
    }


def test_before_any_run_the_tabs_explain_themselves(open_page):
    page = open_page()
    for tab in ("Listen & diff", "Where the time goes", "Use it"):
        page.get_by_role("tab", name=tab).click()
        page.get_by_text("Race a recording first").and_(page.locator(":visible")).wait_for()
