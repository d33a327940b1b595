"""An agent uses the page over the Model Context Protocol, within the limits of every visitor."""

import base64
import json

import httpx
import pytest

from maxwhisper.engines.verdict import Factor
from tests.fakes.engine_processes import wait_until
from tests.fakes.page import served_page, write_wav

LIMITED = {"uploads": 2, "minutes": 4, "clicks": 60}
ELSEWHERE = {"x-forwarded-for": "203.0.113.5"}  # or the test is this machine, which has no limits


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(patch, tmp_path_factory.mktemp("page"), **LIMITED) as served,
    ):
        yield served


def send(address, method, headers=None, **params):
    """The answer to one message."""
    message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    return httpx.post(f"{address}gradio_api/mcp", json=message, headers=headers, timeout=60)


def call(address, tool, headers=None, meta=None, **arguments):
    """Call a tool: its result, and the sentences of progress."""
    params = {"name": tool, "arguments": arguments, **({"_meta": meta} if meta else {})}
    answer = send(address, "tools/call", headers, **params)
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    *told, last = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert last["id"] == 7
    return last["result"], [each["params"]["message"] for each in told]


def base64_of(path):
    return base64.b64encode(path.read_bytes()).decode()


def test_a_client_is_greeted_in_its_version_or_in_ours(page):
    greeting = send(page[0], "initialize", protocolVersion="2025-03-26").json()["result"]
    assert greeting["protocolVersion"] == "2025-03-26"
    assert greeting["capabilities"] == {"tools": {}}
    greeting = send(page[0], "initialize", protocolVersion="1999-01-01").json()["result"]
    assert greeting["protocolVersion"] == "2025-11-25"
    assert "Speech to text" in greeting["instructions"]
    told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert httpx.post(f"{page[0]}gradio_api/mcp/", json=told).status_code == 202


def test_there_are_two_tools_with_typed_arguments(page):
    tools = {t["name"]: t for t in send(page[0], "tools/list").json()["result"]["tools"]}
    assert set(tools) == {"transcribe", "race"}
    for tool in tools.values():
        schema = tool["inputSchema"]
        assert schema["required"] == ["recording"]
        assert all(each["type"] and each["description"] for each in schema["properties"].values())
        assert "Returns" in tool["description"]
    assert tools["race"]["inputSchema"]["properties"]["rounds"]["maximum"] == 5


def test_a_recording_in_base64_is_transcribed_and_gone(page, tmp_path):
    sent = base64_of(write_wav(tmp_path / "voice.wav", 2.0))
    for recording in (sent, f"data:audio/wav;base64,{sent}"):
        result, told = call(page[0], "transcribe", recording=recording, word_timestamps=True)
        assert result["isError"] is False
        got = result["structuredContent"]
        assert json.loads(result["content"][0]["text"]) == got
        assert got["text"].endswith("its friends")
        assert (got["audio_s"], len(got["segments"])) == (2.0, 7)
        assert told == [], "nobody asked for progress"
    assert not list(page[1].root.rglob("recording"))


def test_a_clip_is_raced_by_its_title_with_progress(page):
    result, told = call(
        page[0],
        "race",
        meta={"progressToken": "a"},
        recording="a short CLIP",
        reference="the quick brown fox",
        rounds=2,
    )
    got = result["structuredContent"]
    assert set(got["texts"]) == {"openai-whisper", "faster-whisper", "maxwhisper"}
    assert got["scores"]["maxwhisper"]["word_errors"]["n_words"] == 4
    assert got["verdict"]
    assert any("maxwhisper: round 1 of 2" in sentence for sentence in told)
    said = got["factor"]
    assert (said is None) == got["verdict"][0].startswith("Too close")
    assert said is None or Factor(**said).text in got["verdict"][0]


def test_without_a_number_a_short_clip_has_three_rounds_as_on_the_page(page):
    _, told = call(page[0], "race", meta={"progressToken": "b"}, recording="A tone")
    assert any("maxwhisper: round 3 of 3" in sentence for sentence in told)


