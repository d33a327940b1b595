"""The short form of the suite `perimeter`: every attack on the real page, without a race."""

import re
from collections import Counter

import pytest

from maxwhisper.web.server import perimeter as page_perimeter
from tools.robustness import attacks, perimeter
from tools.robustness.suite import SuiteRun, run_suite


@pytest.mark.faults
def test_no_attack_has_an_effect_and_refused_ones_are_counted_apart():
    record = run_suite("perimeter", perimeter, SuiteRun(is_short=True))
    assert record.failures == []
    counts = {group.name: group.n_cases for group in record.groups}
    n_attacks = sum(counts.values()) - counts["legitimate calls succeed"]
    n_ignored = sum(n for name, n in counts.items() if name.endswith(perimeter.IGNORED))
    refused = record.measured["attacks refused"]
    assert refused >= n_attacks - n_ignored >= 100
    assert record.measured["attacks answered without effect"] == n_attacks - refused > 0


def test_every_address_that_changes_something_is_attacked_from_elsewhere():
    open_to_all = set(re.findall("[a-z]{3,}", page_perimeter._WRITE.pattern)) - {"gradio", "api"}
    assert {"upload", "mcp", "transcribe", "models"} <= open_to_all
    made = attacks.all_attacks("http://127.0.0.1:1/", "/secret.wav")
    attacked = {attack.path for attack in made if attack.group == "foreign origin"}
    assert [word for word in open_to_all if not any(word in path for path in attacked)] == []


def test_no_attack_is_counted_twice():
    made = list(attacks.all_attacks("http://127.0.0.1:1/", "/secret.wav"))
    names = Counter((attack.group, attack.name) for attack in made)
    assert [name for name, count in names.items() if count > 1] == []
