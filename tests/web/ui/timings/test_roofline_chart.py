"""The roofline: marks lie where their operations, bytes and seconds put them."""

import re

from maxwhisper.checkpoint.bundled import DIMS
from maxwhisper.evaluation.profiling.record import Profile
from maxwhisper.evaluation.profiling.roofline import step_bytes, step_flops, window_bytes
from maxwhisper.web.ui.timings.recorded_benchmarks import RESULTS
from maxwhisper.web.ui.timings.roofline_chart import roofline_chart, roofline_html


def test_a_step_of_one_row_does_two_operations_for_every_number_that_it_reads():
    assert step_flops(DIMS, 1, 32) == 2 * step_bytes(DIMS, 1, 1, 1, 32)
    assert step_flops(DIMS, 8, 32) == 8 * step_flops(DIMS, 1, 32)


def test_a_window_reads_every_weight_of_the_encoder_once():
    """Matrices of `demo`, by hand: convolutions, four blocks, keys and values of four layers."""
    weights = 3 * 80 * 192 + 3 * 192 * 192 + 4 * 12 * 192**2 + 4 * 2 * 192**2
    row = 3000 * 80 + 4 * 2 * 1500 * 192
    assert window_bytes(DIMS, 4, 8) == 4 * (weights + 8 * row)


def test_the_recorded_profile_is_drawn_with_its_machine_and_shares():
    page = roofline_html(RESULTS / "profiles")
    assert "AMD EPYC, 2 threads" in page.replace("\u00a0", " ")
    assert page.count('class="mark"') == 4
    assert page.count('class="roof"') == 2
    profile = Profile.load(RESULTS / "profiles" / "cpu-2-threads-demo.json")
    for entry in profile.roofline:
        gflops = entry.work / entry.seconds / 1e9 if entry.bound_by == "flops" else None
        said = re.search(rf"{entry.graph}, batch {entry.batch}: (\d+) GFLOP/s, (\d+) %", page)
        assert int(said[2]) == round(100 * entry.share)
        assert gflops is None or int(said[1]) == round(gflops)
    heights = [float(y) for y in re.findall(r'class="mark".*? y="([\d.]+)%"', page)]
    assert all(0 <= y <= 100 for y in heights)
    slope = re.search(r'class="roof" x1="(.*?)%" y1="(.*?)%" x2="(.*?)%" y2="(.*?)%"', page)
    x1, y1, x2, y2 = map(float, slope.groups())
    assert x1 < x2
    assert y1 > y2, "up to the ridge"


def test_without_a_profile_there_is_no_figure(tmp_path):
    assert roofline_html(tmp_path) == ""
    (tmp_path / "x.json").write_text("{}")
    assert roofline_html(tmp_path) == ""
    profile = Profile.load(RESULTS / "profiles" / "cpu-2-threads-demo.json")
    profile = Profile.from_dict({k: v for k, v in profile.to_dict().items() if k != "ceilings"})
    assert roofline_chart(profile, DIMS) == ""
