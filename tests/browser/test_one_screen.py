"""The race on one screen: what is seen without scrolling, in how many clicks, how steadily."""

import pytest

from tests.browser.test_page import RUN_ENABLED, TABS, run_clip
from tests.fakes.runs import make_run, result, waveform

pytestmark = pytest.mark.browser

ENGINES = ("openai-whisper", "faster-whisper", "maxwhisper")
# What the browser says of its own work, from the first moment on.
WATCH = """window.seen = {shift: 0, paint: 0, tasks: []};
new PerformanceObserver(list => { for (const e of list.getEntries()) {
  if (!e.hadRecentInput) window.seen.shift += e.value;
} })
  .observe({type: 'layout-shift', buffered: true});
new PerformanceObserver(list => { for (const e of list.getEntries())
  window.seen.paint = e.startTime; }).observe({type: 'largest-contentful-paint', buffered: true});
new PerformanceObserver(list => { for (const e of list.getEntries())
  window.seen.tasks.push([e.startTime, e.duration]); }).observe({type: 'longtask', buffered: true});
"""

# What the page never does, also on a busy machine, and the goals.
BARS = {"CLS": (0.05, 0.05), "LCP in ms": (5000, 1500), "longest task in ms": (600, 200)}
SENTENCES = "#verdict h2, #verdict p, #verdict li"
# Pixels of the verdict's sentences that an element around them cuts off, or has to be scrolled for.
CLIPPED = """selector => Math.max(...[...document.querySelectorAll(selector)].map(sentence => {
  const {top, bottom} = sentence.getBoundingClientRect();
  let cut = Math.max(sentence.scrollHeight - sentence.clientHeight, bottom - innerHeight, -top);
  for (let e = sentence.parentElement; e !== document.body; e = e.parentElement) {
    if (getComputedStyle(e).overflowY === 'visible') continue;
    const around = e.getBoundingClientRect();
    cut = Math.max(cut, around.top - top, bottom - around.bottom);
  }
  return cut;
}))"""
# [the shorter side in pixels, name] of everything to press. A box to tick is pressed by its label.
TARGETS = """() => [...document.querySelectorAll('.gradio-container *')]
  .filter(e => e.matches('button, a[href], input, select, textarea, summary, [role=tab]'))
  .map(e => e.matches('[type=checkbox], [type=radio]') && e.labels[0] || e)
  .filter(e => e.checkVisibility({opacityProperty: true, visibilityProperty: true}))
  .map(e => [e, e.getBoundingClientRect()])
  .filter(([e, box]) => box.width > 1 && !e.closest('.visually-hidden'))
  .map(([e, box]) => [Math.min(box.width, box.height), e.textContent.trim() || e.outerHTML])
  .map(([px, name]) => [px, name.slice(0, 150)])"""
BEYOND = """() => [...document.querySelectorAll('.gradio-container *')]
  .filter(e => e.checkVisibility() && !e.closest('.visually-hidden, svg'))
  .map(e => [e, e.getBoundingClientRect()])
  .filter(([, box]) => box.width && (box.right > innerWidth + 0.5 || box.left < -0.5))
  .map(([e]) => e.outerHTML.slice(0, 120))"""


def box(page, selector):
    """(top, bottom) in pixels from the top of the window."""
    inside = "e => { const r = e.getBoundingClientRect(); return [r.top, r.bottom]; }"
    return page.locator(selector).first.evaluate(inside)


def race_clip(page):
    page.get_by_role("button", name="A short clip").first.click()
    page.wait_for_function(RUN_ENABLED)
    page.click("#run")
    page.wait_for_selector("#verdict .lead")


def fits_one_screen(page, figure, what):
    parts = ["#verdict", "#chart", "#replay", ".entries", "#run"]
    parts += [f"#panel-{name}" for name in ENGINES]
    boxes = {part: box(page, part) for part in parts}
    print({part: [round(px) for px in at] for part, at in boxes.items()})
    assert page.evaluate("scrollY") == 0
    assert min(top for top, _ in boxes.values()) >= 0
    assert min(bottom - top for top, bottom in boxes.values()) >= 40, "large enough to read"
    figure(max(bottom for _, bottom in boxes.values()), 900, f"px to the end of the lanes, {what}")
    figure(page.evaluate(CLIPPED, SENTENCES), 1, f"px of the verdict that are cut off, {what}")
    verdict, replay = box(page, "#verdict"), box(page, "#replay")
    assert 0 <= replay[0] - verdict[1] < 80, "the replay is right under the verdict"


