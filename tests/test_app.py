"""`python app.py`: it answers before its engines are ready, and cleans up when it stops."""

import argparse
import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.fakes.engine_processes import wait_until

ROOT = Path(__file__).parents[1]
# The real composition root, with engines that sleep instead of computing.
START = """
import sys
sys.path[:0] = ["tests", "."]
import pytest; from tests.fakes import engine_processes
engine_processes.install(pytest.MonkeyPatch())
import app
assert "gradio" not in sys.modules, "every engine's process would import it too"
sys.argv[1:] = ["--port", *sys.argv[1:]]
if "--no-page" in sys.argv:  # as if none of the page's packages were installed
    of_the_page = "gradio gradio_client jinja2 markupsafe PIL plotly segno librosa jiwer"
    sys.modules.update(dict.fromkeys(of_the_page.split()))
app.main()
"""


@pytest.fixture
def app(request, tmp_path, unused_port):
    """The process; the parameter has more flags."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "GRADIO_SSR_MODE": "True"}
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(unused_port), *getattr(request, "param", ())],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("memory_gib", "largest"), [(None, "demo"), (2, "base"), (16, "small"), (64, "large-v3-turbo")]
)
def test_models_on_offer_fit_in_memory(memory_gib, largest, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from app import models_on_offer

    names = models_on_offer(memory_gib)
    assert names[0] == "demo"
    assert names[-1] == largest
    assert not {"large", "turbo"} & set(names), "aliases of models in the list"


@pytest.mark.parametrize(
    ("chosen", "variable", "on_offer", "better"),
    [
        (None, "", ["demo", "tiny.en", "tiny"], "tiny"),
        (None, "tiny.en", ["demo", "tiny.en", "tiny"], "tiny.en"),
        (None, "user/fine-tune", ["demo", "tiny.en", "tiny", "user/fine-tune"], "user/fine-tune"),
        (None, "demo", ["demo", "tiny.en", "tiny"], ""),
        (["small"], "tiny", ["small"], ""),
    ],
)
def test_the_page_gets_the_model_that_fits_or_that_is_named(
    chosen, variable, on_offer, better, monkeypatch
):
    monkeypatch.syspath_prepend(ROOT)
    import app

    monkeypatch.setenv("MAXWHISPER_MODEL", variable)
    monkeypatch.setattr(app, "models_on_offer", lambda memory_gib: ["demo", "tiny.en", "tiny"])
    for name in ("MAXWHISPER_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    machine = {"memory_gib": 8, "gpus": [], "cores": 2, "threads": 2}
    arguments = argparse.Namespace(model=chosen, device="auto")
    assert app.models_of(arguments, machine) == (on_offer, better)


def test_offline_only_models_on_disk_are_offered(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT)
    import app

    for name in ("MAXWHISPER_CACHE", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("MAXWHISPER_MODEL", raising=False)
    monkeypatch.setenv("MAXWHISPER_OFFLINE", "1")
    machine = {"memory_gib": 8, "gpus": [], "cores": 2, "threads": 2}
    models, better = app.models_of(argparse.Namespace(model=None, device="auto"), machine)
    assert models == ["demo", "tiny"], "and the one that is wanted, for when somebody brings it"
    assert better == "tiny"


def test_offline_no_file_is_read_to_offer_it(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT)
    import app
    from maxwhisper.checkpoint import places

    for name in ("MAXWHISPER_CACHE", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("MAXWHISPER_MODEL", raising=False)
    monkeypatch.setenv("MAXWHISPER_OFFLINE", "1")
    monkeypatch.setattr(places, "_seen_intact", lambda *_: pytest.fail("it was read"))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "base.pt").write_bytes(b"gigabytes")
    machine = {"memory_gib": 8, "gpus": [], "cores": 8, "threads": 8}
    models, better = app.models_of(argparse.Namespace(model=None, device="auto"), machine)
    assert (models, better) == (["demo", "base"], "base")


@pytest.mark.parametrize(
    ("peer", "forwarded", "visitor"),
    [
        ("10.16.3.80", "127.0.0.1, 198.51.100.4, 10.1.2.3", "198.51.100.4"),
        ("10.16.3.80", "2001:db8::1", "2001:db8::1"),
        ("203.0.113.9", "198.51.100.4", "203.0.113.9"),
    ],
)
def test_on_a_space_visitors_cannot_forge_their_address(peer, forwarded, visitor, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    from app import SPACE_PROXIES

    seen = []

    async def page(scope, receive, send):
        seen.append(scope["client"][0])

    headers = [(b"x-forwarded-for", forwarded.encode())]
    scope = {"type": "http", "scheme": "http", "client": (peer, 1), "headers": headers}
    with ThreadPoolExecutor() as pool:  # the browser tests leave a loop running in this thread
        call = ProxyHeadersMiddleware(page, SPACE_PROXIES)(scope, None, None)
        pool.submit(asyncio.run, call).result()
    assert seen == [visitor]


def test_gradio_computes_no_statistics_during_a_race(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    import gradio as gr

    from app import GRADIO

    for name, value in GRADIO.items():
        monkeypatch.setenv(name, value)
    queue = gr.Blocks().queue()._queue
    queue.events_recorded = 10_000
    queue.compute_analytics_summary([{"function": "refresh", "status": 1, "process_time": 0.1}])
    assert queue.event_count_at_last_cache == 0, "it computed statistics"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GRADIO_SERVER_PORT", "http", "argument --port: invalid int value: 'http'"),
        ("MAXWHISPER_MAX_MINUTES", "many", "expected MAXWHISPER_MAX_MINUTES as a number from 0 on"),
    ],
)
def test_an_invalid_setting_ends_with_one_line(variable, value, message):
    ended = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**os.environ, variable: value},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode != 0


def children(pid):
    task = Path(f"/proc/{pid}/task")
    return [c for t in task.iterdir() for c in (t / "children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts processes in /proc")
@pytest.mark.parametrize(
    ("app", "page"), [((), "maxwhisper"), (("--no-page",), "Not Found")], indirect=["app"]
)
def test_app_starts_answers_and_stops_cleanly(app, page, tmp_path):
    line = app.stdout.readline()
    address = re.search(r"http://\S+", line)[0]
    assert httpx.get(f"{address}healthz").text == "ok"
    assert page in httpx.get(address).text
    assert httpx.get(f"{address}v1/models").json()["data"]
    folder = tmp_path / f"maxwhisper-uploads-{app.pid}"
    assert folder.is_dir()
    engines = children(app.pid)
    app.send_signal(signal.SIGTERM)
    assert app.wait(timeout=30) == 0
    assert not folder.exists()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in engines), timeout_s=5)
