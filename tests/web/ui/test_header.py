"""The header: what the machine runs, and where its weights come from."""

import pytest

from maxwhisper.engine import EngineInfo
from maxwhisper.engines.status import Status
from maxwhisper.web.ui.header import strip_html

MACHINE = {
    **{"gpus": [], "threads": 2, "cores": 2, "cpu": "A processor", "commit": "0123456789abcdef"},
    "versions": {"max": "26.7", "torch": None, "ctranslate2": "4.8"},
}


def strip(place):
    info = EngineInfo("maxwhisper", "max 26.7", "base", "cpu", "no GPU", "float32", place)
    return strip_html({"maxwhisper": Status("ready", info=info)}, MACHINE, 0)


@pytest.mark.parametrize("place", ["our cache", "openai/whisper-base in the Hugging Face cache"])
def test_it_says_where_the_weights_come_from(place):
    assert f"base model ({place}) · CPU (no GPU) · float32" in strip(place)


def test_weights_of_no_known_place_have_none():
    assert "base model · CPU (no GPU)" in strip("")
