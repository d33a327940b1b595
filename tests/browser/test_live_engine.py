"""Text while it is heard, on the real engines: in the lanes of a race, and live. Chromium's fake
microphone plays a bundled clip. When its words were spoken is known from the voice that made it."""

import difflib
import json
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from maxwhisper.audio.load import decode
from maxwhisper.network.dims import SAMPLE_RATE
from tests.browser.test_page import RUN_ENABLED
from tests.fakes.page import served_page

pytestmark = pytest.mark.browser

CLIP = Path(__file__).parents[2] / "examples" / "clips" / "plain.flac"
SAID = {"kettle", "already", "singing", "kitchen", "door", "snow", "garden", "wall"}
WATCH = """() => { window.lags = new Set(); window.wasTentative = false;
  new MutationObserver(() => {
    const meter = document.querySelector('.live [role=meter]');
    if (meter) window.lags.add(meter.getAttribute('aria-valuenow'));
    window.wasTentative ||= Boolean(document.querySelector('.live .tentative'));
  }).observe(document.querySelector('#live'), {childList: true, subtree: true}); }"""
COMMITTED = """() => {
  const said = document.querySelector('.live .transcript')?.cloneNode(true);
  said?.querySelectorAll('.tentative, .empty').forEach(e => e.remove());
  return said?.innerText.trim() ?? ''; }"""
PATIENCE_MS = 120_000  # a busy machine
ENGINES = ("openai-whisper", "faster-whisper", "maxwhisper")
# Milliseconds at which a lane began to run, as its clock says, and at which it first had words.
FIRST_WORDS = """engines => { window.first = {};
  for (const engine of engines) {
    const lane = document.querySelector(`#panel-${engine}`), seen = window.first[engine] = {};
    new MutationObserver(() => {
      const clock = lane.querySelector('.engine-panel.running .ticking');
      if (clock) seen.began ??= performance.now() - 1000 * clock.dataset.elapsed;
      if (clock) seen.turn ??= clock.dataset.turn;
      const words = lane.querySelector('.words p:not(.empty)');
      if (seen.began && words) seen.words ??= performance.now();
    }).observe(lane, {childList: true, characterData: true, subtree: true});
  } }"""
# Milliseconds at which the first sound reached the page, and at which the n-th word was final.
SPOKEN = """const media = navigator.mediaDevices, ask = media.getUserMedia.bind(media);
window.began = null; window.final = [];
media.getUserMedia = async wish => {
  const heard = await ask(wish), context = new AudioContext(), ear = context.createAnalyser();
  context.createMediaStreamSource(heard).connect(ear);
  const samples = new Float32Array(ear.fftSize = 512);
  const listen = setInterval(() => {
    ear.getFloatTimeDomainData(samples);
    if (!samples.some(sample => Math.abs(sample) > LOUD)) return;
    window.began = performance.now();
    clearInterval(listen);
  }, 10);
  return heard;
};"""
LOUD = 0.02  # of a sample: the clip is silent until its first word
NOTE_FINAL = f"""() => new MutationObserver(() => {{
  const n = ({COMMITTED})().split(' ').filter(Boolean).length;
  while (window.final.length < n) window.final.push(performance.now());
}}).observe(document.querySelector('#live'),
  {{childList: true, characterData: true, subtree: true}})"""


@pytest.fixture
def microphone(launch, tmp_path):
    """A Chromium whose microphone hears the clip in a loop."""
    return listening(launch, tmp_path)


def listening(launch, tmp_path, how=""):
    sound = tmp_path / "said.wav"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((decode(CLIP) * 32767).astype(np.int16).tobytes())
    return launch(f"--use-file-for-fake-audio-capture={sound}{how}")


