"""Compiled graphs with a meter on each: how often it ran, and for how long.

In: an engine that shows its graphs, as `engine.network.models`. Out: {graph: `Meter`} of everything
that runs inside `metered`. Runs are wrapped from outside, where the graphs' class defines them, so
that whoever holds a graph runs the metered one; afterwards the class is as before. A run waits
until its device has finished, so that time is counted where it is spent. Knows no graph by name.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

# What runs a graph, in MAX's words: execute, or replay what was captured before.
RUNS = ("execute", "replay")


@dataclass
class Meter:
    """One graph: how often it ran and how long all runs took."""

    count: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, float]:
        return {"count": self.count, "seconds": self.seconds}


def shows_graphs(engine: Any) -> bool:
    """Does this engine show its compiled graphs?"""
    return bool(_graphs_of(engine))


@contextmanager
def metered(engine: Any) -> Iterator[dict[str, Meter]]:
    """Count the runs of the engine's graphs inside the block; nothing where it shows none."""
    graphs = _graphs_of(engine)
    meters = {name: Meter() for name in graphs}
    of_graph = {id(graph): meters[name] for name, graph in graphs.items()}
    with ExitStack() as stack:
        for kind in {type(graph) for graph in graphs.values()}:
            for name in RUNS:
                if hasattr(kind, name):
                    stack.enter_context(_wrapped(kind, name, of_graph))
        yield meters


@contextmanager
def _wrapped(kind: type, name: str, of_graph: dict[int, Meter]) -> Iterator[None]:
    """The class with a method that counts; graphs without a meter run as ever."""
    original = getattr(kind, name)
    setattr(kind, name, _counted(original, of_graph))
    try:
        yield
    finally:
        setattr(kind, name, original)


def _counted(run: Callable[..., Any], of_graph: dict[int, Meter]) -> Callable[..., Any]:
    def counted(graph: Any, *inputs: Any) -> Any:
        start_s = time.perf_counter()
        outputs = run(graph, *inputs)
        _wait_for([*inputs, *(outputs or ())])
        if meter := of_graph.get(id(graph)):
            meter.seconds += time.perf_counter() - start_s
            meter.count += 1
        return outputs

    return counted


def _graphs_of(engine: Any) -> dict[str, Any]:
    return getattr(getattr(engine, "network", None), "models", None) or {}


def _wait_for(buffers: list[Any]) -> None:
    """On a GPU a run returns before the work is done; its device tells when it is."""
    for buffer in buffers:
        device = getattr(buffer, "device", None)
        if device is not None and not device.is_host:
            device.synchronize()
            return
