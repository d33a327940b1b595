"""A microphone's samples and the readiness of the page over HTTP, behind the perimeter."""

import uuid
from types import SimpleNamespace

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from maxwhisper.options import TranscribeOptions
from maxwhisper.serving.fair_use import FairUse, Limits
from maxwhisper.serving.live import LiveDesk
from maxwhisper.serving.live_routes import live_route
from maxwhisper.serving.microphone import Microphone
from maxwhisper.serving.perimeter import MAX_SOUND_BYTES, Perimeter
from maxwhisper.serving.ready import ready_route
from maxwhisper.serving.status import Status

SECOND = np.zeros(48_000, "<i2").tobytes()


def client(tmp_path, *routes):
    fair = FairUse(Limits())
    return TestClient(Perimeter(Starlette(routes=list(routes)), tmp_path, fair))


def test_samples_reach_the_session_of_their_token_alone(make_pool, tmp_path):
    desk, token, other = LiveDesk(make_pool()), str(uuid.uuid4()), str(uuid.uuid4())
    web = client(tmp_path, live_route(desk))
    assert web.post(f"/live/{token}?rate=48000", content=SECOND).text == "unknown"
    session = desk.open("anna", TranscribeOptions(language="en"), token)
    assert web.post(f"/live/{other}?rate=48000", content=SECOND).text == "unknown"
    assert web.post(f"/live/{token}?rate=48000", content=SECOND).text == "listening"
    session.finish()
    assert web.post(f"/live/{token}?rate=48000", content=SECOND).text == "over"
    session.join(20)
    assert session.view.committed.startswith(" the")
    assert session.view.received_s == pytest.approx(1.0, abs=0.05)  # the resampler keeps the rest


@pytest.mark.parametrize("query", ["", "?rate=0", "?rate=fast", "?rate=99999999"])
def test_sound_that_cannot_be_read_ends_the_session_with_the_reason(make_pool, tmp_path, query):
    desk, token = LiveDesk(make_pool()), str(uuid.uuid4())
    session = desk.open("anna", TranscribeOptions(language="en"), token)
    web = client(tmp_path, live_route(desk))
    assert web.post(f"/live/{token}{query}", content=SECOND).text == "over"
    session.join(20)
    assert "expected a sample rate" in session.view.note


def test_a_session_without_a_token_has_no_microphone(make_pool):
    desk = LiveDesk(make_pool())
    desk.open("anna", TranscribeOptions(language="en")).stop()
    assert desk.by_token("") is None


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/live/x", 2, 404),
        ("/live/" + "a" * 36 + "/more", 2, 404),
        ("/live/" + "a" * 36, MAX_SOUND_BYTES + 2, 413),
    ],
)
def test_perimeter_bounds_what_comes_in(tmp_path, path, size, status):
    desk = SimpleNamespace(by_token=lambda token: SimpleNamespace(is_over=True, is_complete=True))
    web = client(tmp_path, live_route(desk))
    assert web.post(path, content=b"\0" * size).status_code == status


@pytest.mark.parametrize("rate", ["", "fast", "-1", "9" * 5000])
def test_a_rate_that_is_none_ends_the_session_in_words(tmp_path, rate):
    ended = []
    session = SimpleNamespace(
        is_over=False, is_complete=True, hear=Microphone().samples, stop=ended.append
    )
    desk = SimpleNamespace(by_token=lambda token: session)
    url = f"/live/{uuid.uuid4()}"
    client(tmp_path, live_route(desk)).post(url, params={"rate": rate}, content=SECOND)
    assert "expected a sample rate of" in ended[0]


def test_no_websocket_gets_past_the_perimeter(tmp_path):
    async def greet(socket):
        await socket.accept()

    web = client(tmp_path, WebSocketRoute("/", greet))
    with pytest.raises(WebSocketDisconnect), web.websocket_connect("/"):
        pass


@pytest.mark.parametrize(
    ("phase", "status"), [("ready", 200), ("loading", 503), ("warming", 503), ("crashed", 503)]
)
def test_readyz_needs_our_engine_and_gives_every_reason(tmp_path, phase, status):
    statuses = {
        "openai-whisper": Status("unavailable", "no module named whisper"),
        "maxwhisper": Status(phase, "compiling graphs: 41 s"),
    }
    pool = SimpleNamespace(statuses=lambda: statuses)
    answer = client(tmp_path, ready_route(pool)).get("/readyz")
    assert answer.status_code == status
    assert "openai-whisper: unavailable, no module named whisper" in answer.text
    assert f"maxwhisper: {phase}, compiling graphs: 41 s" in answer.text


def test_readyz_of_a_page_without_our_engine_is_never_ready(tmp_path):
    pool = SimpleNamespace(statuses=lambda: {"openai-whisper": Status("ready")})
    assert client(tmp_path, ready_route(pool)).get("/readyz").status_code == 503


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 5000, 400),
        (b"[" * 900 + b'{"path": "/etc/hostname"}' + b"]" * 900, 403),
    ],
)
def test_json_nested_as_deep_as_it_goes_is_no_error_of_ours(tmp_path, body, status):
    answer = client(tmp_path).post("/gradio_api/queue/join", content=body)
    assert answer.status_code == status
