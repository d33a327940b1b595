"""What is done with a race that is over, in a real browser: replay, score, download, share."""

import json
import time
import zipfile

import pytest
from playwright.sync_api import expect

from tests.browser.test_page import OVERFLOW, RUN_ENABLED, WORST_CONTRAST, run_clip
from tests.fakes.page import served_page
from tests.fakes.runs import ENGINES, make_run, waveform

pytestmark = pytest.mark.browser

TEXTS = ("the quick brown fox", "jumps over <i>it</i>")
CALM = """() => { const real = window.matchMedia;
  window.matchMedia = query => query.includes('reduced-motion')
    ? {matches: true, addEventListener() {}} : real(query); }"""


@pytest.fixture
def kept(served):
    """A run that the page's store keeps."""
    run = make_run(TEXTS, audio_name="voice <i>memo</i>.m4a")
    served[3].save(run, waveform())
    return run


def open_run(open_page, run, **settings):
    page = open_page(query=f"run={run.id}", **settings)
    page.wait_for_selector("#share-links .address")
    page.wait_for_selector("#chart .bar")
    return page


def progress(page):
    return page.locator("#replay .progress").all_inner_texts()


def test_replay_starts_all_together_and_ends_as_recorded(open_page, kept):
    page = open_run(open_page, kept)
    assert progress(page) == ["3rd · 1.70 s", "2nd · 0.90 s", "1st · 0.70 s"]
    page.get_by_role("button", name="From the start").click()
    page.wait_for_function(
        "() => document.querySelector('#replay .progress').innerText === '1 of 2 segments'"
    )
    assert "jumps" not in page.inner_text("#replay .said >> nth=0")
    page.get_by_role("button", name="Pause").click()
    paused = page.inner_text("#replay .clock")
    page.wait_for_timeout(200)
    assert page.inner_text("#replay .clock") == paused
    page.get_by_label("Speed").select_option("16")
    page.get_by_role("button", name="Replay", exact=True).click()
    page.wait_for_function(
        "() => document.querySelector('#replay .progress').innerText === '3rd · 1.70 s'"
    )
    page.wait_for_function("() => document.querySelector('.play').innerText === 'Replay'")
    assert progress(page) == ["3rd · 1.70 s", "2nd · 0.90 s", "1st · 0.70 s"]
    assert page.locator("#replay i").count() == 3, "no markup from a transcript, only the bars"


def test_replay_from_the_start_again_and_again_keeps_one_clock(open_page, kept):
    page = open_run(open_page, kept)
    page.get_by_label("Speed").select_option("0.25")
    again = page.get_by_role("button", name="From the start")
    for _ in range(5):
        again.click()
    asked, drawn = page.evaluate(
        """async () => {
          const frame = window.requestAnimationFrame.bind(window);
          let asked = 0;
          window.requestAnimationFrame = then => {
            asked += then.name === 'tick';
            return frame(then);
          };
          for (let drawn = 0; drawn < 20; drawn += 1) await new Promise(frame);
          return [asked, 20];
        }"""
    )
    assert 0 < asked <= 2 * drawn, "one replay asks for one frame at a time"


def test_a_race_that_came_with_the_page_is_shown_with_its_provenance(open_page):
    page = open_page()
    page.get_by_role("button", name="A recorded clip · 4 s · Test CPU, 2 January 2026").click()
    page.locator("#share-links").get_by_text("does not expire").wait_for()
    assert "measured on 2 January 2026" in page.inner_text("#banner")
    assert "a race that came" in page.inner_text("#panel-maxwhisper")
    assert not page.locator("#delete").is_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download everything").click()
    assert "run.json" in zipfile.ZipFile(download.value.path()).namelist()


def test_replay_is_moved_by_keys_and_told_to_screen_readers(open_page, kept):
    page = open_run(open_page, kept)
    position = page.get_by_label("Seconds since the start")
    position.focus()
    page.keyboard.press("Home")
    assert progress(page) == ["0 of 2 segments"] * 3
    page.keyboard.press("End")
    assert position.get_attribute("aria-valuetext") == "1.7 seconds"
    page.get_by_label("Speed").select_option("16")
    page.get_by_role("button", name="From the start").press("Enter")
    page.wait_for_function(
        "() => document.querySelector('#replay .visually-hidden').textContent.includes("
        "'openai-whisper done after 1.70 seconds')"
    )


def test_replay_does_not_glide_for_who_wants_no_motion(open_page, kept):
    page = open_run(open_page, kept, script=f"({CALM})()")
    page.evaluate(
        """() => { window.seen = new Set();
        const clock = document.querySelector('#replay .clock');
        new MutationObserver(() => window.seen.add(clock.innerText))
          .observe(clock, {childList: true}); }"""
    )
    page.get_by_label("Speed").select_option("4")
    page.get_by_role("button", name="From the start").click()
    page.wait_for_function("() => window.seen.has('1.70 s')")
    moments = {"0.00 s", "0.30 s", "0.40 s", "0.60 s", "0.70 s", "0.80 s", "0.90 s", "1.60 s"}
    assert set(page.evaluate("() => [...window.seen]")) <= moments | {"1.70 s"}


