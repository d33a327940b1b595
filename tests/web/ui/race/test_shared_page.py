"""A page open to strangers gives each of them a share, and tells who asks for more what to do."""

import functools
import json
import time
import uuid
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import httpx
import pytest

from maxwhisper.web.ui.page import MAX_SESSIONS
from tests.fakes.engine_processes import wait_until
from tests.fakes.page import served_page, write_wav
from tests.web.ui.race.test_api import post, upload


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(
            patch, tmp_path_factory.mktemp("page"), waiting=1, minutes=0.9, uploads=2
        ) as served,
    ):
        yield served


@pytest.fixture
def address(served):
    return served[0]


@pytest.fixture
def uploads(served):
    return served[1]


@pytest.fixture
def pool(served):
    return served[2]


def as_visitor(visitor):
    """What a proxy on this machine says of whom it passes on."""
    return {"X-Forwarded-For": visitor}


def send(address, folder, headers):
    files = {"files": write_wav(folder / "voice.wav").read_bytes()}
    return httpx.post(f"{address}gradio_api/upload", files=files, headers=headers, timeout=60)


def test_recordings_of_one_visitor_are_counted(address, tmp_path):
    one, other = as_visitor("203.0.113.1"), as_visitor("203.0.113.2")
    assert [send(address, tmp_path, one).status_code for _ in range(3)] == [200, 200, 429]
    refused = send(address, tmp_path, one)
    assert refused.json()["detail"].startswith("Each visitor may use 2 recordings")
    assert send(address, tmp_path, other).status_code == 200


@pytest.mark.parametrize(
    "addresses",
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2::1"),  # one customer's network
        ("198.51.100.9", "::ffff:198.51.100.9", "198.51.100.9"),
        ("127.0.0.1", "127.9.9.9", "::1"),  # of the proxy's host, or forged
    ],
)
def test_one_visitor_has_one_share_under_all_their_addresses(address, tmp_path, addresses):
    got = [send(address, tmp_path, as_visitor(each)).status_code for each in addresses]
    assert got == [200, 200, 429]


def test_the_machine_itself_has_no_limit(address, tmp_path):
    assert [send(address, tmp_path, {}).status_code for _ in range(3)] == [200] * 3


def test_a_race_counts_its_time_on_the_device_and_at_least_half_a_minute(address, tmp_path):
    def race(headers, rounds):
        clip = upload(address, write_wav(tmp_path / "voice.wav", 0.2))
        return post(address, [clip, "", "en", "", rounds, False, {}], headers=headers)

    stranger = as_visitor("203.0.113.3")
    assert race(stranger, 2)[0] == "complete"
    event, data = race(stranger, 1)
    assert event == "error"
    assert "0.9 minutes of races per hour. You have used 0.5 and this needs at least 0.5" in str(
        data
    )
    assert "Come back in 60 minutes" in str(data)
    assert race(as_visitor("203.0.113.4"), 1)[0] == "complete"
    assert [race({}, 5)[0] for _ in range(2)] == ["complete"] * 2


def test_races_of_one_visitor_that_wait_are_counted(address, pool, tmp_path):
    def race(visitor, seconds):  # no two alike: what is read is deleted, also for who sent the same
        clip = upload(address, write_wav(tmp_path / f"{seconds}.wav", seconds))
        return post(address, [clip, "", "en", "", 1, False, {}], as_visitor(visitor))

    with ThreadPoolExecutor() as visitors:
        with pool.device(lambda: False):  # the first race lasts until it is let go
            first = visitors.submit(race, "203.0.113.10", 2.0)
            wait_until(lambda: pool.n_waiting == 1)
            theirs = [visitors.submit(race, "203.0.113.5", seconds) for seconds in (2.1, 2.2)]
            other = visitors.submit(race, "203.0.113.6", 2.3)
            (refused,), _ = wait(theirs, timeout=60, return_when=FIRST_COMPLETED)
        assert refused.result()[0] == "error"
        assert "You already have 1 waiting in the queue" in str(refused.result()[1])
        theirs.remove(refused)
        answers = [asked.result() for asked in (first, *theirs, other)]
        assert [event for event, _ in answers] == ["complete"] * 3, answers


ARGUMENTS = {"compare": ["", "en", "", 1, False, {}], "transcribe": ["", "en", False]}


@pytest.mark.parametrize("endpoint", ARGUMENTS)
def test_a_recording_goes_with_the_call_that_is_refused(
    address, uploads, tmp_path, endpoint, monkeypatch
):
    monkeypatch.setattr("maxwhisper.web.server.queue.MAX_WAITING", 0)
    clip = upload(address, write_wav(tmp_path / f"refused-{endpoint}.wav", 0.3))
    event, data = post(address, [clip, *ARGUMENTS[endpoint]], endpoint=endpoint)
    assert (event, "The queue is full" in str(data)) == ("error", True)
    wait_until(lambda: not list(uploads.root.rglob(f"refused-{endpoint}.wav")))


