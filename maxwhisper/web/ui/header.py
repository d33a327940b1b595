"""The header, one line on every tab: name, machine and model, the state of every engine, the queue.
A click on it opens the versions and the reason for the device.

Input: the pool, the queue and the machine's description. Output: HTML. `standing` says when it has
changed; the route `/news` tells every page that is looked at.
"""

import time
from collections.abc import Mapping
from typing import Any

import gradio as gr

from maxwhisper.engine import OURS
from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.status import Status
from maxwhisper.evaluation.records import device_name
from maxwhisper.web.server.better_weights import BetterWeights
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.qr_code import address_of, share_html
from maxwhisper.web.ui.templates import page_source, render
from maxwhisper.web.ui.weights import ShownWeights
from maxwhisper.web.ui.wording import status_note, status_word

_COUNT_S = 3.0  # how often the seconds of an engine that is not settled are shown
_TOOLS = (  # action in page.js, text, label for screen readers
    ("tour", "Tour", "Guided tour, 60 seconds"),
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

    def now() -> str:
        return strip_html(pool.statuses(), machine, queue.n_waiting)

    def refresh(*shown: str) -> list[Any]:
        fresh = [now(), *weights.now()]
        return [gr.skip() if a == b else a for a, b in zip(fresh, shown, strict=True)]

    def share(request: gr.Request) -> str:
        return share_html(address_of(request.headers))

    with gr.Row(elem_classes="masthead"):
        gr.HTML(render("masthead.html"), elem_id="name")
        strip = gr.HTML(now(), js_on_load=page_source("news.js"), elem_id="strip")
        shown = [strip, *weights.build()]
        gr.HTML(render("tools.html", tools=_TOOLS), elem_id="tools")
    # Unlimited concurrency: many visitors ask at the same moment. `always_last`: what changed while
    # the last answer was on its way is asked for, too.
    unlimited: dict[str, Any] = {"concurrency_limit": None, "trigger_mode": "always_last"}
    for event in (page.load, strip.click):  # `news.js` clicks when something has changed
        event(refresh, shown, shown, **unlimited, **QUIET)
    page.load(share, None, [gr.HTML("")], **QUIET)


def standing(pool: EnginePool, queue: VisitorQueue, weights: BetterWeights) -> str:
    """Everything that the header shows and that may change; it differs when a page must ask."""
    statuses = pool.statuses()
    is_settled = all(status.is_settled for status in statuses.values())
    seconds = None if is_settled else time.monotonic() // _COUNT_S
    return repr((statuses, queue.n_waiting, pool.default_model, weights.standing, seconds))


def strip_html(statuses: Mapping[str, Status], machine: Mapping[str, Any], n_waiting: int) -> str:
    """Device, one chip per engine, the length of the queue; versions and details below."""
    chips = [
        {
            "engine": name,
            "phase": status.phase,
            "state": status_word(status),
            "detail": _detail(status),
        }
        for name, status in statuses.items()
    ]
    return render(
        "strip.html",
        device=_short_device(statuses, machine),
        facts=(_device(statuses, machine), _software(machine)),
        chips=chips,
        waiting=f"{n_waiting} waiting" if n_waiting else "queue empty",
    )


def _short_device(statuses: Mapping[str, Status], machine: Mapping[str, Any]) -> str:
    """Machine and model, without the reasons."""
    info = statuses.get(OURS, Status("starting")).info
    parts = [device_name(machine)]
    if info is not None:
        parts += [f"{info.model} model", info.device.upper()]
    return " · ".join(parts)


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
    if not status.is_settled:
        note += f" · {time.monotonic() - status.since:.0f} s"
    return note
