"""The header: what this page is, the device and why it was chosen, and the state of every engine.

Input: the pool and the queue, polled every few seconds; the machine's description. Output: HTML.
"""

import time
from collections.abc import Mapping
from typing import Any

import gradio as gr

from maxwhisper.engine import OURS
from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.status import Status
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.qr_code import address_of, share_html
from maxwhisper.web.ui.templates import render
from maxwhisper.web.ui.weights import ShownWeights
from maxwhisper.web.ui.wording import status_note, status_word

REFRESH_S = 3.0
_PITCH = "Same weights, same audio, same settings: race three Whisper engines and compare the text."
_TOOLS = (  # action in page.js, text, label for screen readers
    ("tour", "Tour", "Guided tour, 90 seconds"),
    ("stage", "Stage", "Stage mode: large type, full screen"),
    ("share", "QR", "Address of this page as a QR code"),
    ("keys", "?", "Keyboard shortcuts"),
)
_VERSIONS = (("MAX", "max"), ("PyTorch", "torch"), ("CTranslate2", "ctranslate2"))


def header(
    page: gr.Blocks,
    pool: EnginePool,
    queue: VisitorQueue,
    machine: Mapping[str, Any],
    weights: ShownWeights,
) -> None:
    """Build the header inside `page`, the current `gr.Blocks`, and keep it up to date."""
    gr.HTML(render("masthead.html", tools=_TOOLS, pitch=_PITCH))

    def now() -> str:
        return strip_html(pool.statuses(), machine, queue.n_waiting)

    def refresh(*shown: str) -> list[Any]:
        fresh = [now(), *weights.now()]
        return [gr.skip() if a == b else a for a, b in zip(fresh, shown, strict=True)]

    def share(request: gr.Request) -> str:
        return share_html(address_of(request.headers))

    strip = gr.HTML(now, elem_id="strip")  # a function: every visitor starts with fresh values
    # Unlimited concurrency: ticks of many visitors would wait for each other.
    shown = [strip, *weights.build()]
    gr.Timer(REFRESH_S).tick(refresh, shown, shown, concurrency_limit=None, **QUIET)
    page.load(share, None, [gr.HTML("")], **QUIET)


def strip_html(statuses: Mapping[str, Status], machine: Mapping[str, Any], n_waiting: int) -> str:
    """Device and versions, the length of the queue, and one chip per engine."""
    waiting = f"{n_waiting} waiting" if n_waiting else "queue empty"
    facts = (_device(statuses, machine), f"{_software(machine)} · {waiting}")
    chips = [
        {
            "engine": name,
            "phase": status.phase,
            "state": status_word(status),
            "detail": _detail(status),
        }
        for name, status in statuses.items()
    ]
    return render("strip.html", facts=facts, chips=chips)


def _device(statuses: Mapping[str, Status], machine: Mapping[str, Any]) -> str:
    gpus = ", ".join(f"{g['name']} (driver {g['driver_version']})" for g in machine["gpus"])
    threads = machine["threads"]
    hardware = gpus or f"{machine['cpu'] or 'CPU'}, {threads} thread{'s' if threads != 1 else ''}"
    info = statuses.get(OURS, Status("starting")).info
    if info is None:
        return hardware
    device = f"{info.device.upper()} ({info.device_reason})"
    place = f" ({info.weights})" if info.weights else ""
    return f"{hardware} · {info.model} model{place} · {device} · {info.dtype}"


def _software(machine: Mapping[str, Any]) -> str:
    versions = machine["versions"]
    parts = [f"{name} {versions.get(key) or 'not installed'}" for name, key in _VERSIONS]
    commit = machine["commit"]
    return " · ".join([*parts, f"commit {commit[:10] if commit else 'unknown'}"])


def _detail(status: Status) -> str:
    if status.phase == "ready" and status.info is not None:
        return f"{status.info.version} · {status.info.model}"
    note = status_note(status)
    if status.phase in ("starting", "loading", "warming", "crashed"):
        note += f" · {time.monotonic() - status.since:.0f} s"
    return note
