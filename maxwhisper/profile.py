"""Where the time of a transcription goes: stages, compiled graphs, functions of Python.

In: an engine that shows its graphs, and a job. Out: a JSON-ready profile, and its table. Graphs are
metered from outside (`metered`). Three runs: a warm-up, one with meters, and one under Python's
profiler, which slows Python down, so that only the order of its functions counts.
"""

import cProfile
import pstats
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maxwhisper import machine, roofline
from maxwhisper.bench_cases import Job
from maxwhisper.bench_process import measure
from maxwhisper.engine import Engine
from maxwhisper.errors import OptionError
from maxwhisper.metered import shows_graphs
from maxwhisper.records import columns, machine_line, stages_of

# Python may take so much of a transcription, outside graph execution.
OUTSIDE_LIMIT = 0.03
N_FUNCTIONS = 15  # of Python, by their own time

# What MAX tells of single operations (26.7.0).
PER_OP_CPU = (
    "MAX times no single operation on a CPU: its trace capture finds no profiler there, and its "
    "log of operations must be compiled into the graphs. The graph is the smallest part told."
)
PER_OP_GPU = (
    "per kernel: MODULAR_ENABLE_PROFILING=detailed nsys profile --trace=cuda,nvtx "
    "python -m maxwhisper profile"
)


def profile(engine: Engine, job: Job, *, with_ceilings: bool = False) -> dict[str, Any]:
    """Stages, graphs, Python's share and its slowest functions; `with_ceilings`, also how near our
    engine comes to what its device can do. Raises `OptionError` for an engine without graphs to
    meter."""
    if not shows_graphs(engine):
        raise OptionError(f"{engine.info.name} shows no graphs to meter: profile maxwhisper")
    measure(engine, job)
    run = measure(engine, job, is_metered=True)
    graphs = {name: meter for name, meter in run.graphs.items() if meter.count}
    inside_s = sum(meter.seconds for meter in graphs.values())
    return {
        "machine": machine.describe(),
        "info": engine.info.to_dict(),
        "audio_s": run.transcript.duration,
        "batch_size": job.batch_size,
        "n_tokens": run.transcript.n_tokens,
        "total_s": run.seconds,
        "stages": stages_of(run.transcript.timings),
        "graphs": {name: meter.to_dict() for name, meter in graphs.items()},
        "outside_graphs": 1 - inside_s / run.seconds,
        "outside_limit": OUTSIDE_LIMIT,
        "functions": _slowest_functions(engine, job),
        "per_op": PER_OP_CPU if engine.info.device == "cpu" else PER_OP_GPU,
        **(against_ceilings(engine) if with_ceilings else {}),
    }


def against_ceilings(engine: Any) -> dict[str, Any]:
    """What the engine's device can do, and how near its encoder and its step come to that."""
    from maxwhisper.runtime.ceilings import measure_ceilings

    ceilings = measure_ceilings(engine.network.placement).to_dict()
    return {"ceilings": ceilings, "roofline": roofline.roofline(engine, ceilings)}


def table(record: Mapping[str, Any]) -> str:
    """A profile for people."""
    total_s, outside = record["total_s"], record["outside_graphs"]
    info = record["info"]
    verdict = "within" if outside <= record["outside_limit"] else "OVER"
    stages = [(name, *_share(s, total_s)) for name, s in record["stages"].items()]
    graphs = [
        (name, str(graph["count"]), _mean_ms(graph), *_share(graph["seconds"], total_s))
        for name, graph in _longest_first(record["graphs"])
    ]
    functions = [
        (entry["function"], str(entry["calls"]), f"{entry['own_s']:.3f}")
        for entry in record["functions"]
    ]
    blocks = [
        [
            machine_line(record["machine"]),
            f"{info['model']} on {info['device']}, {info['dtype']}: {record['audio_s']:.1f} s of "
            f"audio, {record['n_tokens']} tokens, {total_s:.3f} s",
        ],
        columns([("stage", "seconds", "share"), *stages]),
        columns([("graph", "runs", "mean ms", "seconds", "share"), *graphs]),
        [f"outside graphs: {outside:.1%}, {verdict} the limit of {record['outside_limit']:.0%}"],
        *([roofline.lines(record)] if "roofline" in record else []),
        columns([("Python function, under its profiler", "calls", "own s"), *functions]),
        [record["per_op"]],
    ]
    return "\n\n".join("\n".join(block) for block in blocks)


def _share(seconds: float, total_s: float) -> tuple[str, str]:
    return f"{seconds:.3f}", f"{seconds / total_s:.1%}"


def _mean_ms(graph: Mapping[str, float]) -> str:
    return f"{1000 * graph['seconds'] / graph['count']:.3f}"


def _longest_first(graphs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(graphs.items(), key=lambda item: item[1]["seconds"], reverse=True)


def _slowest_functions(engine: Engine, job: Job) -> list[dict[str, Any]]:
    """Functions of Python by the time spent in themselves, graph execution among them."""
    profiler = cProfile.Profile()
    with profiler:
        measure(engine, job)
    rows = [
        {"function": _function_name(*where), "calls": calls, "own_s": own_s}
        for where, (_, calls, own_s, _, _) in pstats.Stats(profiler).stats.items()  # type: ignore[attr-defined]
    ]
    return sorted(rows, key=lambda row: -row["own_s"])[:N_FUNCTIONS]


def _function_name(file: str, line: int, name: str) -> str:
    """ "decoding/rules.py:134 log_sum_exp"; what is built in has no file."""
    if file == "~":
        return name
    return f"{'/'.join(Path(file).parts[-2:])}:{line} {name}"
