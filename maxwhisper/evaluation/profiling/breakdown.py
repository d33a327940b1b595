"""Where the time of a transcription goes: stages, compiled graphs, functions of Python.

Input: an engine that exposes its graphs, and a job. Output: a `Profile`, and its table. Graphs are
metered from outside (`metered`). Three runs: a warm-up, one with meters, and one under Python's
profiler, which slows Python down, so that only the order of its functions counts.
"""

import cProfile
import pstats
from pathlib import Path
from typing import Any

from msgspec import UNSET

from maxwhisper import machine
from maxwhisper.engine import Engine
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.bench.cases import Job
from maxwhisper.evaluation.bench.measure import measure
from maxwhisper.evaluation.bench.record import GraphRuns
from maxwhisper.evaluation.meters import shows_graphs
from maxwhisper.evaluation.profiling import roofline
from maxwhisper.evaluation.profiling.record import Against, FunctionTime, Profile
from maxwhisper.evaluation.records import columns, machine_line, stages_of

OUTSIDE_LIMIT = 0.03  # share of a transcription that Python may take outside graph execution
N_FUNCTIONS = 15  # of Python, by their own time

# How MAX 26.7.0 times single operations.
PER_OP_CPU = (
    "MAX times no single operation on a CPU: its trace capture finds no profiler there, and its "
    "log of operations must be compiled into the graphs. The graph is the smallest part told."
)
PER_OP_GPU = (
    "per kernel: MODULAR_ENABLE_PROFILING=detailed nsys profile --trace=cuda,nvtx "
    "python -m maxwhisper profile"
)


def profile(engine: Engine, job: Job, *, with_ceilings: bool = False) -> Profile:
    """Stages, graphs, Python's share and its slowest functions; `with_ceilings`, also the share of
    the device's peak rates that our engine reaches. Raises `OptionError` for an engine without
    graphs to meter."""
    if not shows_graphs(engine):
        raise OptionError(f"{engine.info.name} shows no graphs to meter: profile maxwhisper")
    measure(engine, job)
    run = measure(engine, job, is_metered=True)
    graphs = {
        name: GraphRuns(meter.count, meter.seconds)
        for name, meter in run.graphs.items()
        if meter.count
    }
    inside_s = sum(graph.seconds for graph in graphs.values())
    found = Profile(
        machine=machine.describe(),
        info=engine.info,
        audio_s=run.transcript.duration,
        batch_size=job.batch_size,
        n_tokens=run.transcript.n_tokens,
        total_s=run.seconds,
        stages=stages_of(run.transcript.timings),
        graphs=graphs,
        outside_graphs=1 - inside_s / run.seconds,
        outside_limit=OUTSIDE_LIMIT,
        functions=_slowest_functions(engine, job),
        per_op=PER_OP_CPU if engine.info.device == "cpu" else PER_OP_GPU,
    )
    if with_ceilings:
        against = against_ceilings(engine)
        found.ceilings, found.roofline = against.ceilings, against.roofline
    return found


def against_ceilings(engine: Any) -> Against:
    """The device's peak rates, and the share of them that encoder and decoder step reach."""
    from maxwhisper.evaluation.profiling.ceilings import measure_ceilings

    ceilings = measure_ceilings(engine.network.placement)
    return Against(ceilings, roofline.roofline(engine, ceilings))


def table(record: Profile) -> str:
    """A profile for people."""
    total_s, outside, info = record.total_s, record.outside_graphs, record.info
    verdict = "within" if outside <= record.outside_limit else "OVER"
    stages = [(name, *_share(s, total_s)) for name, s in record.stages.items()]
    graphs = [
        (name, str(graph.count), _mean_ms(graph), *_share(graph.seconds, total_s))
        for name, graph in sorted(record.graphs.items(), key=lambda item: -item[1].seconds)
    ]
    functions = [(each.function, str(each.calls), f"{each.own_s:.3f}") for each in record.functions]
    blocks = [
        [
            machine_line(record.machine),
            f"{info.model} on {info.device}, {info.dtype}: {record.audio_s:.1f} s of "
            f"audio, {record.n_tokens} tokens, {total_s:.3f} s",
        ],
        columns([("stage", "seconds", "share"), *stages]),
        columns([("graph", "runs", "mean ms", "seconds", "share"), *graphs]),
        [f"outside graphs: {outside:.1%}, {verdict} the limit of {record.outside_limit:.0%}"],
    ]
    if record.ceilings is not UNSET and record.roofline is not UNSET:
        blocks.append(roofline.lines(Against(record.ceilings, record.roofline)))
    blocks += [
        columns([("Python function, under its profiler", "calls", "own s"), *functions]),
        [record.per_op],
    ]
    return "\n\n".join("\n".join(block) for block in blocks)


def _share(seconds: float, total_s: float) -> tuple[str, str]:
    return f"{seconds:.3f}", f"{seconds / total_s:.1%}"


def _mean_ms(graph: GraphRuns) -> str:
    return f"{1000 * graph.seconds / graph.count:.3f}"


def _slowest_functions(engine: Engine, job: Job) -> list[FunctionTime]:
    """Python functions by the time spent in themselves, including graph execution."""
    profiler = cProfile.Profile()
    with profiler:
        measure(engine, job)
    rows = [
        FunctionTime(_function_name(*where), calls, own_s)
        for where, (_, calls, own_s, _, _) in pstats.Stats(profiler).stats.items()  # type: ignore[attr-defined]
    ]
    return sorted(rows, key=lambda row: -row.own_s)[:N_FUNCTIONS]


def _function_name(file: str, line: int, name: str) -> str:
    """For example "decoding/rules.py:134 log_sum_exp"; built-in functions have no file."""
    if file == "~":
        return name
    return f"{'/'.join(Path(file).parts[-2:])}:{line} {name}"
