"""The API on the page's server, with the real `openai` client, with curl and with raw HTTP."""

import asyncio
import http.client
import json
import re
import shutil
import subprocess
import threading
import time

import httpx
import openai
import pytest

from maxwhisper.web.api.settings import ApiSettings
from maxwhisper.web.server.uploads import MAX_FILE_MB
from tests.fakes.engine_processes import ENGINES, WORDS, wait_until
from tests.fakes.page import served_page, write_wav

TEXT = " ".join(WORDS)
ELSEWHERE = {"x-forwarded-for": "198.51.100.7"}
KEY = "sk-of-a-friend"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(patch, folder) as (address, uploads, pool, _),
    ):
        yield address, uploads, pool


@pytest.fixture(scope="module")
def address(page):
    return page[0]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_wav(tmp_path_factory.mktemp("clips") / "my voice.wav", 2.0)


@pytest.fixture(scope="module")
def client(address):
    with openai.OpenAI(base_url=f"{address}v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_stays(page):
    yield
    wait_until(lambda: not [path for path in page[1].root.rglob("*") if path.is_file()])


def post(address, clip, *, path="transcriptions", headers=None, file=True, **fields):
    """A form over raw HTTP."""
    with clip.open("rb") as recording:
        return httpx.post(
            f"{address}v1/audio/{path}",
            data=fields,
            files={"file": ("voice.wav", recording)} if file else {"x": (None, "")},
            headers=headers,
            timeout=60,
        )


def error_of(answer):
    """The error in OpenAI's shape, whose status fits."""
    [(name, error)] = answer.json().items()
    assert name == "error"
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_every_engine_with_every_model_is_listed(client):
    names = [model.id for model in client.models.list()]
    assert names[:3] == ["whisper-1", "maxwhisper/demo", "maxwhisper/tiny"], "ours first"
    assert set(names[1:]) == {f"{e}/{model}" for e in ENGINES for model in ("demo", "tiny")}
    model = client.models.retrieve("faster-whisper/tiny")
    assert (model.id, model.owned_by, model.object) == (names[-1], "faster-whisper", "model")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_transcribes(client, clip, engine):
    assert client.audio.transcriptions.create(file=clip, model=f"{engine}/demo").text == TEXT


def test_json_and_text(client, clip):
    answer = client.audio.transcriptions.create(file=clip, model="whisper-1")
    assert (answer.text, answer.usage.type, answer.usage.seconds) == (TEXT, "duration", 2.0)
    answer = client.audio.transcriptions.create(
        file=clip, model="whisper-1", response_format="text"
    )
    assert answer == f"{TEXT}\n"


def test_subtitles(client, clip):
    create = client.audio.transcriptions.create
    srt = create(file=clip, model="whisper-1", response_format="srt")
    cues = re.findall(r"(\d+)\n(\d\d:\d\d:\d\d,\d{3}) --> (\d\d:\d\d:\d\d,\d{3})\n(.+)\n\n", srt)
    assert [cue[3] for cue in cues] == WORDS
    assert cues[1][:3] == ("2", "00:00:00,500", "00:00:01,000")
    vtt = create(file=clip, model="whisper-1", response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n00:00.000 --> 00:00.500\nthe\n\n")


def test_verbose_json_fits_the_clients_schema(client, clip):
    answer = client.audio.transcriptions.create(
        file=clip, model="whisper-1", response_format="verbose_json", language="english"
    )
    type(answer).model_validate(answer.to_dict(), strict=True)
    assert (answer.text, answer.language, answer.duration) == (TEXT, "english", 2.0)
    assert [segment.text for segment in answer.segments] == [f" {word}" for word in WORDS]
    assert answer.words is None
    answer = client.audio.transcriptions.create(
        file=clip,
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert answer.segments is None
    assert answer.words is not None


def test_translations(client, clip):
    assert client.audio.translations.create(file=clip, model="whisper-1").text == TEXT
    verbose = client.audio.translations.create(
        file=clip, model="whisper-1", response_format="verbose_json"
    )
    assert verbose.to_dict()["task"] == "translate"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stream_tells_each_segment_and_then_the_text(client, clip, engine):
    stream = client.audio.transcriptions.create(file=clip, model=f"{engine}/demo", stream=True)
    *deltas, done = stream
    assert [event.type for event in deltas] == ["transcript.text.delta"] * len(WORDS)
    assert "".join(event.delta for event in deltas) == done.text == TEXT
    assert done.type == "transcript.text.done"


def test_the_asynchronous_client(address, clip):
    async def both():
        async with openai.AsyncOpenAI(base_url=f"{address}v1", api_key="none") as client:
            create = client.audio.transcriptions.create
            plain = await create(file=clip, model="whisper-1")
            stream = await create(file=clip, model="whisper-1", stream=True)
            return plain.text, [event async for event in stream]

    answers = []  # in a thread: the browser tests leave a loop running in this one
    thread = threading.Thread(target=lambda: answers.append(asyncio.run(both())))
    thread.start()
    thread.join(120)
    [(text, events)] = answers
    assert text == events[-1].text == TEXT


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(address, clip):
    command = ["curl", "-sS", "--max-time", "60", f"{address}v1/audio/transcriptions"]
    fields = ["-F", f"file=@{clip}", "-F", "model=whisper-1", "-F", "response_format=text"]
    answer = subprocess.run(command + fields, capture_output=True, text=True, check=True)
    assert answer.stdout == f"{TEXT}\n"


@pytest.mark.parametrize(
    ("fields", "status", "param", "words"),
    [
        ({}, 400, "model", "model is missing"),
        ({"model": "whisper-9"}, 404, "model", "There is no model 'whisper-9'"),
        ({"model": "whisper-1", "language": "Klingon"}, 400, "language", "unknown language"),
        ({"model": "whisper-1", "temperature": "1.5"}, 400, "temperature", "between 0 and 1"),
        ({"model": "whisper-1", "temperature": "nan"}, 400, "temperature", "between 0 and 1"),
        ({"model": "whisper-1", "temperature": "warm"}, 400, "temperature", "must be a number"),
        ({"model": "whisper-1", "prompt": "<|endoftext|>"}, 400, "prompt", "special token"),
        ({"model": "whisper-1", "response_format": "xml"}, 400, "response_format", "one of json"),
        ({"model": "whisper-1", "langage": "en"}, 400, "langage", "did you mean language?"),
        ({"model": ["whisper-1", "demo"]}, 400, "model", "one field model, got 2"),
        ({"model": "whisper-1", "stream": "maybe"}, 400, "stream", "one of true, false"),
        (
            {"model": "whisper-1", "stream": "true", "response_format": "srt"},
            400,
            "response_format",
            "stream has response_format json or text",
        ),
        (
            {"model": "whisper-1", "timestamp_granularities[]": "word"},
            400,
            "timestamp_granularities[]",
            "needs response_format verbose_json",
        ),
        (
            {
                "model": "whisper-1",
                "timestamp_granularities[]": "letter",
                "response_format": "verbose_json",
            },
            400,
            "timestamp_granularities[]",
            "one of segment, word",
        ),
    ],
)
def test_a_wrong_field_is_named(address, clip, fields, status, param, words):
    answer = post(address, clip, **fields)
    error = error_of(answer)
    assert (answer.status_code, error["param"]) == (status, param)
    assert error["type"] == "invalid_request_error"
    assert words in error["message"]


def test_a_translation_has_no_language_and_no_stream(address, clip):
    for field, value in (("language", "de"), ("stream", "true")):
        answer = post(address, clip, path="translations", model="whisper-1", **{field: value})
        assert (answer.status_code, error_of(answer)["param"]) == (400, field)


def test_what_is_no_recording_is_refused(address, clip, tmp_path):
    answer = post(address, clip, file=False, model="whisper-1")
    assert answer.status_code == 400  # the form has an unknown field and no file
    answer = httpx.post(f"{address}v1/audio/transcriptions", json={"model": "whisper-1"})
    assert (answer.status_code, "multipart" in error_of(answer)["message"]) == (400, True)
    answer = httpx.post(f"{address}v1/audio/transcriptions", data={"model": "whisper-1"})
    assert answer.status_code == 400
    text = tmp_path / "notes.wav"
    text.write_text("this is not audio at all, only words")
    answer = post(address, text, model="whisper-1")
    assert (answer.status_code, error_of(answer)["param"]) == (400, "file")
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    answer = post(address, empty, model="whisper-1")
    assert (answer.status_code, error_of(answer)["param"]) == (400, "file")


def test_a_form_without_a_file(address):
    form = {"model": (None, "whisper-1")}
    answer = httpx.post(f"{address}v1/audio/transcriptions", files=form)
    error = error_of(answer)
    assert (answer.status_code, error["param"], error["code"]) == (400, "file", "missing")


@pytest.mark.parametrize("extra_bytes", [1, 2 * 1024 * 1024])
def test_a_file_that_is_too_large_is_413(address, tmp_path, extra_bytes):
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(MAX_FILE_MB * 1024 * 1024 + extra_bytes)
    answer = post(address, large, model="whisper-1")
    assert (answer.status_code, error_of(answer)["code"]) == (413, "too_large")


def test_a_body_longer_than_it_says_is_413(address):
    def body():
        yield b"--x\r\nContent-Disposition: form-data; name=file; filename=a.wav\r\n\r\n"
        for _ in range(27):
            yield bytes(1024 * 1024)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = httpx.post(f"{address}v1/audio/transcriptions", content=body(), headers=headers)
    assert answer.status_code == 413
    assert error_of(answer)["message"].startswith("too large")


def test_an_unknown_route_has_openais_shape(address):
    assert error_of(httpx.get(f"{address}v1/chat/completions"))["message"] == "not found"
    answer = httpx.get(f"{address}v1/models/maxwhisper/huge")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "model_not_found")


def test_an_internal_error_says_nothing_of_itself(address, clip):
    answer = post(address, clip, model="whisper-1", prompt="bug")
    assert answer.status_code == 503  # the fake engine's own error, in the engine's words
    assert "/secret/path" not in answer.text
    answer = post(address, clip, model="whisper-1", prompt="refuse")
    assert answer.status_code == 400
    assert "initial_prompt" in error_of(answer)["message"]


def test_an_error_in_a_stream_reaches_the_client(client, clip):
    with pytest.raises(openai.APIError, match="does not support"):
        list(
            client.audio.transcriptions.create(
                file=clip, model="whisper-1", prompt="refuse", stream=True
            )
        )


@pytest.mark.parametrize("is_stream", ["false", "true"])
def test_a_client_that_leaves_stops_its_work(page, clip, is_stream):
    address, _, pool = page
    request = httpx.Request(
        "POST",
        f"{address}v1/audio/transcriptions",
        data={"model": "maxwhisper/demo", "prompt": "endless", "stream": is_stream},
        files={"file": clip.read_bytes()},
    )
    connection = http.client.HTTPConnection(request.url.host, request.url.port)
    connection.request("POST", request.url.path, request.read(), dict(request.headers))
    wait_until(lambda: pool.is_busy)
    time.sleep(1)
    assert pool.is_busy, "it has ended by itself"
    connection.close()
    wait_until(lambda: not pool.is_busy, timeout_s=20)


def test_two_callers_at_once_get_their_own_texts(address, tmp_path):
    texts = {}

    def call(seconds):
        clip = write_wav(tmp_path / f"{seconds}.wav", seconds)
        texts[seconds] = post(
            address, clip, model="whisper-1", response_format="verbose_json"
        ).json()["duration"]

    threads = [threading.Thread(target=call, args=(seconds,)) for seconds in (1.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert texts == {1.0: 1.0, 3.0: 3.0}


def test_metrics_tell_what_was_done(address, client, clip):
    client.audio.transcriptions.create(file=clip, model="faster-whisper/demo")
    text = httpx.get(f"{address}metrics").text
    numbers = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    requests = 'maxwhisper_requests_total{path="/v1/audio/transcriptions",status="200"}'
    assert float(numbers[requests]) >= 1
    assert float(numbers['maxwhisper_audio_seconds_total{engine="faster-whisper"}']) >= 2
    assert float(numbers["maxwhisper_wait_seconds_count"]) >= 1
    assert float(numbers['maxwhisper_rtfx_count{engine="faster-whisper"}']) >= 1
    assert numbers["maxwhisper_queue_length"] == "0.0"
    assert numbers['maxwhisper_engine_ready{engine="maxwhisper"}'] == "1.0"
    assert float(numbers['maxwhisper_memory_bytes{process="maxwhisper"}']) > 10e6
    before = float(numbers.get('maxwhisper_errors_total{code="model_not_found"}', 0))
    post(address, clip, model="nothing")
    text = httpx.get(f"{address}metrics").text
    assert f'maxwhisper_errors_total{{code="model_not_found"}} {before + 1}' in text


def test_metrics_are_for_this_machine(address):
    assert httpx.get(f"{address}metrics", headers=ELSEWHERE).status_code == 403


def test_the_log_has_no_text_and_no_name(client, clip, caplog):
    with caplog.at_level("INFO", logger="maxwhisper.web.api.routes"):
        client.audio.transcriptions.create(file=clip, model="whisper-1", prompt="my own words")
    [record] = [r for r in caplog.records if r.name == "maxwhisper.web.api.routes"]
    line = json.loads(record.getMessage())
    assert set(line) == {
        *("path", "engine", "model", "status", "audio_s", "seconds", "wait_s", "together")
    }
    assert (line["path"], line["status"], line["audio_s"]) == (
        "/v1/audio/transcriptions",
        200,
        2.0,
    )
    for secret in (WORDS[3], clip.name, "my own words"):
        assert secret not in record.getMessage()


def test_strangers_have_a_share_and_are_told_when_to_come_back(tmp_path, clip):
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(
            patch,
            tmp_path,
            uploads=2,
            api=ApiSettings(keys=("other", KEY), metrics="everyone"),
        ) as (address, *_),
    ):
        for given in ("", f"Bearer {KEY}x", "Bearer", f"Basic {KEY}", "Bearer other,", "Bearer é"):
            headers = {"authorization": given.encode()} if given else {}
            for answer in (
                httpx.get(f"{address}v1/models", headers=headers),
                httpx.get(f"{address}v1/models/whisper-1", headers=headers),
                post(address, clip, model="whisper-1", headers=headers),
            ):
                assert answer.status_code == 401, given
                assert error_of(answer)["code"] == "invalid_api_key"
                assert answer.headers["www-authenticate"] == "Bearer"
        mine = {"authorization": f"Bearer {KEY}", **ELSEWHERE}
        assert httpx.get(f"{address}v1/models", headers=mine).status_code == 200
        for _ in range(2):
            assert post(address, clip, model="whisper-1", headers=mine).json()["text"] == TEXT
        answer = post(address, clip, model="whisper-1", headers=mine)
        assert answer.status_code == 429
        assert "2 recordings per hour" in error_of(answer)["message"]
        assert 3000 < int(answer.headers["retry-after"]) <= 3600
        assert httpx.get(f"{address}metrics", headers=ELSEWHERE).status_code == 200
