"""Stored runs are complete, expire in time, and a link reaches nothing else."""

import json
import os
import time
import zipfile

import msgspec
import numpy as np
import pytest

from maxwhisper.errors import OutputError
from maxwhisper.web.server import run_store as run_store
from maxwhisper.web.server.run import Run
from maxwhisper.web.server.run_store import RunNotFound, RunStore, new_run_id
from tests.fakes.runs import ENGINES, make_run, waveform

DAY_S = 86_400


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs", keep_days=7, keep_runs=3, draw=lambda run: f"<p>{run.model}")


def stored(store, **changes):
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


def test_a_reopened_store_finds_run_and_samples(store, tmp_path):
    run = stored(store)
    again = RunStore(tmp_path / "runs", keep_days=7, keep_runs=3)
    assert again.load(run.id) == run
    samples = again.waveform(run.id)
    assert samples.dtype == np.float32
    assert samples.shape == waveform().shape
    assert np.abs(samples - waveform()).max() <= 1 / 32768


def test_a_full_disk_leaves_nothing_behind(store, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(run_store, "_write_record", full)
    with pytest.raises(OutputError, match="No space left on device") as caught:
        stored(store)
    assert str(tmp_path) not in str(caught.value), "it is shown to strangers"
    assert list((tmp_path / "runs").iterdir()) == []


def test_half_a_character_leaves_nothing_behind(store, tmp_path):
    """UTF-16 has surrogates in pairs; a browser can send one of them, and no file can store it."""
    with pytest.raises(OutputError, match="a text contains half of a character"):
        stored(store, reference="so \ud83d")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_change_that_cannot_be_written_leaves_the_run_as_it_was(store, tmp_path):
    run = stored(store)
    before = sorted(path.name for path in (tmp_path / "runs" / run.id).iterdir())
    with pytest.raises(OutputError, match="cannot be changed"):
        store.update(msgspec.structs.replace(run, reference="so \ud83d"))
    assert sorted(path.name for path in (tmp_path / "runs" / run.id).iterdir()) == before
    assert store.load(run.id) == run


def test_pruning_deletes_what_a_killed_process_was_saving(store, tmp_path):
    run = stored(store)
    dead, alive = (tmp_path / "runs" / f"{new_run_id()}.unfinished" for _ in range(2))
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "audio.flac").touch()
    packed = store.zip_path(run.id)
    parts = [packed.with_name(f"{new_run_id()}.{kind}") for kind in ("zip", "json", "zip")]
    for part in parts:
        part.touch()
    changed = time.time() - run_store.UNFINISHED_S - 1
    for path in (dead, packed, *parts[:2]):
        os.utime(path, (changed, changed))
    store.prune()
    assert [part.exists() for part in parts] == [False, False, True]
    assert packed.exists()
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {run.id, alive.name}


def test_samples_beyond_full_scale_are_clipped_not_wrapped(store):
    run = make_run()
    store.save(run, np.array([1.5, -1.5] * 8000, np.float32))
    assert store.waveform(run.id)[0] > 0.99
    assert store.waveform(run.id)[1] < -0.99


def test_recorded_runs_never_change(store, tmp_path):
    """At any age; their ZIP is written elsewhere, because their folder may be read-only."""
    came = RunStore(tmp_path / "came", keep_days=500, keep_runs=9)
    long, short = stored(came, audio_s=20.0), stored(came, audio_s=1.0)
    for run in (long, short):
        age(came, run, days=400)
    (came.audio_path(long.id).parent.parent / "stray").mkdir()
    before = sorted(path.relative_to(tmp_path) for path in (tmp_path / "came").rglob("*"))
    page = RunStore(tmp_path / "runs", 7, 3, recorded=tmp_path / "came")
    mine = stored(page)
    assert page.recorded() == [long, short]
    assert page.load(long.id) == long
    assert page.waveform(long.id).shape == waveform().shape
    assert zipfile.ZipFile(page.zip_path(long.id)).testzip() is None
    with pytest.raises(RunNotFound, match="cannot be deleted"):
        page.delete(long.id)
    with pytest.raises(RunNotFound, match="cannot be changed"):
        page.update(long)
    page.prune()
    assert before == sorted(path.relative_to(tmp_path) for path in (tmp_path / "came").rglob("*"))
    page.delete(mine.id)
    assert store.recorded() == []


