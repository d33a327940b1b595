"""Each recording counts once, and as done only after everything of it is written."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet  # noqa: F401 (before MAX loads a model: after it, reading ends the process)
import pytest

from maxwhisper.archive.job import Job
from maxwhisper.archive.ledger import Ledger
from maxwhisper.archive.manifest import DONE, Entry, Journal
from tests.fakes import archive as fakes

SAID = fakes.transcript_of(np.zeros(fakes.SAMPLE_RATE, np.float32))


@pytest.fixture
def job(tmp_path):
    return Job("maxwhisper", "demo", "digest", "float32", str(tmp_path), formats=("parquet",))


def test_a_second_result_of_a_run_is_left_out(job):
    """A cluster may do a recording twice, and one may fail where the other succeeded."""
    told = []
    ledger = Ledger(job, told.append)
    first = Entry("/a/0.wav", DONE, audio_s=1.0)
    for entry in (first, replace(first, audio_s=2.0), Entry("/a/0.wav", "failed", reason="gone")):
        ledger.add(entry, SAID)
    summary = ledger.finish()
    assert told == [first]
    assert (summary.n_done, summary.n_failed, summary.audio_s) == (1, 0, 1.0)
    assert Journal(job.output).entries["/a/0.wav"].audio_s == 1.0


def test_a_recording_is_done_after_its_rows_are_written(job, monkeypatch):
    """Killed, or out of space, between the two: the recording is done again."""
    ledger = Ledger(job)
    ledger.add(Entry("/a/0.wav", DONE), SAID)

    def full(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(ledger._table, "write", full)
        with pytest.raises(OSError, match="no space left"):
            ledger.flush()
    assert Journal(job.output).entries == {}
    ledger.flush()
    assert list(Journal(job.output).entries) == ["/a/0.wav"]