@pytest.mark.parametrize("endpoint", ARGUMENTS)
def test_a_recording_goes_with_the_program_that_leaves_the_queue(
    address, uploads, pool, tmp_path, endpoint
):
    call = f"gradio_api/call/{endpoint}"
    with ThreadPoolExecutor() as visitors, pool.device(lambda: False):
        first = upload(address, write_wav(tmp_path / "first.wav", 0.4))
        visitors.submit(post, address, [first, *ARGUMENTS["compare"]])
        wait_until(lambda: pool.n_waiting == 1)
        clip = upload(address, write_wav(tmp_path / f"left-{endpoint}.wav", 0.3))
        with httpx.Client(base_url=address, timeout=60) as client:
            asked = client.post(call, json={"data": [clip, *ARGUMENTS[endpoint]]}).json()
            with client.stream("GET", f"{call}/{asked['event_id']}") as answer:
                lines = answer.iter_lines()  # kept: without its reader, a connection is closed
                next(lines)
                assert list(uploads.root.rglob(f"left-{endpoint}.wav"))
        wait_until(lambda: not list(uploads.root.rglob(f"left-{endpoint}.wav")), timeout_s=15)


@functools.cache
def handlers(address):
    """The index of every handler of the page, by name."""
    config = httpx.get(f"{address}config").json()
    return {each["api_name"]: index for index, each in enumerate(config["dependencies"])}


def join(client, name, data, session):
    """Start the handler called `name` as the page does."""
    body = {"data": data, "fn_index": handlers(str(client.base_url))[name], "session_hash": session}
    return client.post("/gradio_api/queue/join", json=body)


def end(client, session):
    """The last message of the handlers of `session`."""
    last = None
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as lines:
        for line in lines.iter_lines():
            if '"process_completed"' in line:
                last = json.loads(line.removeprefix("data:"))
    return last


@pytest.fixture
def client(address):
    """A function that gives a visitor from elsewhere a client."""
    return lambda visitor: httpx.Client(base_url=address, headers=as_visitor(visitor), timeout=60)


def test_checks_and_layer_maps_wait_in_the_queue_of_races(client, pool):
    sessions = [uuid.uuid4().hex for _ in range(3)]
    greedy = client("203.0.113.20")
    with pool.device(lambda: False):
        joined = join(greedy, "run_all", [None, "the device shown above"], sessions[0])
        assert joined.status_code == 200
        wait_until(lambda: pool.n_waiting == 1)
        for session in sessions[1:]:
            join(greedy, "compare_1", ["A short clip", None], session)
        time.sleep(0.5)
        assert pool.n_waiting == 1, "the others wait in the queue, not for the device"
        other = client("203.0.113.21")
        assert join(other, "run_all", [None, "the device shown above"], "other").status_code == 200
    ends = [end(greedy, session) for session in sessions]
    assert [each["success"] for each in ends].count(False) == 1
    refused = next(each for each in ends if not each["success"])
    assert "You already have 1 waiting in the queue" in refused["output"]["error"]
    assert refused in ends[1:], "the checks came first"
    (layers,) = [each for each in ends[1:] if each is not refused]
    assert "layers compared" in str(layers["output"]["data"])
    assert "passed" in str(ends[0]["output"]["data"])
    assert end(other, "other")["success"]


def test_a_rush_of_one_visitor_leaves_the_pages_of_others_as_they_were(client, tmp_path):
    anna, rusher = client("203.0.113.30"), client("203.0.113.31")
    with (write_wav(tmp_path / "voice.wav")).open("rb") as file:
        path = anna.post("/gradio_api/upload", files={"files": file}).json()[0]
    hers = {"path": path, "meta": {"_type": "gradio.FileData"}}
    assert join(anna, "receive", [hers, None], "hers")
    assert end(anna, "hers")["success"]
    answers = [join(rusher, "refresh", [""], uuid.uuid4().hex) for _ in range(MAX_SESSIONS + 20)]
    refused = [each for each in answers if each.status_code != 200]
    assert {each.status_code for each in refused} == {429}
    assert "Each visitor may use 100 pages per hour" in refused[0].json()["detail"]
    join(anna, "again", [None], "hers")
    (run,) = end(anna, "hers")["output"]["data"]
    assert run["interactive"], "her recording is still chosen"


def test_a_race_sends_only_the_lanes_that_changed(client):
    visitor, session = client("203.0.113.40"), uuid.uuid4().hex
    join(visitor, "partial", [None], session)  # the first clip
    assert end(visitor, session)["success"]
    # "steady": each engine speaks for longer than two redraws, so most of them are of text
    settings = ["demo", "en", "transcribe", 1, 0.0, True, False, True, "steady", 1, False]
    join(visitor, "start", [None, "", 1, True, None, *settings], session)
    messages = []
    with visitor.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as lines:
        for line in lines.iter_lines():
            messages.append(json.loads(line.removeprefix("data:") or "{}"))
            if messages[-1].get("msg") == "process_completed":
                break
    lanes = [m["output"]["data"][1:4] for m in messages if m.get("msg") == "process_generating"]
    changed = [sum(bool(lane) for lane in three) for three in lanes[1:]]  # edits of the last text
    assert len(changed) > 6
    assert changed.count(1) > len(changed) / 2, "text comes in one lane"
