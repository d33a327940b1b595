"""What others computed while something was timed, from the counters of Linux."""

import os

import pytest

from maxwhisper.engines import load
from maxwhisper.engines.load import Load, LoadMeter, total

TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01


@pytest.fixture
def counters(tmp_path, monkeypatch):
    """Return a function that sets the ticks of two CPUs and the seconds of this process."""
    monkeypatch.setattr(load, "COUNTERS", tmp_path / "stat")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)

    def count(first, second, own_s):
        lines = [f"cpu{n} {' '.join(map(str, each))}" for n, each in enumerate((first, second))]
        (tmp_path / "stat").write_text("\n".join(["cpu 1 2 3", *lines, "intr 5"]))
        monkeypatch.setattr(load.time, "process_time", lambda: own_s)

    return count


def test_others_have_what_is_neither_idle_nor_ours_on_the_cpus_we_may_use(counters):
    # user, nice, system, idle, iowait, irq, softirq, steal, guest
    counters((100, 0, 0, 500, 10, 0, 0, 0, 0), (0,) * 9, 1.0)
    meter = LoadMeter()
    counters((150, 1, 2, 530, 17, 3, 4, 5, 40), (900,) * 9, 1.0 + 40 * TICK_S)
    found = meter.read()
    assert found.total_s == pytest.approx(102 * TICK_S)
    assert found.others_s == pytest.approx((50 + 1 + 2 + 3 + 4 + 5 - 40) * TICK_S)
    assert found.share == pytest.approx(25 / 102)


def test_where_the_system_does_not_count_nothing_is_known(counters, tmp_path):
    assert LoadMeter().read() is None, "no such file"
    counters((0,) * 9, (5,) * 9, 1.0)
    assert LoadMeter().read() is None, "an empty one"


def test_a_share_is_one_and_short_turns_are_added_up():
    assert Load(-0.01, 0.2).share == 0
    assert Load(0.0, 0.0).share == 0
    assert Load(3.0, 2.0).share == 1
    assert total([Load(0.1, 0.5), Load(0.2, 1.5)]).share == pytest.approx(0.15)
    assert total([Load(0.1, 0.5), None]) is None
    assert total([]) is None
