"""A real Chromium on the real page, with engines that sleep instead of computing."""

import contextlib
import shutil
import wave

import numpy as np
import pytest

from tests.fakes.page import served_page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]


@pytest.fixture(scope="package")
def launch():
    """A function that starts a Chromium with more arguments than `ARGUMENTS`; all are closed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if executable is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver, contextlib.ExitStack() as started:

        def launch_it(*more):
            chromium = driver.chromium.launch(executable_path=executable, args=[*ARGUMENTS, *more])
            started.callback(chromium.close)
            return chromium

        yield launch_it


@pytest.fixture(scope="package")
def browser(launch):
    return launch()


@pytest.fixture(scope="module")
def served(browser, tmp_path_factory):
    """(address, uploads, pool, runs) of one server for a file of browser tests; then the real
    engines are back in their places."""
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(patch, tmp_path_factory.mktemp("page")) as page,
    ):
        yield page


UNPLAYABLE = "Waveform load error"  # gradio's player of a file that a browser cannot play
REFUSED = "Response"  # gradio's log of a refused request, which is a problem of its own, or
PROGRESS = "/upload_progress?"  # of an upload that takes 3 s to begin, as under load: 404
GONE = (".pdf", ".txt")  # refused at once: the player may ask for a file that is deleted by then


@pytest.fixture
def open_page(browser, served):
    """A function that opens the page, ready for clicks; a console error or a failed request fails
    the test at its end."""
    contexts, problems = [], []

    def is_expected(url):
        return PROGRESS in url or ("/gradio_api/file=" in url and url.endswith(GONE))

    def note(message):
        text, url = message.text, message.location["url"]
        known = text.startswith(UNPLAYABLE) or text == REFUSED or is_expected(url)
        if message.type == "error" and not known:
            problems.append(text)

    def refused(response):
        if response.status >= 400 and not is_expected(response.url):
            problems.append(response.url)

    def open_it(width=1440, height=1000, theme="light", script="", query=""):
        context = browser.new_context(
            viewport={"width": width, "height": height}, permissions=["microphone"]
        )
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(script)
        page.on("console", note)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("response", refused)
        page.goto(f"{served[0]}?__theme={theme}&{query}")
        page.get_by_role("button", name="A short clip").wait_for()
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def speaker(launch, served, tmp_path):
    """A function that opens a page whose microphone hears half a second of noise, 1.2 s of a voice,
    and silence."""
    contexts = []

    def open_it(**how):
        rng = np.random.default_rng(27)
        said = np.concatenate(
            [np.zeros(24_000), np.sin(np.arange(57_600) * 0.05), np.zeros(480_000)]
        )
        samples = (8000 * said + 20 * rng.standard_normal(said.size)).astype("<i2")
        path = tmp_path / "voice.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 48_000, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
        chromium = launch(f"--use-file-for-fake-audio-capture={path}%noloop")
        context = chromium.new_context(**{"permissions": ["microphone"], **how})
        contexts.append(context)
        page = context.new_page()
        page.goto(served[0])
        page.get_by_role("button", name="A short clip").wait_for()
        return page

    yield open_it
    for context in contexts:
        context.close()