def test_an_agent_that_goes_away_stops_its_race(page):
    address, _, pool, _ = page
    asked = {"name": "race", "arguments": {"recording": "A short clip", "rounds": 5}}
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": asked}
    with pool.device(lambda: False):
        with httpx.stream("POST", f"{address}gradio_api/mcp", json=message) as answer:
            next(answer.iter_raw())
            wait_until(lambda: pool.n_waiting == 1)
        wait_until(lambda: pool.n_waiting == 0, timeout_s=10)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "expected the argument recording"),
        ({"recording": "/etc/hostname"}, "neither the title of a clip nor a file in base64"),
        ({"recording": "http://127.0.0.1:9/x.wav"}, "Web addresses and paths of your own machine"),
        ({"recording": 5}, "recording must be of type str, got 5"),
        ({"recording": "A tone", "rounds": 9}, "rounds must be between 1 and 5, got 9"),
        ({"recording": "A tone", "rounds": True}, "rounds must be of type int, got True"),
        ({"recording": "A tone", "model": "huge"}, "unknown model 'huge'"),
        ({"recording": "A tone", "keep": True}, "there is no argument 'keep'"),
        ({"recording": base64.b64encode(b"%PDF-1.7").decode()}, "This is a PDF document"),
    ],
)
def test_what_cannot_be_raced_is_refused_in_words(page, arguments, reason, caplog):
    result, _ = call(page[0], "race", **arguments)
    assert result["isError"] is True
    assert reason in result["content"][0]["text"]
    assert "internal error" not in caplog.text
    assert not list(page[1].root.rglob("recording"))


@pytest.mark.parametrize("tool", ["transcribe", "race"])
def test_a_recording_goes_with_the_call_that_is_refused(page, tmp_path, tool, monkeypatch):
    monkeypatch.setattr("maxwhisper.web.server.queue.MAX_WAITING", 0)
    sent = base64_of(write_wav(tmp_path / "voice.wav", 0.5))
    result, _ = call(page[0], tool, recording=sent)
    assert "The queue is full" in result["content"][0]["text"]
    assert not list(page[1].root.rglob("recording"))


@pytest.mark.parametrize("tool", ["transcribe", "race"])
def test_a_recording_goes_with_the_agent_that_leaves_the_queue(page, tmp_path, tool):
    address, uploads, pool, _ = page
    sent = base64_of(write_wav(tmp_path / "voice.wav", 0.5))

    def ask(name, recording):
        asked = {"name": name, "arguments": {"recording": recording}}
        message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": asked}
        return httpx.stream("POST", f"{address}gradio_api/mcp", json=message, timeout=60)

    with pool.device(lambda: False), ask("race", "A tone") as first:
        theirs = first.iter_raw()  # kept: without its reader, a connection is closed
        next(theirs)
        wait_until(lambda: pool.n_waiting == 1)
        with ask(tool, sent) as second:
            own = second.iter_raw()
            next(own)
            assert list(uploads.root.rglob("recording"))
        wait_until(lambda: not list(uploads.root.rglob("recording")), timeout_s=15)
    wait_until(lambda: pool.n_waiting == 0, timeout_s=10)


def test_a_path_outside_of_the_uploads_is_not_read(page):
    result, _ = call(page[0], "transcribe", recording=f"{page[1].root}/../clip.wav")
    assert result["isError"] is True
    assert "not an upload" in result["content"][0]["text"]


def test_a_tool_counts_as_a_visitor(page, tmp_path, monkeypatch):
    monkeypatch.setattr("maxwhisper.web.server.perimeter.visitor_of", lambda scope: "203.0.113.5")
    sent = base64_of(write_wav(tmp_path / "voice.wav", 1.0))
    results = [call(page[0], "transcribe", recording=sent)[0] for _ in range(3)]
    assert [each["isError"] for each in results] == [False, False, True]
    assert "may use 2 recordings per hour" in results[-1]["content"][0]["text"]
    for _ in range(6):  # each counts as half a minute of four, with the two above
        call(page[0], "transcribe", recording="A tone")
    result, _ = call(page[0], "race", recording="A tone")
    assert "may use 4 minutes of races per hour" in result["content"][0]["text"]
    statuses = {send(page[0], "ping").status_code for _ in range(60)}
    assert statuses == {200, 429}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ([], "expected one JSON-RPC 2.0 message"),
        ({"id": 1, "method": "ping"}, "expected one JSON-RPC 2.0 message"),
        ({"jsonrpc": "2.0", "id": 1, "method": "resources/list"}, "no method 'resources/list'"),
        (
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "rm"}},
            "expected a tool and arguments: transcribe, race",
        ),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}, "params as an object"),
    ],
)
def test_other_messages_are_errors_of_the_protocol(page, message, reason):
    answer = httpx.post(f"{page[0]}gradio_api/mcp", json=message)
    assert reason in answer.json()["error"]["message"]


def test_the_address_is_held_to_the_rules_of_the_page(page):
    address = f"{page[0]}gradio_api/mcp"
    assert httpx.get(address).status_code == 405, "there is no stream of the server's own messages"
    assert httpx.post(address, content=b"{").status_code == 400
    assert httpx.post(address, content=b" " * (4 * 2**20 + 1)).status_code == 413
    other = {"origin": "https://elsewhere.example"}
    assert send(page[0], "ping", headers=other).status_code == 403
    assert send(page[0], "ping", headers={"host": "elsewhere.example"}).status_code >= 400
