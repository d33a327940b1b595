"""A page open to strangers gives each of them a share, and tells who asks for more what to do."""

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import httpx
import pytest
from fake_lanes import wait_until
from fake_page import served_page, write_wav
from test_race_api import post, upload


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(
            patch, tmp_path_factory.mktemp("page"), waiting=1, minutes=0.1, uploads=2
        ) as served,
    ):
        yield served


@pytest.fixture
def address(served):
    return served[0]


@pytest.fixture
def pool(served):
    return served[2]


def as_visitor(visitor):
    """What a proxy on this machine says of whom it passes on."""
    return {"X-Forwarded-For": visitor}


def test_recordings_of_one_visitor_are_counted(address, tmp_path):
    def send(visitor):
        files = {"files": write_wav(tmp_path / "voice.wav").read_bytes()}
        headers = as_visitor(visitor)
        return httpx.post(f"{address}gradio_api/upload", files=files, headers=headers, timeout=60)

    assert [send("203.0.113.1").status_code for _ in range(3)] == [200, 200, 429]
    assert send("203.0.113.1").json()["detail"].startswith("This page is shared: 2 recordings")
    assert send("203.0.113.2").status_code == 200


def test_minutes_of_one_visitor_are_counted_in_every_round(address, tmp_path):
    def race(visitor, rounds):
        clip = upload(address, write_wav(tmp_path / "voice.wav", 2.0))
        arguments = [clip, "", "en", "", rounds, False, {}]
        return post(address, arguments, headers=as_visitor(visitor))

    assert race("203.0.113.3", 2)[0] == "complete"
    event, data = race("203.0.113.3", 2)
    assert event == "error"
    assert "0.1 minutes of sound an hour" in str(data)
    assert "come back in 60 minutes" in str(data)
    assert race("203.0.113.4", 1)[0] == "complete"
    assert race("127.0.0.1", 5)[0] == "complete"


def test_races_of_one_visitor_that_wait_are_counted(address, pool, tmp_path):
    def race(visitor, seconds):  # no two alike: what is read is deleted, also for who sent the same
        clip = upload(address, write_wav(tmp_path / f"{seconds}.wav", seconds))
        return post(address, [clip, "", "en", "", 1, False, {}], as_visitor(visitor))

    with ThreadPoolExecutor() as visitors:
        with pool.device(lambda: False):  # the first race lasts until it is let go
            first = visitors.submit(race, "127.0.0.1", 2.0)
            wait_until(lambda: pool.n_waiting == 1)
            theirs = [visitors.submit(race, "203.0.113.5", seconds) for seconds in (2.1, 2.2)]
            other = visitors.submit(race, "203.0.113.6", 2.3)
            (refused,), _ = wait(theirs, timeout=60, return_when=FIRST_COMPLETED)
        assert refused.result()[0] == "error"
        assert "1 of your races wait in the queue already" in str(refused.result()[1])
        theirs.remove(refused)
        answers = [asked.result() for asked in (first, *theirs, other)]
        assert [event for event, _ in answers] == ["complete"] * 3, answers
