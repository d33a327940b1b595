"""A program asks for a whole comparison and gets JSON, behind the same guards as the page."""

import gc
import io
import json
import zipfile

import httpx
import pytest
from gradio.state_holder import StateHolder

from maxwhisper.options import GREEDY
from maxwhisper.web.server.run import Run
from maxwhisper.web.server.run_store import RunNotFound
from tests.fakes.audio_files import tone, wav
from tests.fakes.engine_processes import wait_until
from tests.fakes.page import served_page, write_wav
from tests.fakes.runs import make_run, waveform

CALL = "gradio_api/call/compare"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(patch, tmp_path_factory.mktemp("page")) as served,
    ):
        yield served


def upload(address, path):
    """Upload a file; returns it as an argument."""
    with path.open("rb") as file:
        uploaded = httpx.post(f"{address}gradio_api/upload", files={"files": file}).json()[0]
    return {"path": uploaded, "meta": {"_type": "gradio.FileData"}}


def post(address, data, headers=None, endpoint="compare"):
    """Ask for a comparison; returns the last event's name and its data."""
    call = f"gradio_api/call/{endpoint}"
    with httpx.Client(base_url=address, timeout=60, headers=headers) as client:
        asked = client.post(call, json={"data": data})
        if asked.status_code != 200:
            return asked.status_code, None
        answer = client.get(f"{call}/{asked.json()['event_id']}").text
    event, data = answer.strip().split("\n")[-2:]
    return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_a_program_gets_the_whole_comparison(page, tmp_path):
    address, uploads, _, runs = page
    clip = upload(address, write_wav(tmp_path / "voice.wav", 2.0))
    event, (answer,) = post(address, [clip, "", "en", "the quick brown fox", 2, True, {}])
    assert event == "complete"
    run = Run.from_dict(answer["run"])
    assert {result.engine for result in run.results} == set(answer["scores"])
    assert all(len(result.seconds) == 2 for result in run.results)
    errors = answer["scores"]["maxwhisper"]["word_errors"]
    assert errors["n_words"] == 4
    assert errors["insertions"] >= 2
    assert answer["verdict"]
    assert runs.load(answer["link"].removeprefix("?run=")) == run
    assert run.audio_name == "voice.wav"
    assert not list(uploads.root.rglob("voice.wav")), "deleted as soon as it was decoded"


def test_on_the_way_a_program_is_told_how_far_it_is(page, tmp_path):
    clip = upload(page[0], write_wav(tmp_path / "voice.wav", 2.0))
    with httpx.Client(base_url=page[0], timeout=60) as client:
        asked = client.post(CALL, json={"data": [clip, "", "en", "", 1, False, {}]}).json()
        lines = client.get(f"{CALL}/{asked['event_id']}").text.splitlines()
    answers = [json.loads(line.removeprefix("data: "))[0] for line in lines if line[:5] == "data:"]
    *told, last, same = answers
    assert last == same, "what it ends with is said once more"
    assert "verdict" in last
    assert all(set(one) == {"races_ahead", "engines"} for one in told)
    phases = [{lane["phase"] for lane in one["engines"].values()} for one in told]
    assert phases[0] == {"waiting"}
    assert {"done", "running", "waiting"} in phases


def test_gradio_keeps_nothing_of_a_call_that_is_over(page, tmp_path):
    holders = [each for each in gc.get_objects() if type(each) is StateHolder]
    before = [len(holder.session_data) for holder in holders]  # of the pages of other tests too
    for _ in range(3):
        clip = upload(page[0], write_wav(tmp_path / "voice.wav", 0.5))
        assert post(page[0], [clip, "", "en", "", 1, False, {}])[0] == "complete"

    def has_grown():
        return any(len(h.session_data) > n for h, n in zip(holders, before, strict=True))

    wait_until(lambda: not has_grown(), timeout_s=10)


def test_a_program_that_goes_away_stops_its_race(page, tmp_path):
    address, _, pool, _ = page
    clip = upload(address, write_wav(tmp_path / "voice.wav", 2.0))
    with httpx.Client(base_url=address, timeout=60) as client:
        slow = {"initial_prompt": "slow"}  # 14 s an engine
        asked = client.post(CALL, json={"data": [clip, "", "en", "", 1, False, slow]}).json()
        with client.stream("GET", f"{CALL}/{asked['event_id']}") as answer:
            next(line for line in answer.iter_lines() if '"running"' in line)
            assert pool.is_busy
    wait_until(lambda: not pool.is_busy, timeout_s=10)


