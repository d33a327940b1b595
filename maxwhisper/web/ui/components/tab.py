"""The Components tab: runs checks of maxwhisper's parts against independent references.

In: the pool, the queue, the catalogue of checks, the machine's description. Owns the board: each
check's last result for one visitor. Grey means not run; green means passed. A visitor may inject an
error into a copy of the network, to see the checks find it. `layers` adds the errors layer by layer
below the board.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import gradio as gr

from maxwhisper.engine import OURS
from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.status import Cancelled
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.selftest.catalog import DAMAGES
from maxwhisper.evaluation.selftest.result import CheckResult
from maxwhisper.evaluation.selftest.tasks import component_checks
from maxwhisper.web.server.fair_use import CHECKS
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.ui.errors import shown_errors
from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.stop_button import WAITERS, Shown, Stoppable
from maxwhisper.web.ui.templates import page_source, render

Catalogue = Sequence[tuple[str, str, str]]  # (name, group, description) of each check
ALL = "all"
_DEFAULT_DEVICE = "the device shown above"
_DEVICES = {_DEFAULT_DEVICE: "", "the CPU": "cpu"}
# The error bar spans a millionth of the tolerance to ten times it.
_DECADES_BELOW, _DECADES_ABOVE = 6, 1
MARK_PERCENT = 100 * _DECADES_BELOW / (_DECADES_BELOW + _DECADES_ABOVE)  # the tolerance's place
_BADGES = {
    "running": "◌ running",
    "queued": "○ queued",
    "not-run": "○ not run",
    "passed": "✓ passed",
    "failed": "✕ failed",
    "error": "✕ error",
}
_BREAK, _HEAL = "Break it", "Heal"


@dataclass
class Board:
    """The last result of every check, for one visitor."""

    catalogue: Catalogue
    commit: str | None = None  # of the checked code
    damage: str = ""  # one of `DAMAGES`: the error in the network that was checked; "": none
    results: dict[str, tuple[CheckResult, datetime]] = field(default_factory=dict)

    @property
    def groups(self) -> list[str]:
        return list(dict.fromkeys(group for _, group, _ in self.catalogue))

    def names(self, choice: str) -> list[str]:
        """The checks selected by `choice`: `ALL`, a group, or one name."""
        return [name for name, group, _ in self.catalogue if choice in (ALL, group, name)]

    def expose_to(self, damage: str) -> None:
        """Forget the results of a network with another error, or with none."""
        if damage != self.damage:
            self.damage = damage
            self.results.clear()

    def record(self, result: CheckResult) -> None:
        self.results[result.name] = (result, datetime.now(UTC))


@dataclass(frozen=True)
class Order:
    """What a visitor asks for: some checks, a key of `_DEVICES`, and the error to inject."""

    choice: str
    where: str
    damage: str = ""


def components_tab(
    pool: EnginePool, queue: VisitorQueue, catalogue: Catalogue, machine: Mapping[str, Any]
) -> None:
    """Build the board inside the current `gr.Blocks`. Checks wait in `queue`, as races do."""
    mine = gr.State(Board(catalogue, machine["commit"]))  # every visitor gets a copy
    gr.HTML(render("components/intro.html"))
    where = gr.Radio(
        list(_DEVICES),
        value=_DEFAULT_DEVICE,
        label="Run on",
        info="Models other than demo are compiled for the CPU first, which takes minutes.",
        visible=bool(machine["gpus"]),  # without a GPU, the device above is the CPU
        elem_id="check-device",
    )
    with gr.Row(elem_classes="actions"):
        run = gr.Button("Run every check", variant="primary", elem_id="run-checks")
        stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop-checks")
        damage = gr.Dropdown(
            [(f"{what[0].upper()}{what[1:]}", name) for name, what in DAMAGES.items()],
            label="Error to inject into a copy",
            elem_id="damage",
        )
        spoil = gr.Button(_BREAK, elem_id="break-checks")
    shown = gr.HTML(
        board_html(Board(catalogue)), js_on_load=page_source("components/board.js"), elem_id="board"
    )
    runs = Stoppable(run, stop)

    def steps(board: Board, order: Order, request: gr.Request) -> Iterator[Shown]:
        def work(cancelled: Cancelled) -> Iterator[Shown]:
            left = board.names(order.choice)
            if not left:
                raise OptionError(f"There is no check named {order.choice!r}. Run all checks.")
            with queue.join(request.client.host, CHECKS) as place:
                for _ in place.wait(cancelled):
                    yield (*drawn(left, is_waiting=True), gr.Button(interactive=False))
                board.expose_to(order.damage)
                label = _HEAL if order.damage else _BREAK
                yield (*drawn(left, is_waiting=pool.is_busy), gr.Button(label, interactive=False))
                with place.turn(), pool.device(cancelled) as held:
                    asked = (tuple(left), _DEVICES[order.where], order.damage)
                    for result in held.run(OURS, component_checks, *asked):
                        board.record(result)
                        left.remove(result.name)
                        yield (*drawn(left), gr.skip())

        def drawn(left: Sequence[str], **how: bool) -> Shown:
            return board_html(board, left, **how), board

        def over(_note: str) -> Shown:
            return *drawn([]), gr.Button(_HEAL if board.damage else _BREAK, interactive=True)

        yield from runs.steps(request, work, over)

    @shown_errors
    def run_all(board: Board, where: str, request: gr.Request) -> Iterator[Shown]:
        yield from steps(board, Order(ALL, where), request)

    @shown_errors
    def run_some(
        board: Board, where: str, event: gr.EventData, request: gr.Request
    ) -> Iterator[Shown]:
        yield from steps(board, Order(str(event.choice), where, board.damage), request)

    @shown_errors
    def break_or_heal(
        board: Board, where: str, damage: str, request: gr.Request
    ) -> Iterator[Shown]:
        yield from steps(board, Order(ALL, where, "" if board.damage else damage), request)

    outputs = [shown, mine, spoil, *runs.buttons]
    run.click(run_all, [mine, where], outputs, **WAITERS, **QUIET)
    shown.click(run_some, [mine, where], outputs, **WAITERS, **QUIET)
    spoil.click(break_or_heal, [mine, where, damage], outputs, **WAITERS, **QUIET)


def board_html(board: Board, pending: Sequence[str] = (), *, is_waiting: bool = False) -> str:
    """The whole board. The first check in `pending` is running, the others are queued; all are
    queued if the run `is_waiting` for its turn."""
    results = [result for result, _ in board.results.values()]
    n_passed = sum(result.status == "passed" for result in results)
    n_failed, n_left = len(results) - n_passed, len(board.catalogue) - len(results)
    parts = [f"{n_passed}/{len(board.catalogue)} passed"]
    parts += [f"{n_failed} failed"] if n_failed else []
    parts += [f"{n_left} not run"] if n_left else []
    parts += [f"{sum(result.ms for result in results) / 1000:.1f} s"] if results else []
    return render(
        "components/board.html",
        board=board,
        pending=pending,
        running="" if is_waiting or not pending else pending[0],
        badges=_BADGES,
        parts=parts,
        state="failed" if n_failed else "" if n_left else "passed",
        damage=DAMAGES.get(board.damage, ""),
        mark_percent=MARK_PERCENT,
        bar_percent=bar_percent,
    )


def bar_percent(error: float, tolerance: float) -> float:
    """Length of the error bar, 0..100: logarithmic, with the tolerance at `MARK_PERCENT`."""
    if error == 0:
        return 0.0
    if not math.isfinite(error) or tolerance == 0:
        return 100.0
    decades = _DECADES_BELOW + math.log10(error / tolerance)
    return min(max(100 * decades / (_DECADES_BELOW + _DECADES_ABOVE), 0.0), 100.0)
