"""Live on the real engine: Chromium's fake microphone plays a bundled clip in a loop."""

import time
import wave
from pathlib import Path

import numpy as np
import pytest

from maxwhisper.audio.load import decode
from maxwhisper.network.dims import SAMPLE_RATE
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


@pytest.fixture
def microphone(launch, tmp_path):
    """A Chromium whose microphone hears the clip."""
    sound = tmp_path / "said.wav"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((decode(CLIP) * 32767).astype(np.int16).tobytes())
    return launch(f"--use-file-for-fake-audio-capture={sound}")


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
