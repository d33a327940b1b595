"""A page open to strangers gives each of them a share, and tells who asks for more what to do."""

import httpx
import pytest
from fake_page import served_page, write_wav
from test_race_api import post, upload

SLOW = {"initial_prompt": "slow"}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(
            patch, tmp_path_factory.mktemp("page"), waiting=1, minutes=0.1, uploads=2
        ) as served,
    ):
        yield served[0]


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


def test_races_of_one_visitor_that_wait_are_counted(address, tmp_path):
    def ask(visitor, options):
        clip = upload(address, write_wav(tmp_path / "voice.wav", 2.0))
        data = {"data": [clip, "", "en", "", 1, False, options]}
        return httpx.post(
            f"{address}gradio_api/call/compare", json=data, headers=as_visitor(visitor), timeout=60
        )

    assert ask("127.0.0.1", SLOW).status_code == 200  # it runs, and the next ones wait
    answers = [ask("203.0.113.5", {}) for _ in range(3)]
    assert [answer.status_code for answer in answers[-1:]] == [429]
    assert "wait in the queue already" in answers[-1].json()["detail"]
    assert ask("203.0.113.6", {}).status_code == 200