@pytest.mark.parametrize(
    "run_id", ["", "..", "../../etc/passwd", "a" * 15, "a" * 17, "a" * 15 + "/", "a" * 15 + "\n"]
)
def test_only_an_id_becomes_part_of_a_path(store, run_id):
    stored(store)
    for ask in (store.load, store.waveform, store.audio_path, store.zip_path, store.delete):
        with pytest.raises(RunNotFound, match="This link is not complete"):
            ask(run_id)


def test_unknown_and_deleted_runs_are_not_found(store):
    run = stored(store)
    store.delete(run.id)
    for run_id in (run.id, new_run_id()):
        with pytest.raises(RunNotFound, match="7 days"):
            store.load(run_id)


def test_old_runs_are_not_found_even_before_pruning(store):
    run = stored(store)
    age(store, run, 6.9)
    assert store.load(run.id) == run
    age(store, run, 7.1)
    with pytest.raises(RunNotFound, match="no longer available"):
        store.load(run.id)


def test_a_temporary_run_expires_within_the_hour(store, tmp_path):
    run, other = make_run(), stored(store)
    store.save(run, waveform(), is_temporary=True)
    assert (store.is_temporary(run.id), store.is_temporary(other.id)) == (True, False)
    store.update(run)
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


def test_pruning_deletes_the_old_and_the_oldest(store, tmp_path):
    runs = [stored(store) for _ in range(3)]
    age(store, runs[0], 8)
    for i, run in enumerate(runs[1:]):
        age(store, run, 2 - i)
    store.prune()
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {run.id for run in runs[1:]}
    fresh = [stored(store), stored(store)]
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    assert left == {run.id for run in (runs[2], *fresh)}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schema", 99, "expected schema 1, got 99"),
        ("audio_s", "long", r"Expected `float`, got `str` - at `\$\.audio_s`"),
        ("results", [{}], r"missing required field `engine` - at `\$\.results\[0\]`"),
        ("options", {"beams": 5}, "no option called beams"),
    ],
)
def test_a_broken_record_is_explained(store, field, value, message):
    run = stored(store)
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
def test_a_truncated_file_and_other_json_are_refused(store, damage):
    run = stored(store)
    path = record(store, run)
    path.write_text(damage(path.read_text()))
    with pytest.raises(RunNotFound, match="cannot be read"):
        store.load(run.id)


def test_the_zip_holds_every_transcript_in_every_format(store):
    run = stored(store)
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


def test_no_visitor_pushes_out_the_runs_of_another(tmp_path):
    store = RunStore(tmp_path / "runs", keep_days=7, keep_runs=10, keep_own=4)
    kept = make_run()
    store.save(kept, waveform(), visitor="203.0.113.1")
    age(store, kept, 1)
    rush = [make_run() for _ in range(15)]
    for run in rush:
        store.save(run, waveform(), visitor="203.0.113.2")
    assert store.load(kept.id) == kept
    assert [store.load(run.id) for run in rush[-4:]] == rush[-4:]
    with pytest.raises(RunNotFound, match="of each visitor 4"):
        store.load(rush[-5].id)
    assert b"203.0.113" not in b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    )


def test_the_machine_itself_keeps_as_many_runs_as_there_is_room(tmp_path):
    store = RunStore(tmp_path / "runs", keep_days=7, keep_runs=10, keep_own=4)
    runs = [make_run() for _ in range(10)]
    for run in runs:
        store.save(run, waveform())
    assert [store.load(run.id) for run in runs] == runs
