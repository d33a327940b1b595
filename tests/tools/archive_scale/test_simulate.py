"""The simulation against arithmetic: the time of one GPU, what the head allows, where time goes."""

import math

import pytest

from tools.archive_scale.record import Costs
from tools.archive_scale.simulate import (
    LONGEST_S,
    SHORTEST_S,
    Cluster,
    recordings,
    simulate,
)

COSTS = Costs(decode_s=0.001, transcribe_s=0.1, write_s=0.01, driver_s=0.002, load_s=5.0)
ENOUGH = 10.0  # decoders for each GPU, so that none waits


def changed(**fields):
    return Costs(**{name: getattr(COSTS, name) for name in Costs.__struct_fields__} | fields)


def test_one_gpu_takes_the_sum_of_its_recordings():
    lengths = [60.0, 600.0, 30.0, 3600.0]
    run = simulate(lengths, Cluster(1, ENOUGH, 50.0), COSTS)
    busy = sum(lengths) / 50 + 4 * COSTS.write_s
    assert run.seconds == pytest.approx(COSTS.load_s + busy, abs=0.1)
    assert run.gpu_share == pytest.approx(busy / run.seconds)
    assert run.audio_s == sum(lengths)


def test_gpus_share_equal_recordings():
    for n_gpus in (2, 8, 32):
        run = simulate([300.0] * 320, Cluster(n_gpus, ENOUGH, 50.0), COSTS)
        alone = 320 / n_gpus * (6.0 + COSTS.write_s)
        assert run.seconds == pytest.approx(COSTS.load_s + alone, rel=0.03)


def test_the_head_bounds_recordings_a_second():
    """Half of its cost is giving out, the other taking the result."""
    costs = changed(driver_s=0.1, load_s=0.001)
    run = simulate([10.0] * 2000, Cluster(500, ENOUGH, 100.0), costs)
    assert run.seconds == pytest.approx(2000 * 0.1, rel=0.01)
    assert run.head_share == pytest.approx(1.0, abs=0.01)
    assert run.gpu_share < 0.01


def test_too_few_decoders_bound_the_run():
    costs = changed(decode_s=0.02)
    run = simulate([300.0] * 200, Cluster(10, 0.1, 100.0), costs)  # one decoder, 50 times real time
    assert run.seconds == pytest.approx(200 * 300 * 0.02, rel=0.02)
    assert run.decoder_share == pytest.approx(1.0, abs=0.02)


def test_a_run_waits_for_its_last_recording():
    run = simulate([60.0] * 100 + [3600.0], Cluster(100, ENOUGH, 10.0), COSTS)
    assert run.seconds >= COSTS.load_s + 360
    assert run.gpu_share < 0.05


def test_a_thousand_gpus_are_never_faster_than_they_can_be():
    lengths = recordings(500.0, 600.0)
    for n_gpus in (1, 10, 100, 1000):
        run = simulate(lengths, Cluster(n_gpus, 2.0, 100.0), COSTS)
        assert run.seconds >= COSTS.load_s + sum(lengths) / 100 / n_gpus
        assert run.seconds >= COSTS.load_s + max(lengths) / 100
        assert 0 < run.gpu_share <= 1


def test_recordings_have_the_hours_and_the_mean_that_were_asked_for():
    lengths = recordings(10_000.0, 600.0)
    assert sum(lengths) == pytest.approx(36e6, abs=SHORTEST_S)
    assert sum(lengths) / len(lengths) == pytest.approx(600.0, rel=0.03)
    assert min(lengths) >= SHORTEST_S
    assert max(lengths) <= LONGEST_S
    logs = sorted(math.log(length) for length in lengths)
    median = math.exp(logs[len(logs) // 2])
    assert median == pytest.approx(600 * math.exp(-0.5), rel=0.03)
    assert lengths == recordings(10_000.0, 600.0), "the same ones every time"
