"""Microphone audio and readiness over HTTP, behind the perimeter."""

import uuid
from types import SimpleNamespace

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from maxwhisper.engines.status import Status
from maxwhisper.options import TranscribeOptions
from maxwhisper.web.server.fair_use import FairUse, Limits
from maxwhisper.web.server.live_desk import LiveDesk
from maxwhisper.web.server.live_routes import live_route
from maxwhisper.web.server.live_session import Ticket
from maxwhisper.web.server.microphone import Microphone
from maxwhisper.web.server.perimeter import MAX_CHUNK_BYTES, Perimeter
from maxwhisper.web.server.readiness import ready_route
from tests.fakes.engine_processes import wait_until

SECOND = np.zeros(48_000, "<i2").tobytes()


def client(tmp_path, *routes):
    fair = FairUse(Limits())
    return TestClient(Perimeter(Starlette(routes=list(routes)), tmp_path, fair))


def test_samples_reach_only_the_session_of_their_token(make_pool, tmp_path):
    desk, token, other = LiveDesk(make_pool()), str(uuid.uuid4()), str(uuid.uuid4())
    web = client(tmp_path, live_route(desk))
    assert web.post(f"/live/{token}?rate=48000", content=SECOND).text == "unknown"
    session = desk.open(Ticket("anna", token=token), TranscribeOptions(language="en"))
    assert web.post(f"/live/{other}?rate=48000", content=SECOND).text == "unknown"
    assert web.post(f"/live/{token}?rate=48000", content=SECOND).text == "listening"
    session.finish()
    assert web.post(f"/live/{token}?rate=48000", content=SECOND).text == "over"
    session.join(20)
    assert session.view.committed.startswith(" the")
    assert session.view.received_s == pytest.approx(1.0, abs=0.05)  # the resampler keeps the rest


def test_a_microphone_hears_of_the_line_and_says_that_it_is_off(make_pool, tmp_path):
    desk, token = LiveDesk(make_pool()), str(uuid.uuid4())
    web = client(tmp_path, live_route(desk))
    ahead = desk.open(Ticket("ben"), TranscribeOptions(language="en"))
    session = desk.open(Ticket("anna", token=token), TranscribeOptions(language="en"))
    wait_until(lambda: session.view.phase == "in line")
    assert web.post(f"/live/{token}?rate=0").text == "line"
    ahead.stop()
    wait_until(lambda: session.view.phase == "listening")
    assert web.post(f"/live/{token}?rate=48000", content=SECOND).text == "listening"
    assert web.post(f"/live/{token}?rate=48000&end=1", content=SECOND).text == "over"
    session.join(20)
    assert session.view.received_s == pytest.approx(2.0, abs=0.05), "the last samples count"


@pytest.mark.parametrize("query", ["", "?rate=0", "?rate=fast", "?rate=99999999"])
def test_unreadable_audio_ends_the_session_with_the_reason(make_pool, tmp_path, query):
    desk, token = LiveDesk(make_pool()), str(uuid.uuid4())
    session = desk.open(Ticket("anna", token=token), TranscribeOptions(language="en"))
    web = client(tmp_path, live_route(desk))
    assert web.post(f"/live/{token}{query}", content=SECOND).text == "over"
    session.join(20)
    assert "Expected a sample rate" in session.view.note


def test_a_session_without_a_token_has_no_microphone(make_pool):
    desk = LiveDesk(make_pool())
    desk.open(Ticket("anna"), TranscribeOptions(language="en")).stop()
    assert desk.by_token("") is None


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/live/x", 2, 404),
        ("/live/" + "a" * 36 + "/more", 2, 404),
        ("/live/" + "a" * 36, MAX_CHUNK_BYTES + 2, 413),
    ],
)
def test_the_perimeter_limits_paths_and_sizes(tmp_path, path, size, status):
    desk = SimpleNamespace(by_token=lambda token: None)
    web = client(tmp_path, live_route(desk))
    assert web.post(path, content=b"\0" * size).status_code == status


@pytest.mark.parametrize("rate", ["", "fast", "-1", "9" * 5000])
def test_an_invalid_rate_ends_the_session_with_a_sentence(tmp_path, rate):
    ended = []
    session = SimpleNamespace(
        is_over=False,
        is_complete=True,
        touch=lambda: None,
        feed_pcm=Microphone().samples,
        stop=ended.append,
    )
    desk = SimpleNamespace(by_token=lambda token: session)
    url = f"/live/{uuid.uuid4()}"
    client(tmp_path, live_route(desk)).post(url, params={"rate": rate}, content=SECOND)
    assert "Expected a sample rate of" in ended[0]


@pytest.mark.parametrize(
    ("phase", "status"), [("ready", 200), ("loading", 503), ("warming", 503), ("crashed", 503)]
)
def test_readyz_needs_our_engine_and_lists_every_engines_state(tmp_path, phase, status):
    statuses = {
        "openai-whisper": Status("unavailable", "no module named whisper"),
        "maxwhisper": Status(phase, "compiling graphs: 41 s"),
    }
    pool = SimpleNamespace(statuses=lambda: statuses)
    answer = client(tmp_path, ready_route(pool)).get("/readyz")
    assert answer.status_code == status
    assert "openai-whisper: unavailable, no module named whisper" in answer.text
    assert f"maxwhisper: {phase}, compiling graphs: 41 s" in answer.text


def test_readyz_without_our_engine_is_never_ready(tmp_path):
    pool = SimpleNamespace(statuses=lambda: {"openai-whisper": Status("ready")})
    assert client(tmp_path, ready_route(pool)).get("/readyz").status_code == 503


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 5000, 400),
        (b"[" * 900 + b'{"path": "/etc/hostname"}' + b"]" * 900, 403),
    ],
)
def test_deeply_nested_json_is_refused_without_an_internal_error(tmp_path, body, status):
    answer = client(tmp_path).post("/gradio_api/queue/join", content=body)
    assert answer.status_code == status
