"""Where the time goes, on an engine whose graphs take known time."""

import time

import numpy as np
import pytest

from maxwhisper.errors import OptionError
from maxwhisper.evaluation.bench.cases import Job
from maxwhisper.evaluation.meters import metered
from maxwhisper.evaluation.profiling.breakdown import profile, table
from maxwhisper.options import GREEDY
from tests.fakes.engines import FakeEngine

JOB = Job(np.zeros(16_000, np.float32), GREEDY)
GRAPH_S = 0.05


class Device:
    """A GPU that finishes its work when it is asked to."""

    is_host = False

    def synchronize(self):
        time.sleep(GRAPH_S)


class Graph:
    """A compiled graph that returns before its work is done."""

    device = Device()

    def execute(self, *inputs):
        return [self]


class HostGraph:
    def execute(self, *inputs):
        time.sleep(GRAPH_S)
        return []

    def replay(self, *inputs):
        time.sleep(GRAPH_S)


def test_python_outside_graphs_is_told_apart():
    engine = FakeEngine("a", sleep_s=2 * GRAPH_S, graphs={"encoder": HostGraph()})
    record = profile(engine, JOB)
    assert record.graphs["encoder"].count == 1
    assert record.total_s >= 3 * GRAPH_S
    outside_s = record.total_s - record.graphs["encoder"].seconds
    assert record.outside_graphs == pytest.approx(outside_s / record.total_s)
    assert outside_s >= 2 * GRAPH_S
    assert record.stages == {"mel": 0.1, "decode": 0.2}
    assert record.functions[0].own_s >= 2 * GRAPH_S, "the sleeping comes first"
    assert len(engine.calls) == 3
    text = table(record)
    assert "OVER the limit of 3%" in text
    assert "MAX times no single operation on a CPU" in text


def test_a_run_ends_when_its_device_has_finished():
    engine = FakeEngine("a", graphs={"encoder": Graph()})
    with metered(engine) as meters:
        engine.transcribe(JOB.waveform, GREEDY)
    assert meters["encoder"].seconds >= GRAPH_S


def test_meters_see_replays_and_graphs_held_elsewhere_and_leave_no_trace():
    graph, stranger = HostGraph(), HostGraph()
    original = HostGraph.execute
    with metered(FakeEngine("a", graphs={"step": graph})) as meters:
        graph.execute()
        graph.replay()
        stranger.execute()
    assert meters["step"].count == 2
    assert HostGraph.execute is original


def test_an_engine_without_graphs_cannot_be_profiled():
    with pytest.raises(OptionError, match="shows no graphs to meter"):
        profile(FakeEngine("a"), JOB)
