"""An object store as the output: the same files as on a disk, resumed, with few requests."""

import json

import fsspec
import pyarrow.parquet as parquet
import pytest

from maxwhisper import cli
from maxwhisper.archive.job import Job
from maxwhisper.archive.ledger import Ledger
from maxwhisper.archive.sources import find_all
from tests.fakes import archive as fakes

COUNT = 12


@pytest.fixture
def store():
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/archive", recursive=True)


def run(clips, output):
    return cli.main(["batch", str(clips), "-o", output, "-f", "txt,json,parquet"])


def test_a_store_has_what_a_disk_would_have_and_a_run_goes_on_in_it(teller, store, tmp_path):
    clips = fakes.make_archive(tmp_path / "clips", COUNT, broken={5})
    assert run(clips, "memory://archive/out") == 3
    assert run(clips, str(tmp_path / "out")) == 3
    want = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.suffix in (".txt", ".json")
    }
    found = {
        name.removeprefix("/archive/out/"): store.cat_file(name)
        for name in store.find("/archive/out")
        if name.endswith((".txt", ".json"))
    }
    assert found == want
    assert len(found) == 2 * (COUNT - 1)
    (part,) = store.glob("/archive/out/segments/*.parquet")
    rows = parquet.read_table(store.open(part)).to_pylist()
    assert len({row["source"] for row in rows}) == COUNT - 1
    lines = store.cat_file("/archive/out/manifest.jsonl").splitlines()
    entries = [json.loads(line) for line in lines]
    assert sorted(entry["status"] for entry in entries) == ["done"] * (COUNT - 1) + ["failed"]
    heard = teller.n_heard
    store.rm("/archive/out/a/0003.json")
    assert run(clips, "memory://archive/out") == 3
    assert teller.n_heard == heard + 1
    assert store.exists("/archive/out/a/0003.json")


def test_what_is_done_is_asked_once_for_each_folder(teller, store, tmp_path, monkeypatch):
    clips = fakes.make_archive(tmp_path / "clips", COUNT)
    assert run(clips, "memory://archive/out") == 0
    asked = []

    def counted(name):
        real = getattr(store, name)

        def ask(path, *args, **settings):
            asked.append((name, path))
            return real(path, *args, **settings)

        monkeypatch.setattr(store, name, ask)

    for name in ("ls", "isfile", "exists", "info"):
        counted(name)
    sources = find_all([str(clips)])
    job = Job("maxwhisper", "demo", "", "float32", "memory://archive/out", formats=("txt", "json"))
    ledger = Ledger(job)
    asked.clear()
    assert all(ledger.before(source) is not None for source in sources)
    assert len({name for name, _ in asked}) == 1
    assert len(asked) == 2  # folders
