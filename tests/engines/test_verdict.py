"""The rule that page and benchmark share: who is faster, and when nobody is."""

import pytest

from maxwhisper.engines.verdict import verdict_of


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ((1.0,), (1.03,), "faster"),
        ((1.0,), (1.029,), "even"),
        ((1.029,), (1.0,), "even"),
        ((1.03,), (1.0,), "slower"),
        ((1.0, 1.1), (1.11, 1.2), "faster"),
        ((1.0, 1.1), (1.1, 1.2), "even"),
        ((1.0, 9.0), (2.0, 3.0), "even"),
        ((1.11, 1.2), (1.0, 1.1), "slower"),
        ((1.0, 1.2, 1.1), (1.13,), "even"),
        ((1.0, 1.2, 1.1), (2.0,), "faster"),
    ],
)
def test_one_round_has_a_margin_and_several_have_a_range(ours, theirs, verdict):
    assert verdict_of(ours, theirs) == verdict
    opposite = {"faster": "slower", "slower": "faster", "even": "even"}[verdict]
    assert verdict_of(theirs, ours) == opposite
