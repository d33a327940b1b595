"""The API without the page: its own server, with the same guards and limits."""

import http.client
import subprocess
import sys
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from maxwhisper.web.api.server import ApiParts, served_api
from maxwhisper.web.api.settings import ApiSettings
from maxwhisper.web.server.fair_use import FairUse, Limits
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.server.uploads import Uploads
from tests.fakes import engine_processes
from tests.fakes.page import write_wav

TEXT = " ".join(engine_processes.WORDS)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    with (
        pytest.MonkeyPatch.context() as patch,
        engine_processes.pools(patch) as make_pool,
    ):
        uploads = Uploads(tmp_path_factory.mktemp("uploads"))
        pool = make_pool(names=tuple(engine_processes.ENGINES))
        yield ApiParts(pool, uploads, VisitorQueue(FairUse(Limits())), ApiSettings())
        uploads.wipe()


@pytest.fixture(scope="module")
def address(parts):
    with served_api(parts, host="127.0.0.1", port=0) as address:
        yield address


def test_a_client_of_openai_gets_its_text(address, tmp_path):
    with openai.OpenAI(base_url=f"{address}v1", api_key="none", max_retries=0) as client:
        clip = write_wav(tmp_path / "clip.wav", 2.0)
        names = [model.id for model in client.models.list()]
        assert "faster-whisper/demo" in names
        for name in ("whisper-1", "faster-whisper/demo"):
            with clip.open("rb") as file:
                found = client.audio.transcriptions.create(file=file, model=name)
            assert found.text.strip() == TEXT


def test_it_has_no_page_and_says_how_it_is(address):
    assert httpx.get(f"{address}healthz").text == "ok"
    assert httpx.get(f"{address}readyz").text.count(": ready") == 3
    assert "maxwhisper_" in httpx.get(f"{address}metrics").text
    for path in ("", "config", "gradio_api/info", "static/x.js"):
        assert httpx.get(f"{address}{path}").status_code == 404, path


def test_it_has_the_guards_of_the_page(address):
    answer = httpx.get(f"{address}healthz")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "server" not in answer.headers
    port = urlsplit(address).port
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/v1/models", headers={"host": "evil.example"})
    assert connection.getresponse().status == 421
    connection.close()
    foreign = {"origin": "http://evil.example"}
    answer = httpx.post(f"{address}v1/audio/transcriptions", headers=foreign)
    assert answer.status_code == 403


def test_a_port_that_is_taken_is_an_error(parts, address):
    with (
        pytest.raises(OSError, match="in use"),
        served_api(parts, host="127.0.0.1", port=urlsplit(address).port),
    ):
        pass


def test_it_needs_no_gradio():
    code = (
        "import sys, maxwhisper.web.api.server as server; "
        "assert not {'gradio', 'plotly', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
