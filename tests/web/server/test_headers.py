"""Headers of every answer, refusals and static files among them."""

import asyncio
import re

import httpx
import pytest

from maxwhisper.web.server.headers import SPACE_FRAMES, SecurityHeaders, page_policy
from tests.fakes.page import served_page, write_wav


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    voice = write_wav(folder / "voice.wav").read_bytes()
    with (
        pytest.MonkeyPatch.context() as patch,
        served_page(patch, folder) as (address, *_),
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        (path,) = client.post("/gradio_api/upload", files={"files": ("voice.wav", voice)}).json()
        yield client, path


def static_file(client):
    return re.search(r'src="\./(assets/[^"]+)"', client.get("/").text)[1]


ASKED = [
    ("GET", "/", 200, {}),
    ("HEAD", "/", 200, {}),
    ("GET", "/config", 200, {}),
    ("GET", "/theme.css", 200, {}),
    ("GET", "STATIC", 200, {}),
    ("GET", "STATIC", 200, {"accept-encoding": "br"}),
    ("GET", "STATIC", 206, {"range": "bytes=0-9"}),
    ("GET", "/gradio_api/file=FILE", 200, {}),
    ("GET", "/healthz", 200, {}),
    ("GET", "/readyz", 200, {}),
    ("GET", "/runs/0123456789abcdef/run.zip", 404, {}),
    ("POST", "/gradio_api/run/predict", 404, {}),
    ("POST", "/gradio_api/queue/join", 400, {}),
    ("GET", "/gradio_api/file=/etc/hostname", 403, {}),
    ("GET", "/static/absent.js", 404, {}),
    ("GET", "/", 421, {"host": "evil.example"}),
    ("POST", "/gradio_api/upload", 403, {"origin": "null"}),
    ("OPTIONS", "/gradio_api/upload", 403, {"origin": "https://evil.example"}),
]


@pytest.mark.parametrize(("method", "path", "status", "headers"), ASKED)
def test_every_answer_has_the_headers(page, method, path, status, headers):
    client, stored = page
    path = static_file(client) if path == "STATIC" else path.replace("FILE", stored)
    answer = client.request(method, path, headers=headers)
    assert answer.status_code == status
    got = answer.headers
    assert got.get_list("x-content-type-options") == ["nosniff"]
    assert got.get_list("referrer-policy") == ["same-origin"]
    assert "microphone=(self)" in got["permissions-policy"]
    assert "camera=()" in got["permissions-policy"]
    (policy,) = got.get_list("content-security-policy")
    assert "frame-ancestors '" in policy
    assert "unsafe-inline" not in re.sub("style-src [^;]+", "", policy)
    assert "server" not in got
    assert not [name for name in got if name.startswith("access-control-")]


def test_no_application_lets_another_site_read():
    """Whatever it sends: gradio allows every site in some answers."""
    sent = []

    async def app(scope, receive, send):
        allowed = [(b"Access-Control-Allow-Origin", b"*"), (b"x-kept", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": allowed})

    async def keep(message):
        sent.extend(message["headers"])

    secured = SecurityHeaders(app, page_policy())
    asyncio.run(secured({"type": "http", "path": "/"}, None, keep))
    names = [name.lower() for name, _ in sent]
    assert b"x-kept" in names
    assert not [name for name in names if name.startswith(b"access-control-")]


def test_a_visitors_file_may_only_play(page):
    client, stored = page
    policy = client.get(f"/gradio_api/file={stored}").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy


def test_each_inline_script_of_the_page_is_named_by_its_hash(page):
    answer = page[0].get("/")
    policy = answer.headers["content-security-policy"]
    n_inline = len(re.findall(r"<script(?![^>]*src=)", answer.text))
    assert n_inline > 2
    assert policy.count("'sha256-") == n_inline


def test_the_first_styles_are_in_the_document(page):
    for encoding in ("gzip", "identity"):
        answer = page[0].get("/", headers={"accept-encoding": encoding})
        head = answer.text.partition("</head>")[0]
        assert "max-width: 1320px" in head
        assert answer.text.rstrip().endswith("</html>"), "the length fits what was added"


def test_a_space_may_be_framed_by_its_site_and_a_page_by_nobody():
    assert page_policy().endswith("frame-ancestors 'self'")
    framed = page_policy(SPACE_FRAMES)
    assert framed.endswith("frame-ancestors 'self' https://huggingface.co https://*.hf.space")
