"""page.js as text: the tour's length, and that nothing in it becomes markup."""

import re
from pathlib import Path

import maxwhisper.ui

SCRIPT = (Path(maxwhisper.ui.__file__).parent / "page.js").read_text()


def test_the_tour_takes_90_seconds():
    assert sum(int(s) for s in re.findall(r"\{s: (\d+), tab:", SCRIPT)) == 90


def test_text_is_set_as_text():
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", SCRIPT)


def test_every_key_is_listed_once():
    keys = re.findall(r"^    \['(.)', '", SCRIPT, re.MULTILINE)
    assert len(keys) == len(set(keys)) == 6
