"""What a visitor does, in a real browser: choose, run, stop, check; on a desk and on a phone."""

import re

import pytest

from maxwhisper.web.server.uploads import MAX_FILE_MB
from tests.fakes import page as fake_page
from tests.fakes.audio_files import encode
from tests.fakes.engine_processes import wait_until
from tests.fakes.page import write_wav

pytestmark = pytest.mark.browser

ENGINES = ("openai-whisper", "faster-whisper", "maxwhisper")
# Every tab, and something that is there once it is drawn.
TABS = {
    "Race": "#verdict .lead",
    "Listen & diff": ".diff",
    "Where the time goes": ".engine-stages",
    "Components": ".check",
    "Live": "button:visible",
    "Use it": ".code",
}
RUN_ENABLED = "() => !document.querySelector('#run').disabled"
# Smallest contrast of visible text against the nearest painted background (WCAG 2 formula).
WORST_CONTRAST = """() => {
  const rgba = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = c => {
    const [r, g, b] = c.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = rgba(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c.slice(0, 3);
    }
    return rgba(getComputedStyle(document.body).backgroundColor).slice(0, 3);
  };
  let worst = [21, ''];
  for (const e of document.querySelectorAll('.gradio-container *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest('[disabled], svg')) continue;
    const [a, b] = [light(rgba(getComputedStyle(e).color).slice(0, 3)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, `${e.tagName}.${e.className}: ${e.textContent}`];
  }
  return worst;
}"""
# Controls without a name for a screen reader, or out of the Tab key's reach (tabs have arrow keys).
UNREACHABLE = """() => {
  const text = ids => (ids || '').split(' ').map(id => document.getElementById(id)?.textContent);
  const names = e => [e.getAttribute('aria-label'), ...text(e.getAttribute('aria-labelledby')),
    ...[...(e.labels || [])].map(label => label.textContent), e.title, e.textContent];
  const controls = 'button, a[href], input, select, textarea, audio, summary, [tabindex="0"]';
  return [...document.querySelectorAll('.gradio-container *')]
    .filter(e => e.matches(controls) && e.checkVisibility() && !e.disabled)
    .filter(e => !names(e).some(n => n?.trim()) || (e.tabIndex < 0 && e.role !== 'tab'))
    .map(e => e.outerHTML.slice(0, 200));
}"""
# Sentences that end beyond the edge: where a parent hides what is too wide, nothing overflows.
CUT = """() => [...document.querySelectorAll('.hint, .notice, .measured, .recorded')]
  .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth)
  .map(e => e.textContent)"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def run_clip(page):
    page.get_by_role("button", name="A short clip").click()
    page.wait_for_function(RUN_ENABLED)
    page.click("#run")
    page.wait_for_selector("#verdict .lead")


def begin_slow_race(page):
    page.get_by_role("button", name="Model and settings").click()
    page.get_by_label("Initial prompt").fill("slow")  # 14 s an engine
    page.get_by_role("button", name="A short clip").click()
    page.wait_for_function(RUN_ENABLED)
    page.click("#run")
    page.wait_for_selector(".engine-panel.running .words time")  # text comes while the engine works


def lane_texts(page):
    return [page.inner_text(f"#panel-{name} .words") for name in ENGINES]


def test_clip_fills_three_lanes_and_draws_the_chart(open_page):
    page = open_page()
    # A new visitor sees how it stands now, as soon as the page has asked.
    page.wait_for_function("() => document.querySelectorAll('.chip.ready').length === 3")
    run_clip(page)
    assert all("<b>quick</b>" in text for text in lane_texts(page))  # shown, not obeyed
    assert page.locator(".engine-panel.done").count() == 3
    assert "%" in page.inner_text("#panel-maxwhisper dl")  # the clip's words are known
    lead = page.inner_text("#verdict .lead")  # this machine may be busy
    assert re.search(r"was fastest: .*×|^Too close or too noisy to call: .", lead), lead
    page.wait_for_selector("#chart .bar")
    assert page.locator("#chart .bar").count() == 3
    page.wait_for_function(RUN_ENABLED)  # and again


def test_a_race_comes_into_view_with_its_stop(open_page):
    page = open_page(width=390, height=844)
    page.get_by_role("button", name="A short clip").click()
    page.wait_for_function(RUN_ENABLED)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    top = "document.querySelector('.band').getBoundingClientRect().top / innerHeight"
    page.wait_for_function(f"() => {top} < -0.3")
    page.click("#run")
    page.wait_for_function(f"() => {top} > -0.1 && {top} < 0.5")
    stop = page.evaluate("document.querySelector('#stop').getBoundingClientRect().bottom")
    assert 0 < stop <= 844


def test_the_model_and_its_limits_stand_beside_the_result(open_page):
    page = open_page()
    assert "demo is a small English Whisper" in page.inner_text(".notice")
    page.get_by_role("button", name="Model and settings").click()
    page.get_by_label("Model", exact=True).click()
    page.get_by_role("option", name="tiny · 38 M parameters").click()
    run_clip(page)
    assert "tiny is OpenAI's model" in page.inner_text("#verdict")


def test_what_weights_cannot_do_is_not_offered_and_their_refusal_is_said_once(open_page):
    page = open_page()
    page.get_by_role("button", name="Model and settings").click()
    language, task = (page.get_by_label(name, exact=True) for name in ("Language", "Task"))
    assert language.is_disabled(), "demo knows English alone"
    assert task.is_disabled()
    page.get_by_label("Model", exact=True).click()
    page.get_by_role("option", name="tiny · 38 M parameters").click()
    language.click()
    page.get_by_role("option", name="Welsh").click()
    task.click()
    page.get_by_role("option", name="translate").click()
    page.get_by_label("Model", exact=True).click()
    page.get_by_role("option", name="demo").click()
    page.wait_for_function("() => document.querySelector('#language input').value === 'English'")
    assert language.is_disabled()
    page.get_by_label("Initial prompt").fill("refuse")
    page.get_by_role("button", name="A short clip").click()
    page.wait_for_function(RUN_ENABLED)
    page.click("#run")
    page.get_by_text("No engine gave a result: does not support initial_prompt").wait_for()
    # The log for screen readers tells of each engine as it refuses, if that is seen in a redraw.
    outside = "all => all.filter(each => !each.closest('#told')).length"
    assert page.get_by_text("does not support initial_prompt").evaluate_all(outside) == 1


def test_upload_runs_twice_and_leaves_no_file(open_page, served, tmp_path):
    page, uploads = open_page(), served[1]
    page.set_input_files("#recording input[type=file]", write_wav(tmp_path / "voice <i>.wav"))
    page.wait_for_function(RUN_ENABLED)
    assert list(uploads.root.rglob("voice*"))
    for _ in range(2):
        page.click("#run")
        page.wait_for_selector("#verdict .lead")
        page.wait_for_function(RUN_ENABLED)
        assert not list(uploads.root.rglob("voice*"))
    # The first run's verdict may still stand while the second begins: wait for the second's end.
    for name in ENGINES:
        page.wait_for_function(
            f"document.querySelector('#panel-{name} .words')?.innerText.includes('friends')"
        )


def test_bad_upload_is_explained_when_it_arrives(open_page, served, tmp_path):
    page, uploads = open_page(), served[1]
    blip = write_wav(tmp_path / "blip.wav", seconds=0.05)
    page.set_input_files("#recording input[type=file]", blip)
    page.locator("#recording-refused").get_by_text("Record a little longer").wait_for()
    assert not list(uploads.root.rglob("blip*"))
    assert page.locator("#run").is_disabled()
    page.get_by_role("button", name="A tone").click()
    page.wait_for_function(RUN_ENABLED)
    assert page.locator("#recording-refused .problem").count() == 0  # it was about the other file


def test_a_file_of_another_kind_is_refused_in_our_words_and_goes(open_page):
    page = open_page()
    cv = {"name": "cv.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7\n\xe2\xe3"}
    page.set_input_files("#recording input[type=file]", cv)
    page.locator("#recording-refused").get_by_text(
        "This is a PDF document, not audio. Choose"
    ).wait_for()
    assert page.get_by_text("Invalid file type").count() == 0
    page.wait_for_selector("#recording input[type=file]", state="attached")  # to choose another
    assert page.locator("#run").is_disabled()
    page.get_by_role("button", name="A short clip").click()
    page.wait_for_function(RUN_ENABLED)
    assert page.locator("#recording-refused .problem").count() == 0


def test_a_file_that_is_too_large_is_refused_in_our_words_and_not_sent(open_page, tmp_path):
    page = open_page()
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "upload" in request.url else 0)
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(MAX_FILE_MB * 2**20 + 1)
    page.set_input_files("#recording input[type=file]", large)
    page.locator("#recording-refused").get_by_text("the limit is 25 MB").wait_for()
    assert page.get_by_text("exceeds the maximum").count() == 0
    assert sent == []
    assert page.locator("#run").is_disabled()
    page.get_by_role("button", name="A short clip").click()
    page.wait_for_function(RUN_ENABLED)
    assert page.locator("#recording-refused .problem").count() == 0


def test_sending_a_recording_may_be_stopped(open_page, tmp_path):
    page, held = open_page(width=390), []
    sending = "**/gradio_api/upload*"  # and its progress, which the server knows nothing of for now
    page.route(sending, lambda route: held.append(route))  # a very slow network
    clip = write_wav(tmp_path / "long.wav", 2.0)
    with page.expect_event("requestfailed", lambda request: "/gradio_api/upload?" in request.url):
        page.set_input_files("#recording input[type=file]", clip)
        page.get_by_role("button", name="Cancel upload").click()
    page.get_by_role("button", name="Cancel upload").wait_for(state="detached")
    assert page.locator("#run").is_disabled()
    page.unroute(sending)
    page.set_input_files("#recording input[type=file]", clip)
    page.wait_for_function(RUN_ENABLED)
    assert page.get_by_role("button", name="Cancel upload").count() == 0


def test_an_upload_is_told_in_per_cent_on_a_slow_network(open_page, tmp_path, figure):
    page = open_page()
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    speeds = {"latency": 50, "downloadThroughput": -1, "uploadThroughput": 100_000}  # bytes/s
    network.send("Network.emulateNetworkConditions", {"offline": False, **speeds})
    page.evaluate(
        """() => { window.told = new Set();
        new MutationObserver(() => { for (const e of document.querySelectorAll('.cancel-upload'))
          window.told.add(e.textContent); }).observe(document.body, {childList: true, subtree: true,
          characterData: true}); }"""
    )
    clip = write_wav(tmp_path / "long.wav", 16.0)  # 512 kB: 5 s
    page.set_input_files("#recording input[type=file]", clip)
    page.wait_for_function(RUN_ENABLED)
    told = page.evaluate("[...window.told]")
    percents = [int(found[1]) for found in map(re.compile(r"(\d+) %").search, told) if found]
    print(*told, sep="\n")
    between = [each for each in percents if 0 < each < 100]
    assert percents == sorted(percents)
    figure(3 - len(between), 0, "figures of per cent that an upload of 5 s lacks, of three")


def test_the_sound_of_a_video_is_raced(open_page, tmp_path):
    page = open_page()
    video = tmp_path / "talk.mp4"
    video.write_bytes(encode("mp4", "aac", with_picture=True))
    page.set_input_files("#recording input[type=file]", video)
    page.wait_for_function(RUN_ENABLED)
    page.click("#run")
    page.wait_for_selector("#verdict .lead")


def test_run_waits_for_a_recording_that_is_on_its_way(open_page, served, tmp_path):
    page, held = open_page(), []
    page.get_by_role("button", name="A short clip").click()
    page.wait_for_function(RUN_ENABLED)
    clicks = "**/gradio_api/queue/join*"
    page.route(clicks, lambda route: held.append(route))  # a slow network: none is heard yet
    page.locator("#recording").get_by_label("Clear").click()
    page.wait_for_function("() => document.querySelector('#run').disabled")
    page.set_input_files("#recording input[type=file]", write_wav(tmp_path / "next.wav", 1.5))
    page.locator("#recording").get_by_label("Clear").wait_for()  # it is there
    assert page.locator("#run").is_disabled()
    page.route(clicks, lambda route: route.continue_())
    while held:
        held.pop(0).continue_()
    page.wait_for_function(RUN_ENABLED)
    page.click("#run")
    page.wait_for_selector("#share-links .address")
    raced = served[3].load(page.input_value("#share-links .address").partition("?run=")[2])
    assert (raced.audio_name, raced.audio_s) == ("next.wav", 1.5)


def test_run_stays_off_after_a_race_whose_recording_was_cleared(open_page):
    page = open_page()
    begin_slow_race(page)
    page.locator("#recording").get_by_label("Clear").click()
    page.click("#stop")
    page.wait_for_selector(".engine-panel.stopped")
    page.wait_for_timeout(1000)
    assert page.locator("#run").is_disabled()


def test_stop_ends_the_run(open_page):
    page = open_page()
    assert "demo is a small English Whisper" in page.inner_text(".notice")
    begin_slow_race(page)
    page.click("#stop")
    page.wait_for_selector(".engine-panel.stopped", timeout=5000)
    page.wait_for_function(RUN_ENABLED)


def test_a_running_lane_shows_text_and_ticks_in_tenths(open_page):
    page = open_page()
    begin_slow_race(page)
    page.wait_for_selector(".engine-panel.running .words p")
    assert "Text arrives" in page.inner_text(".engine-panel.running .fine")
    waiting = page.locator(".engine-panel.waiting .state").all_inner_texts()
    assert sorted(waiting) == ["Waiting its turn: 2nd", "Waiting its turn: 3rd"]
    shown = page.evaluate(
        """() => new Promise(done => {
          const shown = [], end = performance.now() + 2000;
          (function look() {
            const clock = document.querySelector('.engine-panel.running .ticking');
            if (clock && shown.at(-1) !== clock.textContent) shown.push(clock.textContent);
            if (performance.now() < end) requestAnimationFrame(look); else done(shown);
          })();
        })"""
    )
    seconds = [float(text.removesuffix(" s")) for text in shown]
    assert seconds == sorted(seconds), "it never goes back"
    assert 1.5 < seconds[-1] - seconds[0] < 2.5
    assert len(seconds) >= 10, shown
    page.click("#stop")
    page.wait_for_selector(".engine-panel.stopped")
    assert page.locator(".ticking").count() == 0


def test_who_waits_is_told_his_place_and_may_leave(open_page, served):
    first, second, pool = open_page(), open_page(), served[2]
    with pool.device(lambda: False):  # the first race lasts until it is let go
        for page in (first, second):
            page.get_by_role("button", name="A short clip").click()
            page.wait_for_function(RUN_ENABLED)
            page.click("#run")
            page.wait_for_selector("#stop:not([disabled])")
        second.get_by_text("Waiting for one run ahead of yours.").wait_for()
        second.click("#stop")
        second.wait_for_selector(".engine-panel.stopped", timeout=5000)
        second.wait_for_function(RUN_ENABLED)
        assert second.inner_text("#banner").strip() == ""
    first.wait_for_selector("#verdict .lead")


def test_closing_the_tab_frees_the_device(open_page, served):
    page, pool = open_page(), served[2]
    begin_slow_race(page)
    assert pool.is_busy
    page.close()
    wait_until(lambda: not pool.is_busy, timeout_s=10)


def test_components_run_on_demand(open_page):
    page = open_page()
    page.get_by_role("tab", name="Components").click()
    page.wait_for_selector(".check")
    assert not page.get_by_label("the CPU").is_visible(), "it is all there is"
    page.click("#run-checks")
    page.wait_for_selector(".check.failed")
    assert page.locator(".check.passed").count() == 2
    assert "2/3 passed · 1 failed · 0.0 s" in page.inner_text("#board")


def test_beside_a_gpu_checks_may_run_on_the_processor(browser, tmp_path):
    gpu = {"name": "A GPU", "driver_version": "570.1", "memory.total": "1"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fake_page.MACHINE, "gpus", [gpu])
        with fake_page.served_page(patch, tmp_path) as (address, *_):
            page = browser.new_page()
            page.goto(address)
            page.get_by_role("tab", name="Components").click()
            page.get_by_role("button", name="Run the check log-mel").click()
            page.get_by_text("ms on cpu ·").wait_for()
            page.get_by_label("the CPU").check()
            page.get_by_role("button", name="Run the check log-mel").click()
            page.get_by_text("ms on cpu, as asked ·").wait_for()
            page.click("#run-checks")
            page.wait_for_selector(".check.failed")
            assert page.get_by_text("ms on cpu, as asked ·").count() == 3
            page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_every_tab_fits_and_reads(open_page, width, theme):
    page = open_page(width=width, theme=theme)
    run_clip(page)
    page.wait_for_selector("#chart .bar")
    for tab, sign in TABS.items():
        page.get_by_role("tab", name=tab).click()
        page.wait_for_selector(sign)
        assert page.evaluate(OVERFLOW) <= 0
        assert page.evaluate(CUT) == []
        assert page.evaluate(UNREACHABLE) == []
        ratio, where = page.evaluate(WORST_CONTRAST)
        assert ratio >= 4.5, where


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_opens_later_is_named_and_reads_too(open_page, theme):
    page = open_page(width=390, theme=theme, query="run=cut")  # the banner has a problem
    page.wait_for_selector("#banner .problem")
    page.wait_for_selector("#share", state="attached")
    page.get_by_role("button", name="Model and settings").click()
    page.get_by_label("Initial prompt").wait_for()

    def has_no_fault():
        assert page.evaluate(OVERFLOW) <= 0
        assert page.evaluate(UNREACHABLE) == []
        ratio, where = page.evaluate(WORST_CONTRAST)
        assert ratio >= 4.5, where

    has_no_fault()
    for key, dialog in (("?", "#keys"), ("q", "#share")):
        page.locator("h1").click()
        page.keyboard.press(key)
        page.wait_for_selector(f"{dialog}[open]")
        has_no_fault()
        page.keyboard.press("Escape")
    page.keyboard.press("t")
    page.wait_for_selector("#tour:not([hidden])")
    has_no_fault()
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Components").click()
    page.get_by_role("combobox", name="Clip").click()
    page.get_by_role("option", name="A recording of my own").click()
    page.wait_for_selector("#layers-recording input[type=file]", state="attached")
    page.click("#run-layers")
    page.get_by_text("Choose a recording first").first.wait_for()
    has_no_fault()


@pytest.mark.parametrize("secure", [True, False])
def test_a_page_without_https_says_that_it_has_no_microphone(open_page, secure):
    page = open_page(
        script=f"Object.defineProperty(window, 'isSecureContext', {{value: {str(secure).lower()}}})"
    )
    page.wait_for_function("() => document.documentElement.style.cssText.includes('--insecure')")
    assert page.get_by_text("served over https").is_visible() is not secure
