"""The Components tab: runs checks of maxwhisper's parts against independent references.

In: the pool, the queue, the catalogue of checks, the machine's description. Owns the board: each
check's last result on this server. Grey means not run; green means passed. `layers` adds the errors
layer by layer below the board.
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr

from maxwhisper.engine import OURS
from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.status import Cancelled
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.selftest.result import CheckResult
from maxwhisper.evaluation.selftest.tasks import component_checks
from maxwhisper.web.server.fair_use import CHECKS
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.ui.errors import shown_errors
from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.stop_button import WAITERS, Shown, Stoppable
from maxwhisper.web.ui.templates import render

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
_JS = (Path(__file__).parent / "board.js").read_text(encoding="utf-8")


@dataclass
class Board:
    """The last result of every check, shared by all visitors. Only the run that holds the device
    writes."""

    catalogue: Catalogue
    commit: str | None = None  # of the checked code
    results: dict[str, tuple[CheckResult, datetime]] = field(default_factory=dict)

    @property
    def groups(self) -> list[str]:
        return list(dict.fromkeys(group for _, group, _ in self.catalogue))

    def names(self, choice: str) -> list[str]:
        """The checks selected by `choice`: `ALL`, a group, or one name."""
        return [name for name, group, _ in self.catalogue if choice in (ALL, group, name)]

    def record(self, result: CheckResult) -> None:
        self.results[result.name] = (result, datetime.now(UTC))


def components_tab(
    pool: EnginePool, queue: VisitorQueue, catalogue: Catalogue, machine: Mapping[str, Any]
) -> None:
    """Build the board inside the current `gr.Blocks`. Checks wait in `queue`, as races do."""
    board = Board(catalogue, machine["commit"])
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
    # A function, so that each new visitor sees the current results.
    shown = gr.HTML(lambda: board_html(board), js_on_load=_JS, elem_id="board")

    runs = Stoppable(run, stop)

    def work(choice: str, where: str, visitor: str, cancelled: Cancelled) -> Iterator[Shown]:
        pending = board.names(choice)
        if not pending:
            raise OptionError(f"There is no check named {choice!r}. Run all checks.")
        with queue.join(visitor, CHECKS) as place:
            for _ in place.wait(cancelled):
                yield (board_html(board, pending, is_waiting=True),)
            yield (board_html(board, pending, is_waiting=pool.is_busy),)
            with place.turn(), pool.device(cancelled) as held:
                checks = held.run(OURS, component_checks, tuple(pending), _DEVICES[where])
                for result in checks:
                    board.record(result)
                    pending.remove(result.name)
                    yield (board_html(board, pending),)

    def over(_note: str) -> Shown:
        return (board_html(board),)

    @shown_errors
    def run_all(where: str, request: gr.Request) -> Iterator[Shown]:
        everything = functools.partial(work, ALL, where, request.client.host)
        yield from runs.steps(request, everything, over)

    @shown_errors
    def run_some(where: str, event: gr.EventData, request: gr.Request) -> Iterator[Shown]:
        one = functools.partial(work, str(event.choice), where, request.client.host)
        yield from runs.steps(request, one, over)

    outputs = [shown, *runs.buttons]
    run.click(run_all, [where], outputs, **WAITERS, **QUIET)
    shown.click(run_some, [where], outputs, **WAITERS, **QUIET)


def board_html(board: Board, pending: Sequence[str] = (), *, is_waiting: bool = False) -> str:
    """The whole board. The first check in `pending` is running, the others are queued; all are
    queued if the run `is_waiting` for its turn."""
    results = [result for result, _ in board.results.values()]
    n_passed = sum(result.status == "passed" for result in results)
    return render(
        "components/board.html",
        board=board,
        pending=pending,
        running="" if is_waiting or not pending else pending[0],
        badges=_BADGES,
        parts=(
            f"{n_passed} passed",
            f"{len(results) - n_passed} failed",
            f"{len(board.catalogue) - len(results)} not run",
        ),
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
