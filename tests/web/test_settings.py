"""What an operator sets: every name has one meaning, and a misspelt one is an error."""

import re

import pytest

from maxwhisper.errors import OptionError
from maxwhisper.runtime.artifacts import ARTIFACTS
from maxwhisper.runtime.greedy import NO_CAPTURE
from maxwhisper.web.settings import VARIABLES, Settings
from tests.conftest import ROOT

CODE = [ROOT / "app.py", *(ROOT / "maxwhisper").rglob("*.py"), *(ROOT / "baselines").glob("*.py")]


def test_every_name_that_the_code_reads_is_known_and_documented():
    named = {name for path in CODE for name in re.findall(r"MAXWHISPER_[A-Z_]+", path.read_text())}
    assert named - {"MAXWHISPER_MAX_"} <= set(VARIABLES)
    assert {ARTIFACTS, NO_CAPTURE} <= set(VARIABLES)
    page = (ROOT / "docs" / "limits.md").read_text()
    rows = re.findall(r"^ *\| `(MAXWHISPER_[A-Z_]+)` \| [^|]{9,} \|", page, re.MULTILINE)
    assert sorted(rows) == sorted(VARIABLES)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MAXWHISPER_API_KEY", "did you mean MAXWHISPER_API_KEYS?"),
        ("MAXWHISPER_MAX_MINUTE", "did you mean MAXWHISPER_MAX_MINUTES?"),
        ("MAXWHISPER_XYZZY", "known are MAXWHISPER_HOSTS, "),
    ],
)
def test_a_name_that_nobody_reads_is_an_error(name, hint):
    with pytest.raises(
        OptionError, match=re.escape(f"nothing reads the environment variable {name}: {hint}")
    ):
        Settings.from_environment({name: "secret"})


def test_the_settings_in_force_are_said_without_secrets():
    given = {
        "MAXWHISPER_API_KEYS": "sesame, open",
        "MAXWHISPER_HOSTS": "whisper.example.org",
        "MAXWHISPER_MAX_MINUTES": "0",
        "HOME": "/home/somebody",
    }
    settings = Settings.from_environment(given)
    lines = list(settings.lines())
    assert "MAXWHISPER_MAX_MINUTES=0 (no limit)" in lines
    assert "MAXWHISPER_MAX_WAITING=2" in lines
    assert "MAXWHISPER_API_KEYS: 2 keys" in lines
    assert "MAXWHISPER_METRICS=local" in lines
    assert "MAXWHISPER_HOSTS=whisper.example.org" in lines
    assert not any("sesame" in line or "HOME" in line for line in lines)
    assert len(lines) == len({line.partition("=")[0].partition(":")[0] for line in lines})
    assert settings.limits.minutes == 0
    assert settings.api.keys == ("sesame", "open")
