"""A run that is killed again and again ends as one that nobody disturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from tests.fakes.archive import make_archive

ROOT = Path(__file__).parents[2]
RUN = (
    "import sys; from maxwhisper import engine; from maxwhisper.archive import ledger; "
    "from tests.fakes import archive; engine.ENGINES.update(archive.ENGINES); "
    "ledger.PART_RECORDINGS = 4; from maxwhisper.cli import main; sys.exit(main(sys.argv[1:]))"
)
SLEEP_S = 0.01  # for each recording


def start(clips, out):
    command = [sys.executable, "-c", RUN, "batch", clips, "-o", out, "-f", "txt,json,parquet"]
    environment = os.environ | {"FAKE_SLEEP_S": str(SLEEP_S), "PYTHONPATH": str(ROOT)}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        [*map(str, command), "--batch_size", "4"], env=environment, stdout=quiet, stderr=quiet
    )


def lines(out):
    journal = out / "journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def files(out):
    """What the run has written for readers, also what is half written, by name."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.suffix != ".parquet"
        if path.name not in ("journal.jsonl", "manifest.jsonl", ".lock")
    }


def rows(out):
    """The rows of the table, sorted; settings and hashes included."""
    found = [
        row
        for path in (out / "segments").glob("*.parquet")
        for row in parquet.read_table(path).to_pylist()
    ]
    return sorted(found, key=lambda row: (row["source"], row["id"]))


def manifest(out):
    """The manifest without what may differ: times, names of the table's files, tries, folder."""
    entries = map(json.loads, (out / "manifest.jsonl").read_text().splitlines())
    differing = ("seconds", "part", "tries", "files")
    return [{n: v for n, v in entry.items() if n not in differing} for entry in entries]


@pytest.mark.faults
def test_killed_at_any_time_it_ends_as_if_undisturbed(tmp_path):
    clips = make_archive(tmp_path / "clips", 60, broken={5, 31})
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    assert start(clips, calm).wait(60) == 3
    chance = random.Random(2)
    n_kills = 0
    while n_kills < 6:
        process = start(clips, killed)
        enough = lines(killed) + chance.randint(0, 8)
        while process.poll() is None and lines(killed) <= enough:
            time.sleep(0.002)
        time.sleep(chance.random() * 3 * SLEEP_S)
        process.send_signal(signal.SIGKILL)
        if process.wait(60) != -signal.SIGKILL:
            break  # it was done before
        n_kills += 1
    assert n_kills >= 4, "killed too late: nothing was tried"
    assert start(clips, killed).wait(60) == 3
    assert files(killed) == files(calm)
    assert rows(killed) == rows(calm)
    keys = [(row["source"], row["id"]) for row in rows(killed)]
    assert len(set(keys)) == len(keys) > 60
    assert manifest(killed) == manifest(calm)
