"""The real page and its real server, as a rule on fake engines, for tests over HTTP and in a
browser."""

import contextlib
import socket
import wave
from pathlib import Path

import numpy as np

from tests.fakes import engine_processes
from tests.fakes.runs import make_run, waveform

ROOT = Path(__file__).parents[2]
MACHINE = {
    "cpu": "Test CPU",
    "threads": 2,
    "gpus": [],
    "os": "test",
    "python": "3.11",
    "commit": None,
    "versions": {"max": "1.0", "torch": None},
}


def write_wav(path: Path, seconds: float = 1.0) -> Path:
    """A quiet 16 kHz tone."""
    samples = (2000 * np.sin(np.arange(int(16_000 * seconds)) * 0.2)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    return path


@contextlib.contextmanager
def served_page(
    monkeypatch, folder: Path, real_engines=(), connections=None, better="", api=None, **limits
):
    """Serve the page; yields (address, uploads, pool, runs) with every engine ready: fake ones, if
    none are named. Served from the same folder again, it still has its runs. `limits` hold for
    visitors from elsewhere, the limits of `connections` for every one. With `better`, the page gets
    that model by itself, from where `maxwhisper.checkpoint` finds it. `api` are the
    settings of the API."""
    (folder / "uploads").mkdir(exist_ok=True)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
    monkeypatch.syspath_prepend(ROOT)
    from app import GRADIO

    for name, value in GRADIO.items():  # its statistics have crashed in pyarrow, in a thread
        monkeypatch.setenv(name, value)
    from maxwhisper import checkpoint
    from maxwhisper.engines.pool import EnginePool
    from maxwhisper.web.api.settings import ApiSettings
    from maxwhisper.web.server.better_weights import BetterWeights
    from maxwhisper.web.server.connections import ConnectionLimits
    from maxwhisper.web.server.fair_use import FairUse, Limits
    from maxwhisper.web.server.live_desk import LiveDesk
    from maxwhisper.web.server.queue import VisitorQueue
    from maxwhisper.web.server.run_store import RunStore
    from maxwhisper.web.server.uploads import Uploads
    from maxwhisper.web.ui.examples import Example
    from maxwhisper.web.ui.page import PageParts, build_page, serve_page
    from maxwhisper.web.ui.race.result_view import chart_page

    find = checkpoint.find
    if not real_engines:
        engine_processes.install(monkeypatch)
    if better:
        monkeypatch.setattr(checkpoint, "find", find)
    clip = write_wav(folder / "clip.wav", 2.0)
    spoken = "the quick brown fox and its friends"
    examples = [
        Example(clip, "A short clip", "Seven words.", 2.0, spoken),
        Example(write_wav(folder / "tone.wav", 1.0), "A tone", "No speech.", 1.0, ""),
    ]
    uploads = Uploads(folder / "uploads")
    pool = EnginePool(real_engines or tuple(engine_processes.ENGINES), ("demo", "tiny"))
    came = folder / "came"
    if not came.exists():
        recorded = make_run(("a race that came", "with the page"), audio_name="A recorded clip")
        RunStore(came, keep_days=7, keep_runs=20).save(recorded, waveform())
    runs = RunStore(folder / "runs", 7, 20, chart_page, came, int(Limits(**limits).kept))
    queue = VisitorQueue(FairUse(Limits(**limits)))
    weights = BetterWeights(better, pool, queue)
    parts = PageParts(
        pool=pool,
        examples=examples,
        catalogue=engine_processes.CATALOGUE,
        uploads=uploads,
        machine=MACHINE,
        runs=runs,
        desk=LiveDesk(pool, queue.fair),
        queue=queue,
        weights=weights,
        connections=connections or ConnectionLimits(),
        api=api or ApiSettings(),
    )
    page = build_page(parts)
    address = serve_page(page, parts, host="127.0.0.1", port=_free_port())
    try:
        weights.verify()
        pool.start()
        weights.start()
        engine_processes.wait_until(
            lambda: all(s.phase == "ready" for s in pool.statuses().values()),
            timeout_s=300 if real_engines else 60,
        )
        yield address, uploads, pool, runs
    finally:
        weights.close()
        page.close(verbose=False)
        pool.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
