"""Kept runs come back whole, go when they should, and no link reaches anything else."""

import json
import os
import time
import zipfile

import numpy as np
import pytest
from fake_runs import ENGINES, make_run, waveform

from maxwhisper.errors import OutputError
from maxwhisper.serving import runs as runs_module
from maxwhisper.serving.run import Run
from maxwhisper.serving.runs import RunNotFound, RunStore, new_run_id

DAY_S = 86_400


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs", keep_days=7, keep_runs=3, draw=lambda run: f"<p>{run.model}")


def kept(store, **changes):
    run = make_run(**changes)
    store.save(run, waveform())
    return run


def record(store, run):
    return store.audio_path(run.id).with_name("run.json")


def age(store, run, days):
    changed = time.time() - days * DAY_S
    os.utime(record(store, run), (changed, changed))


def test_a_run_survives_json():
    run = make_run(refused={"other": "no <b>GPU</b>"})
    assert Run.from_dict(json.loads(json.dumps(run.to_dict()))) == run


def test_a_store_opened_again_finds_run_and_samples(store, tmp_path):
    run = kept(store)
    again = RunStore(tmp_path / "runs", keep_days=7, keep_runs=3)
    assert again.load(run.id) == run
    samples = again.waveform(run.id)
    assert samples.dtype == np.float32
    assert samples.shape == waveform().shape
    assert np.abs(samples - waveform()).max() <= 1 / 32768


def test_what_a_full_disk_cannot_keep_leaves_nothing(store, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(runs_module, "_write_record", full)
    with pytest.raises(OutputError, match="No space left on device") as caught:
        kept(store)
    assert str(tmp_path) not in str(caught.value), "it is shown to strangers"
    assert list((tmp_path / "runs").iterdir()) == []


def test_samples_beyond_full_scale_are_clipped_not_wrapped(store):
    run = make_run()
    store.save(run, np.array([1.5, -1.5] * 8000, np.float32))
    assert store.waveform(run.id)[0] > 0.99
    assert store.waveform(run.id)[1] < -0.99


def test_runs_that_came_with_the_page_stay_as_they_are(store, tmp_path):
    """Whatever their age; their ZIP is packed elsewhere, because their folder may be read-only."""
    came = RunStore(tmp_path / "came", keep_days=500, keep_runs=9)
    long, short = kept(came, audio_s=20.0), kept(came, audio_s=1.0)
    for run in (long, short):
        age(came, run, days=400)
    (came.audio_path(long.id).parent.parent / "stray").mkdir()
    before = sorted(path.relative_to(tmp_path) for path in (tmp_path / "came").rglob("*"))
    page = RunStore(tmp_path / "runs", 7, 3, recorded=tmp_path / "came")
    mine = kept(page)
    assert page.recorded() == [long, short]
    assert page.load(long.id) == long
    assert page.waveform(long.id).shape == waveform().shape
    assert zipfile.ZipFile(page.zip_path(long.id)).testzip() is None
    with pytest.raises(RunNotFound, match="cannot be deleted"):
        page.delete(long.id)
    with pytest.raises(RunNotFound, match="cannot be changed"):
        page.amend(long)
    page.prune()
    assert before == sorted(path.relative_to(tmp_path) for path in (tmp_path / "came").rglob("*"))
    page.delete(mine.id)
    assert store.recorded() == []


@pytest.mark.parametrize(
    "run_id", ["", "..", "../../etc/passwd", "a" * 15, "a" * 17, "a" * 15 + "/", "a" * 15 + "\n"]
)
def test_what_is_no_id_reaches_no_path(store, run_id):
    kept(store)
    for ask in (store.load, store.waveform, store.audio_path, store.zip_path, store.delete):
        with pytest.raises(RunNotFound, match="names no run"):
            ask(run_id)


def test_an_unknown_and_a_deleted_run_are_not_kept(store):
    run = kept(store)
    store.delete(run.id)
    for run_id in (run.id, new_run_id()):
        with pytest.raises(RunNotFound, match="7 days"):
            store.load(run_id)


def test_old_runs_are_gone_before_anyone_swept(store):
    run = kept(store)
    age(store, run, 6.9)
    assert store.load(run.id) == run
    age(store, run, 7.1)
    with pytest.raises(RunNotFound, match="not kept any more"):
        store.load(run.id)


def test_a_passing_run_is_gone_within_the_hour(store, tmp_path):
    run, other = make_run(), kept(store)
    store.save(run, waveform(), is_passing=True)
    assert (store.is_passing(run.id), store.is_passing(other.id)) == (True, False)
    store.amend(run)
    for days, is_there in ((0.9 / 24, True), (1.1 / 24, False)):
        age(store, run, days)
        age(store, other, days)
        if is_there:
            assert store.load(run.id) == run
        else:
            with pytest.raises(RunNotFound):
                store.load(run.id)
    store.prune()
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {other.id}


def test_sweeping_removes_the_old_and_the_oldest(store, tmp_path):
    runs = [kept(store) for _ in range(3)]
    age(store, runs[0], 8)
    for i, run in enumerate(runs[1:]):
        age(store, run, 2 - i)
    store.prune()
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {run.id for run in runs[1:]}
    fresh = [kept(store), kept(store)]
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    assert left == {run.id for run in (runs[2], *fresh)}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schema", 99, "run.schema: expected 1, got 99"),
        ("audio_s", "long", "run.audio_s: expected int or float"),
        ("results", [{}], "expected what this version writes"),
        ("options", {"beams": 5}, "no option called beams"),
    ],
)
def test_a_broken_file_is_named_and_no_traceback(store, field, value, message):
    run = kept(store)
    path = record(store, run)
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(RunNotFound, match=message):
        store.load(run.id)


def test_times_that_do_not_fit_the_segments_are_refused():
    mapping = make_run().to_dict()
    mapping["results"][1]["spoken_s"] = [0.1]
    with pytest.raises(ValueError, match="faster-whisper lacks the times"):
        Run.from_dict(mapping)


@pytest.mark.parametrize("damage", [lambda text: text[:200], lambda _: "[]", lambda _: "3"])
def test_half_a_file_is_no_run_nor_is_other_json(store, damage):
    run = kept(store)
    path = record(store, run)
    path.write_text(damage(path.read_text()))
    with pytest.raises(RunNotFound, match="cannot be read"):
        store.load(run.id)


def test_the_zip_holds_every_transcript_in_every_format(store):
    run = kept(store)
    with zipfile.ZipFile(store.zip_path(run.id)) as archive:
        assert set(archive.namelist()) == {
            *("run.json", "audio.flac", "chart.html"),
            *(f"{e}.{kind}" for e in ENGINES for kind in ("txt", "srt", "vtt", "tsv", "json")),
        }
        assert archive.read("chart.html") == b"<p>demo"
        assert archive.read("maxwhisper.txt") == b"the quick brown fox\njumps over it\n"
        assert b"00:00:02,000 --> 00:00:04,000" in archive.read("maxwhisper.srt")
        assert Run.from_dict(json.loads(archive.read("run.json"))) == run
    assert store.zip_path(run.id).stat().st_ino == store.zip_path(run.id).stat().st_ino
