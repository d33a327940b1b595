"""The short form of the suite `perimeter`: every attack on the real page, without a race."""

from collections import Counter

import pytest

from tools.robustness import attacks, perimeter
from tools.robustness.suite import SuiteRun, run_suite


@pytest.mark.faults
def test_every_attack_is_refused_and_leaves_nothing():
    record = run_suite("perimeter", perimeter, SuiteRun(is_short=True))
    assert record.failures == []
    counts = {group.name: group.n_cases for group in record.groups}
    assert sum(counts.values()) - counts["legitimate calls succeed"] >= 100


def test_no_attack_is_counted_twice():
    made = list(attacks.all_attacks("http://127.0.0.1:1/", "/secret.wav"))
    names = Counter((attack.group, attack.name) for attack in made)
    assert [name for name, count in names.items() if count > 1] == []
