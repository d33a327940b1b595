"""Files of kept runs over HTTP: whole, in parts, and gone."""

from zipfile import ZipFile

import pytest
from fake_runs import make_run, waveform
from starlette.applications import Starlette
from starlette.testclient import TestClient

from maxwhisper.serving.run_routes import run_routes
from maxwhisper.serving.runs import RunStore, new_run_id


@pytest.fixture
def kept(tmp_path):
    """A client, and the id of a run that is kept."""
    store, run = RunStore(tmp_path / "runs", keep_days=7, keep_runs=3), make_run()
    store.save(run, waveform())
    return TestClient(Starlette(routes=run_routes(store))), run.id


def test_the_recording_can_be_heard_from_any_point(kept):
    client, run_id = kept
    whole = client.get(f"/runs/{run_id}/audio.flac")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/flac")
    assert whole.content.startswith(b"fLaC")
    part = client.get(f"/runs/{run_id}/audio.flac", headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])


@pytest.mark.parametrize("name", ["run.zip", "audio.flac"])
def test_a_run_that_is_gone_says_so(kept, name):
    client, _ = kept
    answer = client.get(f"/runs/{new_run_id()}/{name}")
    assert answer.status_code == 404
    assert "not kept any more" in answer.text


@pytest.mark.parametrize("name", ["run.json", "audio.flac/..", ""])
def test_nothing_else_of_a_run_is_served(kept, name):
    client, run_id = kept
    assert client.get(f"/runs/{run_id}/{name}").status_code == 404


def test_a_full_disk_is_a_reason_and_leaves_no_half_zip(kept, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    client, run_id = kept
    monkeypatch.setattr(ZipFile, "writestr", full)
    answer = client.get(f"/runs/{run_id}/run.zip")
    assert (answer.status_code, "No space left" in answer.text) == (507, True)
    names = sorted(path.name for path in (tmp_path / "runs" / run_id).iterdir())
    assert names == ["audio.flac", "run.json"]
