"""A real Ray cluster at its edges: nodes that come when they are needed, workers that cannot work,
and an address without a cluster."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from maxwhisper import cli
from maxwhisper.archive import cluster
from maxwhisper.archive.job import Job
from maxwhisper.archive.ledger import Ledger
from maxwhisper.archive.pools import Wish, choose_pools
from maxwhisper.archive.sources import find_all
from maxwhisper.errors import MaxWhisperError
from tests.fakes import archive as fakes

ROOT = Path(__file__).parents[2]
STORE_BYTES = 80 << 20
JOB = Job("maxwhisper", "demo", "digest", "float32", "", formats=("txt",))

pytestmark = pytest.mark.slow


@pytest.fixture
def join(monkeypatch):
    """join(address): a driver of the cluster whose workers have the fakes."""
    import ray

    def init(address, **settings):
        for _ in range(60):  # until a head has started
            with suppress(ConnectionError):
                return start(address, **settings)
            time.sleep(1)
        raise AssertionError(f"no cluster at {address}")

    def start(address, **settings):
        variables = {"PYTHONPATH": str(ROOT), "FAKE_NOTES": os.environ.get("FAKE_NOTES", "")}
        ray.init(
            address=address,
            runtime_env={"env_vars": variables},
            logging_level="critical",
            log_to_driver=False,
            **settings,
        )

    yield init
    ray.shutdown()


@pytest.fixture
def notes_at(tmp_path, monkeypatch):
    """A folder where each worker writes what its engine was made with."""
    folder = tmp_path / "notes"
    folder.mkdir()
    monkeypatch.setenv("FAKE_NOTES", str(folder))
    return folder


@pytest.fixture
def alone(join, notes_at):
    """A cluster of one node with three processors."""
    join("local", num_cpus=3, object_store_memory=STORE_BYTES, include_dashboard=False)


@contextmanager
def growing_cluster(folder, n_gpu_nodes):
    """The address of a cluster: a head without a GPU, and an autoscaler that adds nodes with one.
    Ray makes these up, as processes here."""

    def node_type(most, **more):
        each = {"CPU": 2, "object_store_memory": STORE_BYTES} | more
        return {"resources": each, "node_config": {}, "min_workers": 0, "max_workers": most}

    config = {
        "cluster_name": "growing",
        "max_workers": n_gpu_nodes,
        "upscaling_speed": 4.0,
        "idle_timeout_minutes": 5,
        "provider": {
            "type": "fake_multinode",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "head_node_type": "head",
        "available_node_types": {"head": node_type(0), "gpu": node_type(n_gpu_nodes, GPU=1)},
        **{key: {} for key in ("auth", "docker", "file_mounts", "head_node", "worker_nodes")},
        **{f"{who}setup_commands": [] for who in ("", "head_", "worker_")},
        **{f"{who}_start_ray_commands": [] for who in ("head", "worker")},
        **{key: [] for key in ("initialization_commands", "cluster_synced_files")},
        **{key: [] for key in ("rsync_exclude", "rsync_filter")},
        "file_mounts_sync_continuously": False,
    }
    (folder / "cluster.json").write_text(json.dumps(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    flags = {
        "autoscaling-config": folder / "cluster.json",
        "port": port,
        "num-cpus": 2,
        "object-store-memory": STORE_BYTES,
        "include-dashboard": "false",
    }
    head = subprocess.Popen(
        [*command, *(f"--{name}={value}" for name, value in flags.items())],
        env=os.environ | {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1"},
        stdout=(folder / "ray.log").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        for name in filter(str.isdecimal, os.listdir("/proc")):
            with suppress(OSError):  # it has ended
                if os.getsid(int(name)) == head.pid:
                    os.kill(int(name), signal.SIGKILL)
        head.wait()


def transcribe(tmp_path, wish, count=6, engines=fakes.ENGINES):
    sources = find_all([str(fakes.make_archive(tmp_path / "clips", count))])
    pools = choose_pools(cluster.connect("auto"), wish)
    job = replace(JOB, output=str(tmp_path / "out"), dtype=pools.dtype)
    ledger = Ledger(job)
    cluster.run(cluster.Loading("maxwhisper", "demo", engines=engines), job, sources, ledger, pools)
    return ledger.finish(), pools


def notes(folder):
    return [json.loads(path.read_text()) for path in folder.iterdir()]


def test_nodes_with_gpus_come_when_they_are_asked_for(join, notes_at, tmp_path):
    import ray

    with growing_cluster(tmp_path, n_gpu_nodes=2) as address:
        join(address)
        summary, pools = transcribe(tmp_path, Wish("gpu", n_devices=2), count=80)
        ray.shutdown()
    assert (pools.device, pools.n_transcribers) == ("gpu", 2)
    assert (summary.n_done, summary.n_failed) == (80, 0)
    made = notes(notes_at)
    assert {(each["device"], each["dtype"]) for each in made} == {("gpu", "float16")}
    assert len(made) == 2


def test_a_transcriber_computes_with_the_threads_it_was_given(alone, notes_at, tmp_path):
    summary, _ = transcribe(tmp_path, Wish("cpu"))
    assert summary.n_done == 6
    assert [(each["dtype"], each["threads"]) for each in notes(notes_at)] == [("float32", 2)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("no shared folder", "does not see /no/shared"),
        ("no engine", "cannot run here"),
        ("a bug", "cannot go on: RuntimeError: a bug; the same"),
    ],
)
def test_a_worker_that_cannot_work_ends_the_run_with_one_line(
    alone, tmp_path, monkeypatch, change, reason
):
    engines = dict(fakes.ENGINES)
    if change == "no shared folder":
        monkeypatch.setattr(cluster, "_marks", lambda *_: nullcontext(["/no/shared/file"]))
    elif change == "no engine":
        engines["maxwhisper"] = "tests.fakes.nowhere:create"
    else:
        engines["maxwhisper"] = "tests.fakes.archive:create_broken"
    with pytest.raises(MaxWhisperError, match=reason) as caught:
        transcribe(tmp_path, Wish(), engines=engines)
    assert "\n" not in str(caught.value)


def test_no_cluster_is_one_line(tmp_path, capfd):
    clips = fakes.make_archive(tmp_path / "clips", 1)
    assert cli.main(["batch", str(clips), "-o", str(tmp_path / "out"), "--ray", "auto"]) == 1
    said = capfd.readouterr().err
    assert "expected a Ray cluster at auto, found none" in said
    assert "Traceback" not in said
