"""Numbers for Prometheus: requests, errors, waits, audio, speed, queue and memory.

In: what the routes report, a pool and a queue. Out: `GET /metrics` in Prometheus' text format. It
has no text, file name, key or address of anybody.
"""

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from maxwhisper.engines.pool import EnginePool
from maxwhisper.web.server.asgi import API, App, Message, Receive, Scope, Send
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.server.transcriber import Transcribed

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_ROUTES = ("/v1/audio/transcriptions", "/v1/audio/translations", "/v1/models")
_WAITS_S = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
_RTFX = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


class Metrics:
    """The numbers of one server, since its start."""

    def __init__(self, pool: EnginePool, queue: VisitorQueue) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "maxwhisper_requests", "Answers of the API", ["path", "status"], registry=self._registry
        )
        self._errors = Counter(
            "maxwhisper_errors", "Errors of the API by kind", ["code"], registry=self._registry
        )
        self._audio_s = Counter(
            "maxwhisper_audio_seconds", "Audio transcribed", ["engine"], registry=self._registry
        )
        self._wait_s = Histogram(
            "maxwhisper_wait_seconds",
            "Wait in the queue",
            buckets=_WAITS_S,
            registry=self._registry,
        )
        self._rtfx = Histogram(
            "maxwhisper_rtfx",
            "Seconds of audio per second of work; recordings decoded together have that of all",
            ["engine"],
            buckets=_RTFX,
            registry=self._registry,
        )
        self._registry.register(_Machine(pool, queue))

    def answered(self, path: str, status: int) -> None:
        """Count an answer."""
        route = next((r for r in _ROUTES if path == r or path.startswith(f"{r}/")), "other")
        self._requests.labels(route, str(status)).inc()

    def failed(self, code: str) -> None:
        """Count an error."""
        self._errors.labels(code).inc()

    def transcribed(self, engine: str, done: Transcribed) -> None:
        """Count a transcript."""
        audio_s = done.timed.transcript.duration
        self._audio_s.labels(engine).inc(audio_s)
        self._wait_s.observe(done.wait_s)
        if done.timed.seconds > 0:
            self._rtfx.labels(engine).observe(done.n_together * audio_s / done.timed.seconds)

    def text(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self._registry)


class Counted:
    """ASGI middleware around everything that may refuse: counts the answers of the API."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.answered(scope["path"], message["status"])
            await send(message)

        await self._app(scope, receive, counted)


class _Machine(Collector):
    """What is true now: the queue, the engines, and the memory of each process."""

    def __init__(self, pool: EnginePool, queue: VisitorQueue) -> None:
        self._pool, self._queue = pool, queue

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "maxwhisper_queue_length", "Visitors who wait", self._queue.n_waiting
        )
        ready = GaugeMetricFamily("maxwhisper_engine_ready", "1 if it is ready", labels=["engine"])
        for name, status in self._pool.statuses().items():
            ready.add_metric([name], float(status.phase == "ready"))
        yield ready
        memory = GaugeMetricFamily("maxwhisper_memory_bytes", "Resident memory", labels=["process"])
        memory.add_metric(["server"], _resident_bytes(os.getpid()))
        for child in multiprocessing.active_children():
            if child.pid is not None:
                memory.add_metric([child.name], _resident_bytes(child.pid))
        yield memory


def _resident_bytes(pid: int) -> float:
    """Resident memory of a process; NaN where the system does not tell."""
    try:
        n_pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return float("nan")
    return float(n_pages * os.sysconf("SC_PAGE_SIZE"))
