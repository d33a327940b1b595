"""The stages on a real Ray cluster of several nodes on this machine: the same text as one process,
whatever dies."""

import json
import os
import random
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from maxwhisper.archive import cluster, one_process
from maxwhisper.archive.job import Job
from maxwhisper.archive.ledger import Ledger
from maxwhisper.archive.pools import Wish, choose_pools
from maxwhisper.archive.sources import find_all
from tests.fakes import archive as fakes

ROOT = Path(__file__).parents[2]
STORE_BYTES = 80 << 20  # of each node; Ray's least is 75 MiB
JOB = Job("maxwhisper", "demo", "digest", "float32", "", formats=("txt", "json", "parquet"))

pytestmark = pytest.mark.slow


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    """A cluster with a head and two more nodes; `pids` has a file for each engine's process."""
    import ray
    from ray.cluster_utils import Cluster

    pids = tmp_path / "pids"
    pids.mkdir()
    variables = {"PYTHONPATH": str(ROOT), "FAKE_SLEEP_S": "0.03", "FAKE_PIDS": str(pids)}
    monkeypatch.setenv("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    each = {"num_cpus": 2, "object_store_memory": STORE_BYTES}
    started = Cluster(initialize_head=True, head_node_args=each | {"include_dashboard": False})
    more = [started.add_node(**each) for _ in range(2)]
    ray.init(address=started.address, runtime_env={"env_vars": variables}, logging_level="error")
    yield started, more, pids
    ray.shutdown()
    started.shutdown()


def started_by(pids):
    """The processes of engines, in whatever state they are now."""
    return sorted(int(path.name) for path in pids.iterdir())


def is_alive(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def contents(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.suffix in (".txt", ".json")
    }


def test_a_cluster_writes_what_one_process_writes_though_workers_and_a_node_die(nodes, tmp_path):
    import pyarrow.parquet as parquet

    started, more, pids = nodes
    clips = fakes.make_archive(tmp_path / "clips", 150, broken=(3, 77, 140))
    sources = find_all([str(clips)])
    alone = replace(JOB, output=str(tmp_path / "alone"))
    ledger = Ledger(alone)
    one_process.run(fakes.Teller(), alone, ledger.todo(sources), ledger)
    want = ledger.finish()
    assert (want.n_done, want.n_failed) == (147, 3)

    chance, seen, killed, before = random.Random(1), [], set(), set()

    def disturb(entry):
        seen.append(entry.source)
        if len(seen) in (20, 60):
            alive = [pid for pid in started_by(pids) if pid not in killed and is_alive(pid)]
            if alive:  # one that died with its node is none
                before.update([] if killed else started_by(pids))  # the first kill
                killed.add(pid := chance.choice(alive))
                os.kill(pid, signal.SIGKILL)
        if len(seen) == 40:
            started.remove_node(more.pop(), allow_graceful=False)

    together = replace(JOB, output=str(tmp_path / "together"))
    ledger = Ledger(together, disturb)
    loading = cluster.Loading("maxwhisper", "demo", engines=fakes.ENGINES)
    pools = choose_pools(cluster.connect("auto"), Wish())
    cluster.run(loading, together, ledger.todo(sources), ledger, pools)
    found = ledger.finish()
    assert (found.n_done, found.n_failed) == (want.n_done, want.n_failed)
    assert len(seen) == len(set(seen)) == 150
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")
    tables = []
    for name in ("alone", "together"):
        rows = [
            row
            for path in (tmp_path / name / "segments").glob("*.parquet")
            for row in parquet.read_table(path).to_pylist()
        ]
        tables.append(sorted(json.dumps(row, sort_keys=True) for row in rows))
    assert tables[0] == tables[1]
    assert killed
    assert not any(map(is_alive, killed))
    assert set(started_by(pids)) > before, "no worker took the place of one that was killed"
