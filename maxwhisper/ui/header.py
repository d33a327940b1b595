"""The strip on top: what this is, which device and why, and where every engine stands.

In: the pool, asked every few seconds; the machine's description, once. Out: HTML.
"""

import html
import time
from collections.abc import Mapping
from typing import Any

import gradio as gr

from maxwhisper.palette import colour
from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.status import Status
from maxwhisper.ui.lanes import status_note
from maxwhisper.ui.scores import OURS

REFRESH_S = 3.0
_PITCH = (
    "Same weights. Same audio. Same settings. Three engines: watch the text, the clock, the proof."
)


def header(pool: EnginePool, machine: Mapping[str, Any]) -> None:
    """Build the header inside the current `gr.Blocks` and keep it fresh."""
    gr.HTML(f'<div class="masthead"><h1>maxwhisper</h1><p>{_PITCH}</p></div>')

    def now() -> str:
        return strip_html(pool, machine)

    def refresh(shown: str) -> Any:
        return gr.skip() if now() == shown else now()

    strip = gr.HTML(now, elem_id="strip")  # the function, so that every visitor starts with today
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    gr.Timer(REFRESH_S).tick(refresh, [strip], [strip], **quiet)


def strip_html(pool: EnginePool, machine: Mapping[str, Any]) -> str:
    """Device line and one chip per engine."""
    statuses = pool.statuses()
    chips = "".join(_chip(name, status) for name, status in statuses.items())
    return (
        f'<div class="strip"><p class="device">{html.escape(_device(statuses, machine))}</p>'
        f'<ul class="chips">{chips}</ul></div>'
    )


def _device(statuses: Mapping[str, Status], machine: Mapping[str, Any]) -> str:
    gpus = ", ".join(gpu["name"] for gpu in machine["gpus"])
    threads = machine["threads"]
    hardware = gpus or f"{machine['cpu'] or 'CPU'}, {threads} thread{'s' if threads != 1 else ''}"
    ready = statuses.get(OURS, Status("starting")).info
    if ready is None:
        return hardware
    return f"{hardware} · {ready.device}, {ready.dtype}: {ready.device_reason}"


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
        f"<strong>{html.escape(name)}</strong> <em>{status.phase}</em>"
        f"<span>{html.escape(detail)}</span></li>"
    )
