"""Races that come with the page: recorded as a visitor would race, the recording only linked."""

import functools
import json

import numpy as np
import pytest

from maxwhisper.engines.pool import EnginePool
from maxwhisper.options import TranscribeOptions
from maxwhisper.web.server.fair_use import FairUse, Limits
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.server.run_store import RunStore
from maxwhisper.web.server.uploads import Uploads
from maxwhisper.web.ui.examples import load_examples
from maxwhisper.web.ui.race import share_links
from maxwhisper.web.ui.race.runner import Runner
from tests.fakes import engine_processes as fake_lanes
from tests.fakes.page import MACHINE, write_wav
from tools import record_races


@pytest.fixture
def runner(monkeypatch, tmp_path):
    fake_lanes.install(monkeypatch)
    monkeypatch.setattr(record_races, "RECORDED", tmp_path / "races")
    pool = EnginePool(tuple(fake_lanes.ENGINES), ("demo",))
    store = RunStore(tmp_path / "races", record_races.FOREVER, record_races.FOREVER)
    pool.start()
    yield Runner(pool, Uploads(tmp_path), store, MACHINE, VisitorQueue(FairUse(Limits())))
    pool.close()


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    write_wav(folder / "clip.wav")
    entry = {"file": "clip.wav", "title": "A clip", "description": "", "duration_s": 1.0}
    (folder / "clips.json").write_text(json.dumps([entry | {"text": "the quick brown fox"}]))
    (clip,) = load_examples(folder)
    return clip


def test_a_race_is_recorded_once_for_each_clip_and_machine(runner, clip, tmp_path, capsys):
    for _ in range(2):
        record_races.record(runner, clip, "demo", rounds=2)
    (folder,) = (tmp_path / "races").iterdir()
    page = RunStore(tmp_path / "runs", 7, 3, recorded=tmp_path / "races")
    (run,) = page.recorded()
    assert {result.engine for result in run.results} == set(fake_lanes.ENGINES)
    assert all(len(result.seconds) == 2 for result in run.results)
    assert run.reference == "the quick brown fox"
    audio = folder / "audio.flac"
    assert audio.is_symlink()
    assert not audio.readlink().is_absolute()
    np.testing.assert_allclose(
        page.waveform(run.id), runner.uploads.waveform(clip.path, is_upload=False), atol=1 / 32768
    )
    assert "A clip" in capsys.readouterr().out
    name = share_links.recorded_name(run)
    assert name.startswith("A clip · 1 s · Test CPU, ")
    assert "does not expire" in share_links.share_links_html(run, page)


def test_an_engine_that_fails_leaves_no_record(runner, clip, monkeypatch, tmp_path):
    """One engine refuses, two say something: such a race is kept for a visitor, not for a show."""
    crash = functools.partial(TranscribeOptions, initial_prompt="crash")
    monkeypatch.setattr(record_races, "TranscribeOptions", crash)
    with pytest.raises(
        SystemExit, match=r"A clip: expected a text from every engine, got .*maxwhisper"
    ):
        record_races.record(runner, clip, "demo", rounds=1)
    assert list(tmp_path.glob("races/*")) == []
