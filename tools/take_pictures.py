"""Take the pictures of the page in docs: the first screen on a desk and on a phone, and a recorded
race in Chromium, tab by tab.

In: the address of a running page with the recorded race. Out: docs/page.png and docs/tour/*.webp,
but for docs/tour/before_*.webp, which show an earlier page.
Needs playwright (requirements-dev.txt) and a Chromium.

`python -m tools.take_pictures http://127.0.0.1:7860 --race "Two voices"`
"""

import argparse
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

DOCS = Path(__file__).parents[1] / "docs"
DESK, PHONE = (1040, 900), (390, 844)
FIRST = (("desk", (1440, 900), "light"), ("phone", PHONE, "dark"))  # screens, as in `before_*`
GAP = 24  # pixels between the screens of a phone
# File, tab, selector of an element that appears once the tab is drawn, height of the picture.
TABS = (
    ("listen", "Listen & diff", "#listen .voice", 1000),
    ("time", "Where the time goes", "#timings .measured", 640),
    ("components", "Components", "#board", 750),
    ("live", "Live", "#live-speak", 550),
    ("use", "Use it", "#use-it", 1080),
)
SCREENS = (None, "#panel-maxwhisper", "#verdict")  # of the phone: the element at the top


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("address")
    parser.add_argument("--race", default="Two voices", help="title of a recorded race")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, size, theme in FIRST:
            page = open_page(browser, f"{options.address}?__theme={theme}", size)
            page.wait_for_timeout(2000)
            save(shot(page, size[1]), DOCS / "tour" / f"after_{name}.webp")
        desk = open_race(browser, options.address, options.race, DESK)
        until = "e => Math.ceil(e.getBoundingClientRect().bottom) + 12"
        end = desk.locator("#panel-maxwhisper").evaluate(until)
        save(shot(desk, end), DOCS / "page.png")
        for name, tab, sign, height in TABS:
            desk.get_by_role("tab", name=tab).click()
            desk.locator(sign).first.wait_for(state="attached")
            desk.wait_for_timeout(2000)
            scroll_to(desk, "[role=tablist]")
            save(shot(desk, height), DOCS / "tour" / f"{name}.webp")
        phone = open_race(browser, options.address, options.race, PHONE)
        save(
            side_by_side([screen(phone, on_top) for on_top in SCREENS]),
            DOCS / "tour" / "phone.webp",
        )
        browser.close()


def open_race(browser: Browser, address: str, title: str, size: tuple[int, int]) -> Page:
    """Open the page in the light theme and load that recorded race."""
    page = open_page(browser, address, size)
    races = page.locator("#recorded-races")  # a clip has a button of the same name
    races.get_by_role("button", name=title).first.click()
    page.wait_for_selector("#chart .bar")
    page.wait_for_timeout(2000)
    page.evaluate("scrollTo(0, 0)")
    return page


def open_page(browser: Browser, address: str, size: tuple[int, int]) -> Page:
    """Open the page without animations; in the light theme, if the address names none."""
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="light",
        reduced_motion="reduce",
    )
    page.goto(address)
    page.locator("#recorded-races").wait_for(state="attached")
    return page


def scroll_to(page: Page, selector: str) -> None:
    place = "e => scrollTo(0, e.getBoundingClientRect().top + scrollY - 12)"
    page.locator(selector).first.evaluate(place)


def shot(page: Page, height: int) -> Image.Image:
    """Return a screenshot of the window, resized to `height` pixels."""
    width = page.viewport_size["width"] if page.viewport_size else DESK[0]
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(500)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def screen(page: Page, on_top: str | None) -> Image.Image:
    if on_top:
        scroll_to(page, on_top)
    return shot(page, PHONE[1])


def side_by_side(screens: Sequence[Image.Image]) -> Image.Image:
    """Place screens of equal size in a row."""
    width, height = screens[0].size
    row = Image.new("RGB", (len(screens) * (width + GAP) - GAP, height), "#e4ded4")
    for number, one in enumerate(screens):
        row.paste(one, (number * (width + GAP), 0))
    return row


def save(picture: Image.Image, path: Path) -> None:
    """Save a PNG with 64 colours, which GitHub shows everywhere, or a WebP."""
    if path.suffix == ".png":
        picture.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)
    else:
        picture.save(path, quality=80, method=6)
    print(path)


if __name__ == "__main__":
    main()
