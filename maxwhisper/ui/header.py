"""The strip on top: what this is, which device and why, and where every engine stands.

In: the pool, asked every few seconds; the machine's description, once; the address of the visitor.
Out: HTML.
"""

import html
import time
from collections.abc import Mapping
from typing import Any

import gradio as gr

from maxwhisper.engine import OURS
from maxwhisper.palette import colour
from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.status import Status
from maxwhisper.serving.turns import Turns
from maxwhisper.ui.events import QUIET
from maxwhisper.ui.lanes import status_note
from maxwhisper.ui.share import address_of, share_html

REFRESH_S = 3.0
_PITCH = (
    "Same weights. Same audio. Same settings. Three engines: watch the text, the clock, the proof."
)
_TOOLS = (  # what page.js does, the button, what it says to a screen reader
    ("tour", "Tour", "Guided tour of 90 seconds"),
    ("stage", "Stage", "Stage mode: large type, full screen"),
    ("share", "QR", "Address of this page as a QR code"),
    ("keys", "?", "Keyboard shortcuts"),
)
_VERSIONS = (("MAX", "max"), ("PyTorch", "torch"), ("CTranslate2", "ctranslate2"))


def header(page: gr.Blocks, pool: EnginePool, turns: Turns, machine: Mapping[str, Any]) -> None:
    """Build the header inside `page`, the current `gr.Blocks`, and keep it fresh."""
    gr.HTML(f'<div class="masthead"><h1>maxwhisper</h1>{_tools()}<p>{_PITCH}</p></div>')

    def now() -> str:
        # Events in a queue of the page, races before their turn, runs that want the device itself.
        n_waiting = len(page._queue) + turns.n_waiting + pool.n_waiting
        return strip_html(pool.statuses(), machine, n_waiting)

    def refresh(shown: str) -> Any:
        fresh = now()
        return gr.skip() if fresh == shown else fresh

    def share(request: gr.Request) -> str:
        return share_html(address_of(request.headers))

    strip = gr.HTML(now, elem_id="strip")  # the function, so that every visitor starts with today
    # At once, not one after the other: the ticks of all who watch would fill the queue of clicks.
    gr.Timer(REFRESH_S).tick(refresh, [strip], [strip], concurrency_limit=None, **QUIET)
    page.load(share, None, [gr.HTML("")], **QUIET)


def strip_html(statuses: Mapping[str, Status], machine: Mapping[str, Any], n_waiting: int) -> str:
    """Device and versions, the queue, and one chip per engine."""
    chips = "".join(_chip(name, status) for name, status in statuses.items())
    facts = (_device(statuses, machine), f"{_software(machine)} · {_queue(n_waiting)}")
    lines = "".join(f'<p class="device">{html.escape(line)}</p>' for line in facts)
    return f'<div class="strip">{lines}<ul class="chips">{chips}</ul></div>'


def _tools() -> str:
    buttons = "".join(
        f'<button type="button" data-do="{what}" aria-label="{label}" title="{label}">{text}'
        "</button>"
        for what, text, label in _TOOLS
    )
    return f'<nav class="tools" aria-label="Presentation">{buttons}</nav>'


def _device(statuses: Mapping[str, Status], machine: Mapping[str, Any]) -> str:
    gpus = ", ".join(f"{g['name']} (driver {g['driver_version']})" for g in machine["gpus"])
    threads = machine["threads"]
    hardware = gpus or f"{machine['cpu'] or 'CPU'}, {threads} thread{'s' if threads != 1 else ''}"
    ready = statuses.get(OURS, Status("starting")).info
    if ready is None:
        return hardware
    return f"{hardware} · {ready.model} on {ready.device}, {ready.dtype}: {ready.device_reason}"


def _software(machine: Mapping[str, Any]) -> str:
    versions = machine["versions"]
    parts = [f"{name} {versions.get(key) or 'not installed'}" for name, key in _VERSIONS]
    commit = machine["commit"]
    return " · ".join([*parts, f"commit {commit[:10] if commit else 'unknown'}"])


def _queue(n_waiting: int) -> str:
    return "nobody waits" if n_waiting == 0 else f"{n_waiting} waiting"


def _chip(name: str, status: Status) -> str:
    detail = status_note(status)
    if status.phase in ("starting", "loading", "warming", "crashed"):
        detail += f" · {time.monotonic() - status.since:.0f} s"
    if status.info is not None and status.cold_s is not None and status.warm_s is not None:
        detail = (
            f"{status.info.version} · {status.info.model} · first run {status.cold_s:.1f} s, "
            f"warm {status.warm_s:.1f} s"
        )
    return (
        f'<li class="chip {status.phase}" style="--lane: {colour(name)}">'
        f"<strong>{html.escape(name)}</strong> <em>{_state(status)}</em>"
        f"<span>{html.escape(detail).replace(' ·', '&nbsp;·')}</span></li>"
    )


def _state(status: Status) -> str:
    """One word: "ready" means warm, and most of loading is compiling."""
    if status.phase == "ready":
        return "warm"
    if status.phase == "loading" and status.detail.startswith("compiling"):
        return "compiling"
    return status.phase
