"""Work ahead of a consumer: in order, within a budget, and never stuck."""

import threading
import time

import pytest

from maxwhisper.archive.prefetch import Prefetch


@pytest.mark.parametrize("n_threads", [1, 4])
@pytest.mark.parametrize("budget", [0.5, 3, 1000])
def test_results_come_in_order_and_within_the_budget(budget, n_threads):
    made, most = [], []
    taken = 0

    def work(item):
        made.append(item)
        most.append(len(made) - taken)
        time.sleep(0.001 * (item % 3))
        return item

    ahead = Prefetch(range(40), work, lambda _: 1.0, budget, n_threads)
    found = []
    for item in ahead:
        found.append(item)
        taken += 1
    assert found == list(range(40))
    assert max(most) <= budget + n_threads + 1
    ahead.close()


def test_an_error_is_raised_in_its_place():
    def work(item):
        if item == 2:
            raise ValueError("two")
        return item

    ahead = iter(Prefetch(range(5), work, lambda _: 1.0, 10))
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(ahead)


def test_close_ends_the_threads():
    before = threading.active_count()
    ahead = Prefetch(range(1000), lambda item: item, lambda _: 1.0, 2)
    next(iter(ahead))
    ahead.close()
    assert threading.active_count() == before
