"""What axe-core finds on every tab, before and after a race, on a desk and on a phone, in light and
dark: nothing."""

import pytest

from tests.browser.test_page import TABS, run_clip

pytestmark = pytest.mark.browser


def violations(page):
    """A line for each element that breaks a rule: the rule and the element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not here")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['html'][:150]}"
        for rule in found
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing_on_any_tab(open_page, width, theme, figure):
    page = open_page(width=width, height=844, theme=theme)
    page.wait_for_selector("#keys", state="attached")
    found = []

    def look(when):
        for tab in TABS:
            page.get_by_role("tab", name=tab).click()
            page.wait_for_timeout(500)  # it is drawn, and has faded in
            found.extend(f"{tab} {when}: {each}" for each in violations(page))
        page.get_by_role("tab", name="Race").click()

    look("before a race")
    run_clip(page)
    look("after it")
    print(*found, sep="\n")
    figure(len(found), 0, f"violations that axe finds on {len(TABS)} tabs, {width} px, {theme}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_what_opens_above_the_page(open_page, theme, figure):
    page, found = open_page(theme=theme), []
    page.wait_for_selector("#share", state="attached")
    for key, opened in (("?", "#keys[open]"), ("q", "#share[open]"), ("t", "#tour:not([hidden])")):
        page.locator("h1").click()
        page.keyboard.press(key)
        page.wait_for_selector(opened)
        found += violations(page)
        page.keyboard.press("Escape")
    print(*found, sep="\n")
    figure(len(found), 0, f"violations that axe finds in dialogs and tour, {theme}")