OPTIONS = {
    "task": "translate",
    "beam_size": 5,
    "temperature": 0.0,
    "without_timestamps": True,
    "word_timestamps": True,
    "condition_on_previous_text": False,
    "initial_prompt": "refuse",
}


def test_every_engine_gets_the_options_and_one_may_refuse_them(page, tmp_path):
    clip = upload(page[0], write_wav(tmp_path / "voice.wav"))
    event, (answer,) = post(page[0], [clip, "", "de", "", 1, True, OPTIONS])
    assert event == "complete"
    asked = answer["run"]["options"]
    assert asked == GREEDY.changed({"language": "de", **OPTIONS}).to_dict()
    assert set(answer["run"]["refused"]) == {"openai-whisper", "faster-whisper", "maxwhisper"}
    for engine, reason in answer["run"]["refused"].items():
        assert reason == f"{engine}: does not support initial_prompt: leave it empty"


def test_batches_and_speech_detection_reach_the_engines(page, tmp_path):
    """The fake engines do not know these arguments, and say so in their logs."""
    clip = upload(page[0], write_wav(tmp_path / "voice.wav"))
    _, (answer,) = post(page[0], [clip, "", "en", "", 1, False, {"batch_size": 8, "vad": True}])
    assert (answer["run"]["batch_size"], answer["run"]["vad"]) == (8, True)
    assert set(answer["run"]["refused"]) == {"openai-whisper", "faster-whisper", "maxwhisper"}


def test_nothing_stays_of_a_race_that_is_not_to_be_kept(page, tmp_path):
    address, uploads, _, runs = page
    clip = upload(address, write_wav(tmp_path / "voice.wav", 2.0))
    event, (answer,) = post(address, [clip, "", "en", "", 1, False, {}])
    assert event == "complete"
    assert answer["run"]["results"]
    assert answer["link"] is None
    with pytest.raises(RunNotFound):
        runs.load(answer["run"]["id"])
    assert not list(uploads.root.rglob("voice.wav"))


PARAMETERS = {
    "/compare": {
        "recording": "filepath",
        "model": "str",
        "language": "str",
        "reference": "str",
        "rounds": "int",
        "keep": "bool",
        "options": "dict",
    },
    "/transcribe": {
        "recording": "filepath",
        "model": "str",
        "language": "str",
        "word_timestamps": "bool",
    },
    "/models": {},
}


def test_the_endpoints_describe_themselves_and_nothing_internal_is_listed(page):
    info = httpx.get(f"{page[0]}gradio_api/info").json()
    assert info["unnamed_endpoints"] == {}
    described = info["named_endpoints"]
    assert set(described) == set(PARAMETERS)
    for name, types in PARAMETERS.items():
        got = {p["parameter_name"]: p["python_type"]["type"] for p in described[name]["parameters"]}
        assert list(got) == list(types)
        assert all(kind in got[each] for each, kind in types.items()), got
        assert f'api_name="{name}")' in described[name]["description"], "an example"


def test_a_program_gets_a_transcript_alone(page, tmp_path):
    clip = upload(page[0], write_wav(tmp_path / "voice.wav", 2.0))
    event, (got,) = post(page[0], [clip, "", "en", True], endpoint="transcribe")
    assert event == "complete"
    assert got["text"].endswith("fox & its friends")
    assert (got["language"], got["audio_s"], len(got["segments"])) == ("en", 2.0, 7)
    assert not list(page[1].root.rglob("voice.wav"))


def test_a_transcript_of_what_is_no_upload_is_refused(page):
    assert post(page[0], [{"x": 1}, "", "en", True], endpoint="transcribe")[0] == "error"


def test_a_program_that_goes_away_stops_its_transcription(page, tmp_path, monkeypatch):
    address, _, pool, _ = page
    clip = upload(address, write_wav(tmp_path / "voice.wav", 2.0))
    call = "gradio_api/call/transcribe"
    with pool.device(lambda: False), httpx.Client(base_url=address, timeout=60) as client:
        asked = client.post(call, json={"data": [clip, "", "en", False]}).json()
        with client.stream("GET", f"{call}/{asked['event_id']}") as answer:
            next(line for line in answer.iter_lines() if "transcribing" in line)
            wait_until(lambda: pool.n_waiting == 1)
        wait_until(lambda: pool.n_waiting == 0, timeout_s=10)


