"""A real Ray cluster at its edges: threads of a worker, workers that cannot work, and an address
without a cluster."""

import json
import os
from contextlib import nullcontext
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


def transcribe(tmp_path, wish, count=6, engines=fakes.ENGINES):
    sources = find_all([str(fakes.make_archive(tmp_path / "clips", count))])
    pools = choose_pools(cluster.connect("auto"), wish)
    job = replace(JOB, output=str(tmp_path / "out"), dtype=pools.dtype)
    ledger = Ledger(job)
    cluster.run(cluster.Loading("maxwhisper", "demo", engines=engines), job, sources, ledger, pools)
    return ledger.finish(), pools


def notes(folder):
    return [json.loads(path.read_text()) for path in folder.iterdir()]


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


def test_no_cluster_is_one_line(tmp_path, capfd, monkeypatch):
    import ray

    def refuse(**_settings):  # as ray.init does; a cluster of somebody else may run here
        raise ConnectionError("Could not find any running Ray instance.\nPlease specify one.")

    monkeypatch.setattr(ray, "init", refuse)
    clips = fakes.make_archive(tmp_path / "clips", 1)
    assert cli.main(["batch", str(clips), "-o", str(tmp_path / "out"), "--ray", "auto"]) == 1
    said = capfd.readouterr().err
    assert "expected a Ray cluster at auto, found none: ConnectionError: Could not find" in said
    assert "Traceback" not in said