def test_run_lanes_and_verdict_fit_one_screen(open_page, figure):
    page = open_page(width=1440, height=900)
    page.evaluate(
        """() => { const clips = document.querySelector('#clips');
        for (const _ of Array(5)) clips.append(clips.firstElementChild.cloneNode(true)); }"""
    )  # seven clips, as on the real page
    fits_one_screen(page, figure, "on the landing")
    race_clip(page)
    fits_one_screen(page, figure, "after a race")
    assert "processor" in page.inner_text(SENTENCES + " >> nth=-1"), "the noise is told"


def test_a_recorded_race_with_every_sentence_fits_one_screen(open_page, served, figure):
    said = {"openai-whisper": "quick", "faster-whisper": "quack", "maxwhisper": "quiet"}
    run = make_run(results=tuple(result(e, (f"the {word} fox",)) for e, word in said.items()))
    served[3].save(run, waveform())
    page = open_page(width=1440, height=900, query=f"run={run.id}")
    page.wait_for_selector("#share-links .address")
    assert page.locator("#verdict li").count() == 5
    fits_one_screen(page, figure, "a recorded race")


def test_a_phone_has_the_verdict_first_and_run_in_reach(open_page, figure):
    page = open_page(width=390, height=844)
    assert box(page, "#run")[1] <= 844, "before anything is scrolled"
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(200)
    assert 844 - 100 <= box(page, "#run")[1] <= 844, "it stays at the bottom"
    race_clip(page)
    page.wait_for_function(
        "() => { const top = document.querySelector('#verdict').getBoundingClientRect().top;"
        " return top >= 0 && top < innerHeight / 2; }"
    )
    verdict, lanes = box(page, "#verdict"), [box(page, f"#panel-{name}") for name in ENGINES]
    first = min(top for top, _ in lanes)
    figure(verdict[1], first, "px to the end of the verdict on a phone, before the first lane")
    run = box(page, "#run")
    figure(run[1], 844, "px to the end of Run on a phone, while the verdict is read")


def test_a_page_opens_with_a_recorded_race_and_its_replay(open_page):
    page = open_page(width=1440, height=900)
    assert "measured on 2 January 2026" in page.inner_text("#banner")
    assert "fast" in page.inner_text("#verdict .headline")
    assert "Identical text" in page.inner_text("#verdict")
    assert "a race that came" in page.inner_text("#panel-maxwhisper .words")
    assert "The noise of the machine was not measured." in page.inner_text("#verdict")
    page.get_by_role("button", name="Replay", exact=True).click()
    page.wait_for_selector("#replay .play:text('Pause')")
    page.wait_for_function(
        "() => document.querySelector('#replay').getBoundingClientRect().bottom <= innerHeight + 1"
    )


def test_each_lane_gives_its_text_in_one_click(open_page):
    page = open_page(width=1440, height=900)
    race_clip(page)
    starts = {"txt": "the\n<b>quick</b>\n", "srt": "1\n00:00:00,000 --> 00:00:00,500\nthe\n"}
    for kind, start in starts.items():
        with page.expect_download() as download:
            page.click(f"#panel-maxwhisper [data-take={kind}]")
        assert download.value.suggested_filename == f"maxwhisper.{kind}"
        assert download.value.path().read_text().startswith(start)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#panel-faster-whisper [data-take=copy]")
    page.locator("#panel-faster-whisper").get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").startswith("the\n<b>quick</b>\n")


def test_one_click_races_ones_own_voice(speaker, served, figure):
    page = speaker(viewport={"width": 1440, "height": 900})
    page.evaluate(
        "window.clicks = 0; addEventListener('click', e => { clicks += e.isTrusted; }, true);"
    )
    page.click("#speak .speak-now")
    page.wait_for_function(
        "() => +document.querySelector('#speak .meter').getAttribute('aria-valuenow') > 20"
    )
    page.wait_for_selector("#verdict .lead", timeout=20_000)
    figure(page.evaluate("clicks"), 1, "clicks from the page to the race of one's own voice")
    assert page.inner_text("#chosen strong") == "My recording"
    assert "Not saved" in page.inner_text("#share-links"), "spoken words are kept only if asked"
    run_id = page.get_attribute("#share-links .download", "href").split("/")[-2]
    spoken_s = served[3].load(run_id).audio_s
    print(f"recorded {spoken_s:.2f} s")
    assert 2.5 < spoken_s < 4.5, "half a second, 1.2 s of voice, 1.5 s of silence"
    page.wait_for_function(RUN_ENABLED)  # it can be raced again
    page.get_by_role("button", name="Trim to speech").click()
    page.wait_for_function(RUN_ENABLED)
    page.click("#run")
    page.wait_for_function(
        "old => !(document.querySelector('#share-links .download')?.href ?? old).includes(old)",
        arg=run_id,
    )
    again = page.get_attribute("#share-links .download", "href").split("/")[-2]
    trimmed_s = served[3].load(again).audio_s
    print(f"trimmed to {trimmed_s:.2f} s")
    assert 1.3 < trimmed_s < 2.2
    page.close()


