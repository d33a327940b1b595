"""The Components tab: every part of our Whisper, checked against the reference while you watch.

In: the pool, the catalogue of checks, the machine's description. Owns the board: each check's last
result on this server. Grey means "not run" and nothing else; only a check that ran and passed is
green. The error layer by layer, below the board, is `layers`.
"""

import functools
import html
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from maxwhisper.engine import OURS
from maxwhisper.errors import OptionError
from maxwhisper.selftest.result import CheckResult
from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.status import Cancelled
from maxwhisper.ui.errors import shown_errors
from maxwhisper.ui.events import QUIET
from maxwhisper.ui.stoppable import WAITERS, Shown, Stoppable

Catalogue = Sequence[tuple[str, str, str]]  # (name, group, what it shows in one sentence)
ALL = "all"
_OWN = "the device named above"
_DEVICES = {_OWN: "", "the processor": "cpu"}
# The bar spans errors from a millionth of the tolerance to ten times it.
_DECADES_BELOW, _DECADES_ABOVE = 6, 1
MARK_PERCENT = 100 * _DECADES_BELOW / (_DECADES_BELOW + _DECADES_ABOVE)  # where the tolerance is
_WORDS = {"passed": "✓ passed", "failed": "✕ failed", "error": "✕ error"}
# The board is drawn anew with each result: whoever pressed a button in it finds it under the
# finger again.
_JS = """
let pressed = null;
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-run]');
  if (!button || button.getAttribute('aria-disabled') === 'true') return;
  pressed = button.dataset.run;
  trigger('click', {choice: pressed});
});
watch('value', () => {
  if (pressed === null || document.activeElement !== document.body) return;
  element.querySelector(`[data-run="${CSS.escape(pressed)}"]`)?.focus({preventScroll: true});
});
"""


@dataclass
class Board:
    """Last result of every check, shared by all visitors; the run that holds the device writes."""

    catalogue: Catalogue
    commit: str | None = None  # of the code whose results these are
    results: dict[str, tuple[CheckResult, float]] = field(default_factory=dict)  # with epoch time

    @property
    def groups(self) -> list[str]:
        return list(dict.fromkeys(group for _, group, _ in self.catalogue))

    def names(self, choice: str) -> list[str]:
        """The checks that `choice` stands for: all, a group, or one of them."""
        return [name for name, group, _ in self.catalogue if choice in (ALL, group, name)]

    def record(self, result: CheckResult) -> None:
        self.results[result.name] = (result, time.time())


def components_tab(pool: EnginePool, catalogue: Catalogue, machine: Mapping[str, Any]) -> None:
    """Build the board inside the current `gr.Blocks`."""
    board = Board(catalogue, machine["commit"])
    gr.HTML(
        '<p class="hint">Each check runs one part of maxwhisper, now, on the device named above, '
        "and measures how far it is from an independent truth. The bar is logarithmic: it begins "
        "at a millionth of the tolerance, and the mark is the tolerance.</p>"
    )
    where = gr.Radio(
        list(_DEVICES),
        value=_OWN,
        label="Run on",
        info="Weights other than demo's are compiled for the processor first, which takes minutes.",
        visible=bool(machine["gpus"]),  # else the device above is the processor
        elem_id="check-device",
    )
    with gr.Row(elem_classes="actions"):
        run = gr.Button("Run every check", variant="primary", elem_id="run-checks")
        stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop-checks")
    # Drawn by a function: every visitor starts with what others have run.
    shown = gr.HTML(lambda: board_html(board), js_on_load=_JS, elem_id="board")

    runs = Stoppable(run, stop)

    def work(choice: str, device: str, cancelled: Cancelled) -> Iterator[Shown]:
        pending = board.names(choice)
        if not pending:
            raise OptionError(f"no check is called {choice!r}: run all of them")
        yield (board_html(board, pending, is_waiting=pool.is_busy),)
        for result in pool.selftest(OURS, pending, cancelled, device):
            board.record(result)
            pending.remove(result.name)
            yield (board_html(board, pending),)

    def over(_note: str) -> Shown:
        return (board_html(board),)

    @shown_errors
    def run_all(where: str, request: gr.Request) -> Iterator[Shown]:
        yield from runs.steps(request, functools.partial(work, ALL, _DEVICES[where]), over)

    @shown_errors
    def run_some(where: str, event: gr.EventData, request: gr.Request) -> Iterator[Shown]:
        one = functools.partial(work, str(event.choice), _DEVICES[where])
        yield from runs.steps(request, one, over)

    outputs = [shown, *runs.buttons]
    run.click(run_all, [where], outputs, **WAITERS, **QUIET)
    shown.click(run_some, [where], outputs, **WAITERS, **QUIET)


