"""The suite of archives in its short form, and judges that see what they must."""

import sys

import pytest

from tools.robustness import archives
from tools.robustness.__main__ import run_named
from tools.robustness.suite import SuiteRun, Unexpected


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_short_form_passes():
    """Thirty recordings with the real network: in one process, killed, and on three nodes."""
    record = run_named("archives", SuiteRun(is_short=True))
    assert record.failures == []
    assert {group.name for group in record.groups} == {"undisturbed", "killed", "cluster"}


def written(folder, text, row):
    import pyarrow
    import pyarrow.parquet

    (folder / "segments").mkdir(parents=True)
    (folder / "0001.txt").write_text(text)
    (folder / "0001.json").write_text('{"score": -0.12345678}')
    (folder / "manifest.jsonl").write_text('{"source": "0001.wav", "status": "done"}\n')
    table = pyarrow.table({"source": ["0001.wav"] * len(row), "text": row})
    pyarrow.parquet.write_table(table, folder / "segments" / "part.parquet")


@pytest.mark.parametrize(
    ("text", "rows", "problem"),
    [
        ("the quick fox", ["the", "quick"], None),
        ("the quick", ["the", "quick"], "files that differ"),
        ("the quick fox", ["the", "the"], "stand twice"),
        ("the quick fox", ["the"], "rows of the table"),
    ],
)
def test_another_text_or_row_is_seen(tmp_path, text, rows, problem):
    written(tmp_path / "calm", "the quick fox", ["the", "quick"])
    written(tmp_path / "other", text, rows)
    archive = archives.Archive(tmp_path, SuiteRun())
    if problem is None:
        archive._check_same("other")
    else:
        with pytest.raises(Unexpected, match=problem):
            archive._check_same("other")


def test_only_the_last_digits_of_scores_may_differ():
    assert archives.alike(b"-0.123456") == archives.alike(b"-0.123999")
    assert archives.alike(b"-0.123456") != archives.alike(b"-0.124456")


def test_recordings_have_their_lengths_and_some_are_broken(tmp_path):
    import wave

    seconds = archives.lengths(60, is_short=True)
    archives.make_recordings(tmp_path / "clips", seconds, broken=range(7, 60, archives.ONE_IN))
    broken = []
    for number, path in enumerate(sorted((tmp_path / "clips").iterdir())):
        try:
            with wave.open(str(path)) as file:
                assert file.getnframes() == int(seconds[number] * archives.RATE)
        except (wave.Error, EOFError):
            broken.append(number)
    assert broken == [7, 57]
