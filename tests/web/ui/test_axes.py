"""Axes: round ticks, and values where they belong."""

import pytest

from maxwhisper.web.ui.axes import linear_axis, log_axis


@pytest.mark.parametrize(
    ("high", "ticks"),
    [
        (10.0, (0, 5, 10)),
        (14.6, (0, 5, 10)),
        (0.9, (0, 0.5)),
        (8.0, (0, 2, 4, 6, 8)),
        (31.0, (0, 10, 20, 30)),
    ],
)
def test_linear_ticks_are_round_and_within(high, ticks):
    axis = linear_axis("x", high)
    assert axis.ticks == pytest.approx(ticks)
    assert (axis.at(0), axis.at(high / 4), axis.at(high)) == pytest.approx((0, 25, 100))


def test_a_decade_is_as_wide_as_the_next():
    axis = log_axis("x", 3.0, 420.0)
    assert axis.ticks == pytest.approx((1, 10, 100, 1000))
    assert [axis.at(value) for value in (1, 10, 100, 1000)] == pytest.approx(
        [0, 100 / 3, 200 / 3, 100]
    )
    assert log_axis("x", 10.0, 10.0).ticks == pytest.approx((10, 100)), "never empty"
