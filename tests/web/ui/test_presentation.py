"""The page's scripts as text: the tour's length, and that nothing in them becomes markup."""

import re
from pathlib import Path

import pytest

import maxwhisper.web.ui

UI = Path(maxwhisper.web.ui.__file__).parent
SCRIPT = (UI / "page.js").read_text()


def test_the_tour_takes_a_minute():
    assert sum(int(s) for s in re.findall(r"\{s: (\d+), tab:", SCRIPT)) == 60


@pytest.mark.parametrize("name", ["page.js", "recorder.js"])
def test_text_is_set_as_text(name):
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\("
    assert not re.search(markup, (UI / name).read_text())


def test_every_key_is_listed_once():
    keys = re.findall(r"^    \['(.)', '", SCRIPT, re.MULTILINE)
    assert len(keys) == len(set(keys)) == 6
