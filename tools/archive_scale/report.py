"""The tables of docs/ten_thousand_hours.md: what was measured, what is assumed, what follows."""

from collections.abc import Sequence

from maxwhisper.evaluation.records import machine_line, markdown_table
from tools.archive_scale.record import ScaleRecord
from tools.archive_scale.simulate import (
    BYTES_PER_SAMPLED_SECOND,
    Cluster,
    Run,
    recordings,
    simulate,
)

HOURS = 10_000.0
MEAN_S = 600.0  # of a recording
GPUS = (1, 8, 64, 256, 1000)
SPEEDS = (100.0, 400.0)  # assumed: seconds of audio that one GPU transcribes in a second
PRICE = 2.0  # assumed: dollars for an hour of a GPU with its processors
DECODER_HEADROOM = 1.5  # processors for decoding, of what the GPUs need on average
_COSTS = {
    "decode_s": ("decode, for an hour of audio", 3600.0, "s of one thread"),
    "transcribe_s": ("transcribe in batches, for an hour of audio", 3600.0, "s of this machine"),
    "write_s": ("write the files of a recording", 1e3, "ms"),
    "driver_s": ("head of a cluster, for a recording", 1e3, "ms"),
    "load_s": ("start a worker, graphs on disk", 1.0, "s"),
}


_COLUMNS = (
    *("GPUs", "run", "of N times one GPU", "GPUs busy", "head busy", "decoding processors"),
    *("reading", "decoded audio", "GPU hours", "cost"),
)


def report(record: ScaleRecord) -> str:
    """Markdown below the marker."""
    return "\n".join(
        [
            "## Measured",
            "",
            *_measured(record),
            "",
            "## Simulated",
            "",
            *_simulated(record),
            "",
            "## Where it saturates",
            "",
            *_limits(record),
            "",
        ]
    )


def _measured(record: ScaleRecord) -> list[str]:
    rows = [["stage", "median", "", "spread"]]
    for name, (what, scale, unit) in _COSTS.items():
        cost = getattr(record.costs, name) * scale
        rows.append([what, f"{cost:.3g}", unit, f"{100 * record.spread[name]:.0f} %"])
    days = HOURS * record.costs.transcribe_s / 24
    return [
        f"{machine_line(record.machine)}. Weights: {record.model}. Recordings: {record.codec}. "
        f"Medians of {record.n_rounds} rounds.",
        "",
        *markdown_table(rows, 1),
        "",
        f"{HOURS:,.0f} hours take {days:.0f} days on this machine.",
    ]


def decoders_per_gpu(record: ScaleRecord, speed: float) -> float:
    """Processors that decode for one GPU, with some to spare."""
    return DECODER_HEADROOM * speed * record.costs.decode_s


def runs(record: ScaleRecord, speed: float, gpus: Sequence[int] = GPUS) -> list[Run]:
    """The simulated runs, one for each number of GPUs."""
    lengths = recordings(HOURS, MEAN_S)
    share = decoders_per_gpu(record, speed)
    return [simulate(lengths, Cluster(n, share, speed), record.costs) for n in gpus]


def _simulated(record: ScaleRecord) -> list[str]:
    lines = [
        f"{HOURS:,.0f} hours in recordings of {MEAN_S / 60:.0f} minutes on average. Stage costs "
        "are those above. The speed of a GPU and its price are assumed: no GPU was measured. "
        f"An hour of a GPU with its processors costs ${PRICE:.2f} here. "
        f"There are {DECODER_HEADROOM:g} times as many decoding processors as the GPUs need.",
    ]
    for speed in SPEEDS:
        rows = [list(_COLUMNS)]
        simulated = runs(record, speed)
        for n_gpus, run in zip(GPUS, simulated, strict=True):
            cluster = Cluster(n_gpus, decoders_per_gpu(record, speed), speed)
            gpu_hours = n_gpus * run.seconds / 3600
            rows.append(
                [
                    f"{n_gpus:,}",
                    _duration(run.seconds),
                    f"{100 * simulated[0].seconds / run.seconds / n_gpus:.0f} %",
                    f"{100 * run.gpu_share:.0f} %",
                    f"{100 * run.head_share:.0f} %",
                    f"{cluster.n_decoders:,}",
                    f"{run.rtfx * record.source_bytes / 1e6:.1f} MB/s",
                    f"{run.rtfx * BYTES_PER_SAMPLED_SECOND / 1e6:,.0f} MB/s",
                    f"{gpu_hours:,.0f}",
                    f"${gpu_hours * PRICE:,.0f}",
                ]
            )
        lines += ["", f"Assumed: one GPU transcribes {speed:.0f}× real time.", ""]
        lines += markdown_table(rows, 0)
    return lines


def _limits(record: ScaleRecord) -> list[str]:
    costs, per_s = record.costs, 1 / record.costs.driver_s
    rtfx = MEAN_S * per_s
    full = ", ".join(f"{rtfx / speed:,.0f} GPUs at {speed:.0f}×" for speed in SPEEDS)
    storage = HOURS * 3600 * record.source_bytes / 1e9
    written = HOURS * 3600 * record.output_bytes / 1e9
    return [
        f"* **The head** handles {per_s:,.0f} recordings a second, which is {rtfx:,.0f}× real time "
        f"with recordings of {MEAN_S / 60:.0f} minutes: {full}. Recordings of a minute reach it "
        "ten times sooner.",
        f"* **The last recordings**: a run ends with its last recording. At {SPEEDS[0]:.0f}× one "
        f"of four hours takes {_duration(4 * 3600 / SPEEDS[0])}, in which the other GPUs wait.",
        f"* **Starting**: every worker takes {costs.load_s:.1f} s, plus the compilation of a "
        "GPU's graphs unless they are packed (`maxwhisper compile --out`).",
        f"* **Storage**: {storage:,.0f} GB are read and {written:,.1f} GB written.",
        "* **Not in the simulation**: the network between nodes, failures, the throttling of an "
        "object store, and a GPU that slows down as it gets warm.",
    ]


def _duration(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86_400:.1f} days"