def test_words_are_committed_during_speech_and_stop_ends_the_session(microphone, tmp_path):
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(patch, tmp_path, real_engines=("maxwhisper",)) as (address, *_),
    ):
        page = microphone.new_context(permissions=["microphone"]).new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(address)
        page.get_by_role("tab", name="Live").click()
        stop = page.get_by_role("button", name="Stop").and_(page.locator("#live-stop"))
        assert stop.is_disabled(), "nothing to stop yet"
        page.evaluate(WATCH)
        page.get_by_role("button", name="Start speaking").click()
        page.wait_for_function(f"() => ({COMMITTED})().split(' ').length >= 5")
        before = page.evaluate(COMMITTED)
        stop.click()
        pressed_s = time.monotonic()
        page.wait_for_selector(".live.over", timeout=5000)
        assert time.monotonic() - pressed_s < 5
        after = page.evaluate(COMMITTED)
        assert stop.is_disabled()
        assert page.evaluate("() => window.wasTentative")
        assert page.evaluate("() => window.lags.size") > 1, "the meter moves"
    assert after.startswith(before), "committed words stay"
    assert SAID & {word.strip(".,").lower() for word in after.split()}


@pytest.mark.slow
def test_first_words_of_a_race_come_long_before_its_end(browser, tmp_path, figure):
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(patch, tmp_path, real_engines=ENGINES) as (address, *_),
    ):
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(address)
        page.set_input_files("#recording input[type=file]", CLIP)
        page.wait_for_function(RUN_ENABLED)
        page.evaluate(FIRST_WORDS, ENGINES)
        page.click("#run")
        page.wait_for_selector("#share-links .download")
        seen = page.evaluate("window.first")
        page.context.close()
    assert {at["turn"] for at in seen.values()} == {"1"}, "the first round was seen"
    waits_s = {name: (at["words"] - at["began"]) / 1000 for name, at in seen.items()}
    print({name: f"{s:.2f} s" for name, s in waits_s.items()})
    # The baselines give whole segments: theirs come when the window is decoded.
    hit = [
        figure(waits_s[name], 5.0, f"s to the first words of {name}, {CLIP.name}", 0.3)
        for name in ENGINES
    ]
    if not hit[-1]:
        pytest.xfail(f"first words of maxwhisper after {waits_s['maxwhisper']:.2f} s, goal 0.3 s")


@pytest.mark.slow
def test_words_are_final_soon_after_they_were_spoken(launch, tmp_path, figure):
    truth = next(
        each
        for each in json.loads((CLIP.parent / "clips.json").read_text())
        if each["file"] == CLIP.name
    )["words"]
    onset_s = np.flatnonzero(np.abs(decode(CLIP)) > LOUD)[0] / SAMPLE_RATE
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(patch, tmp_path, real_engines=("maxwhisper",)) as (address, *_),
    ):
        chromium = listening(launch, tmp_path, "%noloop")
        page = chromium.new_context(permissions=["microphone"]).new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(SPOKEN.replace("LOUD", str(LOUD)))
        page.goto(address)
        page.get_by_role("tab", name="Live").click()
        page.evaluate(NOTE_FINAL)
        page.get_by_role("button", name="Start speaking").click()
        page.wait_for_function(f"() => window.final.length >= {len(truth) - 1}")
        began, final, said = page.evaluate(f"() => [window.began, window.final, ({COMMITTED})()]")
        told = page.inner_text(".live dl")
        page.click("#live-stop")
        page.wait_for_selector(".live.over")
    heard = [word.strip(".,").lower() for word in said.split()]
    spoken = [word["word"].strip(".,").lower() for word in truth]
    delays_s = [
        (final[block.b + i] - began) / 1000 - (truth[block.a + i]["end"] - onset_s)
        for block in difflib.SequenceMatcher(None, spoken, heard).get_matching_blocks()
        for i in range(block.size)
    ]
    print(*(f"{delay:.2f} s" for delay in delays_s), f"The page says: {told}", sep="\n")
    assert len(delays_s) >= len(truth) // 2, said
    middle, most = np.median(delays_s), max(delays_s)
    within = sum(delay <= 1.0 for delay in delays_s) / len(delays_s)
    print(f"{within:.0%} of {len(delays_s)} words within 1 s")
    hit = [
        figure(middle, 4.0, "s from the end of a word until it is final, live, median", 1.0),
        figure(most, 8.0, "s from the end of a word until it is final, live, longest", 1.0),
    ]
    if not all(hit):
        pytest.xfail(f"words are final {middle:.2f} s after they end, at most {most:.2f}; goal 1 s")
