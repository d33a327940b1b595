"""The roofline of a recorded profile, as SVG: what the device can do, and what our graphs reach.

In: a profile with measured ceilings. Out: HTML. To the right, a graph does more operations for each
byte that it reads; up, it does more of them in a second. Knows no gradio.
"""

from pathlib import Path
from typing import Any

from msgspec import UNSET

from maxwhisper.checkpoint import available
from maxwhisper.errors import RecordError
from maxwhisper.evaluation.profiling.record import Profile, RooflineEntry
from maxwhisper.evaluation.profiling.roofline import (
    N_STEPS,
    step_flops,
    window_bytes,
)
from maxwhisper.evaluation.records import machine_line
from maxwhisper.network.dims import Dims
from maxwhisper.web.ui.axes import log_axis
from maxwhisper.web.ui.templates import render

_ITEMSIZE = 4  # float32; a profile of another precision is not drawn
_COLOURS = {"encoder": "encoder", "decoder step": "decode"}  # {graph: stage}


def roofline_html(folder: Path) -> str:
    """The first profile in `folder` that has ceilings and a model of known dims; "" without one."""
    dims = {row.name: row.dims for row in available()}
    for path in sorted(folder.glob("*.json")):
        try:
            profile = Profile.load(path)
        except RecordError:
            continue
        is_known = profile.info.model in dims and profile.info.dtype == "float32"
        if is_known and (drawn := roofline_chart(profile, dims[profile.info.model])):
            return drawn
    return ""


def roofline_chart(profile: Profile, dims: Dims) -> str:
    """One mark for each graph and batch size, under the roof of `profile`; "" without ceilings."""
    if profile.ceilings is UNSET or profile.roofline is UNSET:
        return ""
    peak, rate = profile.ceilings.flops_per_s, profile.ceilings.bytes_per_s
    points = [_point(entry, dims) for entry in profile.roofline]
    ridge = peak / rate
    xs, ys = [each["x"] for each in points], [each["y"] for each in points]
    x = log_axis("operations per byte", min(*xs, ridge / 10), max(*xs, ridge * 10))
    y = log_axis("GFLOP/s", min(ys) / 2, max(*ys, peak / 1e9))
    return render(
        "timings/roofline_chart.html",
        points=points,
        x=x,
        y=y,
        ridge=ridge,
        peak=peak / 1e9,
        rate=rate / 1e9,
        left=max(x.low, y.low * 1e9 / rate),  # where the slope enters the figure
        info=profile.info,
        machine=machine_line(profile.machine),
    )


def _point(entry: RooflineEntry, dims: Dims) -> dict[str, Any]:
    if entry.bound_by == "flops":
        n_flops, n_bytes = entry.work, window_bytes(dims, _ITEMSIZE, entry.batch)
    else:
        n_flops, n_bytes = step_flops(dims, entry.batch, N_STEPS // 2), entry.work
    return {
        "name": f"{entry.graph}, batch {entry.batch}",
        "stage": _COLOURS.get(entry.graph, entry.graph),
        "x": n_flops / n_bytes,
        "y": n_flops / entry.seconds / 1e9,
        "share": entry.share,
        "of": "arithmetic" if entry.bound_by == "flops" else "memory",
    }
