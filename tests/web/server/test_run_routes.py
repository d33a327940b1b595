"""Files of stored runs over HTTP: whole, in ranges, and deleted."""

from zipfile import ZipFile

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from maxwhisper.web.server.run_routes import run_routes
from maxwhisper.web.server.run_store import RunStore, new_run_id
from tests.fakes.runs import make_run, waveform


@pytest.fixture
def stored(tmp_path):
    """A client, and the id of a stored run."""
    store, run = RunStore(tmp_path / "runs", keep_days=7, keep_runs=3), make_run()
    store.save(run, waveform())
    return TestClient(Starlette(routes=run_routes(store))), run.id


def test_the_recording_is_served_in_ranges(stored):
    client, run_id = stored
    whole = client.get(f"/runs/{run_id}/audio.flac")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/flac")
    assert whole.content.startswith(b"fLaC")
    part = client.get(f"/runs/{run_id}/audio.flac", headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])


@pytest.mark.parametrize("name", ["run.zip", "audio.flac"])
def test_a_deleted_run_answers_404_with_the_reason(stored, name):
    client, _ = stored
    answer = client.get(f"/runs/{new_run_id()}/{name}")
    assert answer.status_code == 404
    assert "no longer available" in answer.text


@pytest.mark.parametrize("name", ["run.json", "audio.flac/..", ""])
def test_nothing_else_of_a_run_is_served(stored, name):
    client, run_id = stored
    assert client.get(f"/runs/{run_id}/{name}").status_code == 404


def test_a_full_disk_is_reported_and_leaves_no_partial_zip(stored, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    client, run_id = stored
    monkeypatch.setattr(ZipFile, "writestr", full)
    answer = client.get(f"/runs/{run_id}/run.zip")
    assert (answer.status_code, "No space left" in answer.text) == (507, True)
    names = sorted(path.name for path in (tmp_path / "runs" / run_id).iterdir())
    assert names == ["audio.flac", "run.json"]