def test_a_second_click_ends_a_recording(open_page):
    page = open_page()  # chromium's own fake microphone beeps every second
    page.click("#speak .speak-now")
    page.locator("#speak").get_by_text("Stop ·").wait_for()
    page.wait_for_timeout(700)
    page.click("#speak .speak-now")
    page.wait_for_selector("#verdict .lead")
    page.get_by_role("button", name="A short clip").click()
    page.wait_for_function(
        "() => document.querySelector('#clips button').getAttribute('aria-pressed') === 'true'"
    )
    assert page.inner_text("#chosen strong") == "A short clip"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("NotAllowedError", "The microphone was refused. Allow it"),
        ("NotFoundError", "No microphone was found. Connect one"),
    ],
)
def test_without_a_microphone_one_sentence_says_why(open_page, name, sentence):
    page = open_page(
        script="navigator.mediaDevices.getUserMedia = async () => "
        f"{{ throw new DOMException('', '{name}'); }}"
    )
    page.click("#speak .speak-now")
    page.locator("#recording-refused").get_by_text(sentence).wait_for()
    assert page.locator("#speak .label").inner_text() == "Speak"


def test_without_https_the_same_place_says_why(open_page):
    page = open_page(script="Object.defineProperty(navigator, 'mediaDevices', {value: undefined});")
    page.click("#speak .speak-now")
    page.locator("#recording-refused").get_by_text("served over https").wait_for()


def test_the_page_stands_still_and_answers(open_page, figure):
    """The best of three visits: other programs on the machine make a visit slower, none faster."""
    visits = []
    for _ in range(3):
        page = open_page(width=1440, height=900, script=WATCH)
        page.wait_for_timeout(1500)
        paint_ms = page.evaluate("window.seen.paint")
        started = page.evaluate("performance.now()")
        race_clip(page)
        page.wait_for_timeout(1000)
        seen = page.evaluate("window.seen")
        longest_ms = max([ms for at, ms in seen["tasks"] if at >= started] or [0])
        visits.append((seen["shift"], paint_ms, longest_ms))
        page.context.close()
        print("CLS {:.3f}, LCP {:.0f} ms, longest task {:.0f} ms".format(*visits[-1]))
    best = dict(zip(BARS, map(min, zip(*visits, strict=True)), strict=True))
    missed = [
        f"{name} {best[name]:.3g}, goal {goal}"
        for name, (most, goal) in BARS.items()
        if not figure(best[name], most, f"{name}, best of three visits", goal)
    ]
    if missed:
        pytest.xfail("; ".join(missed))


@pytest.mark.parametrize("width", [320, 390, 1440])
def test_targets_are_large_enough_and_nothing_is_cut_on_any_tab(open_page, width, figure):
    page = open_page(width=width, height=844)
    run_clip(page)
    sizes, cut, widest = [], [], 0
    for tab, sign in TABS.items():
        page.get_by_role("tab", name=tab).click()
        page.wait_for_selector(sign)
        page.wait_for_timeout(500)  # it is drawn
        sizes += [(px, f"{tab}: {name}") for px, name in page.evaluate(TARGETS)]
        cut += [f"{tab}: {element}" for element in page.evaluate(BEYOND)]
        widest = max(widest, page.evaluate("document.documentElement.scrollWidth"))
    print(*sorted(sizes)[:5], *cut, sep="\n")
    figure(24 - min(sizes)[0], 0, f"px that the smallest of {len(sizes)} targets lacks, {width} px")
    figure(len(cut), 0, f"elements beyond the edge on {len(TABS)} tabs, {width} px")
    figure(widest, width, f"px to the edge of the widest of {len(TABS)} tabs")