def test_a_program_is_told_what_it_may_ask_for(page):
    event, (offer,) = post(page[0], [], endpoint="models")
    assert event == "complete"
    assert offer == {
        "models": ["demo", "tiny"],
        "engines": dict.fromkeys(("openai-whisper", "faster-whisper", "maxwhisper"), "ready"),
        "races_waiting": 0,
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["", "en", "", 6, True, {}], "rounds must be between 1 and 5, got 6"),
        (["huge", "en", "", 1, True, {}], "unknown model 'huge'"),
        (["", "en", "x" * 20_001, 1, True, {}], "has 20001 characters, at most 20000 are allowed"),
        (["", "en", "", True, True, {}], "rounds must be of type int, got True"),
        (["", "x" * 10_000, "", 1, True, {}], "unknown language 'xxx"),
        (["", "en", "", 1, True, {"temperature": None}], "temperature must be of type float"),
        (["", "en", "", 1, True, {"beam_size": True}], "must be of type int | None, got True"),
        (
            ["", "en", "", 1, True, {"initial_prompt": "<|endoftext|>"}],
            "initial_prompt must be ordinary text, got the special token",
        ),
        (["", "en", "", 1, "no", {}], "keep must be of type bool, got 'no'"),
        (
            ["", "en", "", 1, True, {"batch_size": 17}],
            "batch_size must be between 1 and 16, got 17",
        ),
        (["", "en", "", 1, True, {"vad": 1}], "vad must be of type bool, got 1"),
        (["", "en", "", 1, True, {"beam_size": 11}], "beam_size must be between 1 and 10, got 11"),
        (
            ["", "en", "", 1, True, {"beam_size": "5"}],
            "must be of type int | None, got '5'",
        ),
        (
            ["", "en", "", 1, True, {"temperature": 1.5}],
            "must be between 0 and 1, got 1.5",
        ),
        (
            ["", "en", "", 1, True, {"temperature": [0, 1]}],
            "must be of type float, got [0, 1]",
        ),
        (["", "en", "", 1, True, {"task": "sing"}], "task must be 'transcribe' or 'translate'"),
        (["", "en", "", 1, True, {"best_of": 2}], "a race has no option 'best_of', only task, "),
        (["", "en", "", 1, True, ["task"]], "options must be an object"),
    ],
)
def test_impossible_settings_are_refused_in_words(page, tmp_path, settings, message):
    clip = upload(page[0], write_wav(tmp_path / "voice.wav"))
    event, data = post(page[0], [clip, *settings])
    assert event == "error"
    assert message in str(data)
    assert len(str(data)) < 700
    assert not list(page[1].root.rglob("voice.wav")), "deleted with its refusal"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"%PDF-1.7", "This is a PDF document, not audio. Choose an audio file"),
        (bytes(range(256)), "This file contains no readable audio. Choose an audio file"),
        (b"", "This file is empty"),
        (wav(tone(16_000, 1.0))[:9_000], "This file is truncated: it states 32000 bytes"),
    ],
)
def test_what_is_no_recording_is_refused_in_words(page, tmp_path, content, message):
    file = tmp_path / "voice.wav"
    file.write_bytes(content)
    event, data = post(page[0], [upload(page[0], file), "", "en", "", 1, True, {}])
    assert event == "error"
    assert message in str(data)


@pytest.mark.parametrize(
    "data",
    [
        [None, "", "en", "", 1, True, {}],
        [{}, "", "en", "", 1, True, {}],
        [{"x": 1}, 3, None, "", "two", 1, 0],
    ],
)
def test_nonsense_is_refused_in_words_and_logs_nothing(page, data, caplog):
    assert post(page[0], data)[0] == "error"
    assert "internal error" not in caplog.text


@pytest.mark.parametrize("path", ["/etc/hostname", "http://127.0.0.1:9/x.wav"])
def test_no_file_but_an_upload_is_compared(page, path):
    recording = {"path": path, "meta": {"_type": "gradio.FileData"}}
    assert post(page[0], [recording, "", "en", "", 1, True, {}])[0] == 403


def test_the_zip_is_served_and_an_unknown_one_is_not(page):
    address, _, _, runs = page
    run = make_run()
    runs.save(run, waveform())
    answer = httpx.get(f"{address}runs/{run.id}/run.zip", timeout=60)
    assert answer.headers["content-disposition"].endswith(f'filename="maxwhisper-{run.id}.zip"')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert b'class="speeds"' in archive.read("chart.html")
    missing = httpx.get(f"{address}runs/{'x' * 16}/run.zip")
    assert missing.status_code == 404
    assert "no longer available" in missing.text