def test_words_pasted_after_the_race_are_scored_and_kept(open_page, served):
    page, runs = open_page(), served[3]
    page.get_by_role("button", name="A tone").click()
    page.wait_for_function(RUN_ENABLED)
    page.click("#run")
    page.wait_for_selector("#share-links .address")
    assert "invented" in page.inner_text("#panel-maxwhisper dl").lower(), "nobody speaks in a tone"
    page.get_by_role("button", name="Options").click()
    correct = page.get_by_label("Correct transcript")
    expect(correct).to_have_value("[nobody speaks]")  # it comes a moment after the options open
    page.wait_for_timeout(500)  # Gradio sets it twice as the options open, sooner than one can type
    correct.fill("the quick brown cat")
    correct.blur()
    page.get_by_text("1 substituted, 0 deleted").first.wait_for()
    run_id = page.input_value("#share-links .address").partition("?run=")[2]
    assert runs.load(run_id).reference == "the quick brown cat"


def test_everything_downloads_as_one_zip(open_page, tmp_path):
    page = open_page()
    page.get_by_role("button", name="Options").click()
    page.get_by_label("1", exact=True).check()
    run_clip(page)
    page.wait_for_selector("#share-links .download")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download everything").click()
    download.value.save_as(tmp_path / "run.zip")
    with zipfile.ZipFile(tmp_path / "run.zip") as archive:
        names = set(archive.namelist())
        record = json.loads(archive.read("run.json"))
    formats = ("txt", "srt", "vtt", "tsv", "json")
    assert names == {
        *("run.json", "audio.flac", "chart.html"),
        *(f"{engine}.{kind}" for engine in ENGINES for kind in formats),
    }
    assert record["rounds"] == 1
    assert all(len(result["seconds"]) == 1 for result in record["results"])
    assert download.value.suggested_filename == f"maxwhisper-{record['id']}.zip"


def test_a_link_works_after_a_restart_and_not_after_deletion(browser, tmp_path):
    with pytest.MonkeyPatch.context() as patch, served_page(patch, tmp_path) as (address, *_):
        page = browser.new_page()
        page.goto(address)
        run_clip(page)
        page.wait_for_selector("#share-links .address")
        link = page.input_value("#share-links .address")
        assert link.startswith(f"{address}?run=")
        texts = page.locator(".engine-panel .words").all_inner_texts()
        lead = page.inner_text("#verdict .lead")
        page.close()
    with pytest.MonkeyPatch.context() as patch, served_page(patch, tmp_path) as (again, *_, runs):
        page = browser.new_page()
        page.goto(link.replace(address, again))
        page.wait_for_selector("#share-links .address")  # the landing has a race of its own
        page.wait_for_selector("#chart .bar")
        assert page.locator(".engine-panel .words").all_inner_texts() == texts
        assert page.inner_text("#verdict .lead") == lead
        assert page.locator("#replay .track").count() == 3
        assert "Test CPU" in page.inner_text(".recorded")
        assert not page.get_by_role("button", name="Delete this race").is_visible()
        runs.delete(link.partition("?run=")[2])
        page.reload()
        page.get_by_text("no longer available").wait_for()
        page.close()


def test_a_race_is_deleted_by_who_ran_it(open_page, served):
    page, runs = open_page(), served[3]
    run_clip(page)
    page.wait_for_selector("#share-links .address")
    run_id = page.input_value("#share-links .address").partition("?run=")[2]
    assert runs.audio_path(run_id).is_file()
    delete = page.get_by_role("button", name="Delete this race")
    page.once("dialog", lambda dialog: dialog.dismiss())
    delete.click()
    page.wait_for_timeout(500)
    assert runs.audio_path(run_id).is_file(), "asked first"
    page.once("dialog", lambda dialog: dialog.accept())
    delete.click()
    page.get_by_text("Deleted: ").wait_for()
    page.wait_for_selector("#share-links .address", state="detached")
    with pytest.raises(Exception, match="no longer available"):
        runs.load(run_id)


def test_a_race_not_to_be_kept_goes_with_its_page(open_page, served):
    page, runs = open_page(), served[3]
    page.get_by_role("button", name="Options").click()
    page.get_by_label("Save with a share link").uncheck()
    run_clip(page)
    page.wait_for_selector("#share-links .download")
    assert page.locator("#share-links .address").count() == 0
    assert "deletes its transcripts and recording when you close" in page.inner_text("#share-links")
    run_id = page.get_attribute("#share-links .download", "href").split("/")[-2]
    page.get_by_role("tab", name="Listen & diff").click()
    page.wait_for_selector("#listen audio")
    assert runs.audio_path(run_id).is_file()
    page.close()
    deadline = time.monotonic() + 30
    while runs.is_temporary(run_id) and time.monotonic() < deadline:
        time.sleep(0.2)
    with pytest.raises(Exception, match="no longer available"):
        runs.load(run_id)


def test_a_link_cut_off_is_explained_and_the_page_still_works(open_page):
    page = open_page(query="run=<b>cut")
    page.get_by_text("This link is not complete").wait_for()
    run_clip(page)
    assert page.locator(".problem").count() == 0


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (390, "light"), (1280, "dark")])
def test_a_stored_race_fits_and_reads(open_page, kept, width, theme):
    page = open_run(open_page, kept, width=width, theme=theme)
    assert page.evaluate(OVERFLOW) <= 0
    ratio, where = page.evaluate(WORST_CONTRAST)
    assert ratio >= 4.5, where