def board_html(board: Board, pending: Sequence[str] = (), *, is_waiting: bool = False) -> str:
    """The whole board; checks in `pending` wait for their turn, the first of them runs, unless it
    `is_waiting` for the device."""
    if not board.catalogue:
        return '<p class="notice">No component checks are installed.</p>'
    running = "" if is_waiting or not pending else pending[0]
    rows = "".join(_row(board, *entry, pending, running) for entry in board.catalogue)
    return f'{_summary(board)}{_group_buttons(board, pending)}<ul class="board">{rows}</ul>'


def _summary(board: Board) -> str:
    results = [result for result, _ in board.results.values()]
    passed = sum(result.status == "passed" for result in results)
    failed = len(results) - passed
    parts = [
        f"{passed} passed",
        f"{failed} failed",
        f"{len(board.catalogue) - len(results)} not run",
    ]
    return f'<p class="summary" role="status">{" · ".join(parts)}</p>'


def _group_buttons(board: Board, pending: Sequence[str]) -> str:
    buttons = (
        _run_button(group, f"Run the checks of {group}", group, pending) for group in board.groups
    )
    return f'<p class="groups">Run one group: {"".join(buttons)}</p>'


def _run_button(choice: str, label: str, text: str, pending: Sequence[str]) -> str:
    return (
        f'<button type="button" class="run" data-run="{html.escape(choice)}" '
        f'aria-label="{html.escape(label)}" aria-disabled="{"true" if pending else "false"}">'
        f"{html.escape(text)}</button>"
    )


def _row(
    board: Board, name: str, group: str, about: str, pending: Sequence[str], running: str
) -> str:
    result, at_s = board.results.get(name, (None, 0.0))
    figures = ""
    if name in pending:
        status, word = ("running", "◌ running") if name == running else ("queued", "○ next")
    elif result is None:
        status, word = "not-run", "○ not run"
    else:
        status, word = result.status, _WORDS[result.status]
        figures = _figures(result, at_s, board.commit)
    button = _run_button(name, f"Run the check {name}", "Run", pending)
    return (
        f'<li class="check {status}"><header><span><strong>{html.escape(name)}</strong>'
        f'<span class="group">{html.escape(group)}</span></span>'
        f'<span class="badge">{word}</span></header>'
        f"<p>{html.escape(about)}</p>{figures}{button}</li>"
    )


def _figures(result: CheckResult, at_s: float, commit: str | None) -> str:
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at_s))
    parts = []
    if result.error is not None and result.tolerance is not None:
        parts.append(
            f'<div class="bar" aria-hidden="true" style="--mark: {MARK_PERCENT:.1f}%">'
            f'<i style="width: {bar_percent(result.error, result.tolerance):.0f}%"></i></div>'
            f"<p>error <b>{result.error:.2g}</b>, tolerance <b>{result.tolerance:.2g}</b>"
            f" ({html.escape(result.detail)})</p>"
        )
    elif result.detail:
        parts.append(f"<p>{html.escape(result.detail)}</p>")
    where = f"{result.ms:.0f} ms on {html.escape(result.device)}"
    of = f"commit {html.escape(commit[:10])}" if commit else "commit unknown"
    parts.append(f'<p class="where">{where} · {of} · {when}</p>')
    return "".join(parts)


def bar_percent(error: float, tolerance: float) -> float:
    """Length of the error bar, 0..100: logarithmic, `MARK_PERCENT` at the tolerance."""
    if error == 0:
        return 0.0
    if not math.isfinite(error) or tolerance == 0:
        return 100.0
    decades = _DECADES_BELOW + math.log10(error / tolerance)
    return min(max(100 * decades / (_DECADES_BELOW + _DECADES_ABOVE), 0.0), 100.0)
