"""The Components tab: every part of our Whisper, checked against the reference while you watch.

In: the pool and the catalogue of checks. Owns the board: each check's last result on this server.
Grey means "not run" and nothing else; only a check that ran and passed is green.
"""

import html
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from maxwhisper.selftest.result import CheckResult
from maxwhisper.serving.pool import EnginePool
from maxwhisper.ui.errors import shown_errors
from maxwhisper.ui.scores import OURS

Catalogue = Sequence[tuple[str, str, str]]  # (name, group, what it shows in one sentence)
ALL = "All components"
_BAR_DECADES = 6  # an error a million times below its tolerance draws no bar


@dataclass
class Board:
    """Last result of every check, shared by all visitors; the run that holds the device writes."""

    catalogue: Catalogue
    results: dict[str, tuple[CheckResult, float]] = field(default_factory=dict)  # with epoch time

    @property
    def groups(self) -> list[str]:
        return list(dict.fromkeys(group for _, group, _ in self.catalogue))

    def names(self, choice: str) -> list[str]:
        """The checks of a group, or all."""
        return [name for name, group, _ in self.catalogue if choice in (ALL, group)]

    def record(self, result: CheckResult) -> None:
        self.results[result.name] = (result, time.time())


def components_tab(pool: EnginePool, catalogue: Catalogue) -> None:
    """Build the tab inside the current `gr.Blocks`."""
    board = Board(catalogue)
    gr.HTML(
        '<p class="hint">Each check runs one part of maxwhisper here and measures how far '
        "it is from the reference. The bar is logarithmic: full means the tolerance, empty a "
        "millionth of it.</p>"
    )
    with gr.Row(elem_classes="actions"):
        choice = gr.Dropdown([ALL, *board.groups], value=ALL, label="Group", elem_id="group")
        run = gr.Button("Run checks", variant="primary", elem_id="run-checks")
    shown = gr.HTML(lambda: board_html(board), elem_id="board")  # with what others have run

    @shown_errors
    def start(chosen: str) -> Iterator[tuple[str, Any]]:
        pending = set(board.names(chosen))
        yield board_html(board, pending), gr.Button(interactive=False)
        cancelled = threading.Event()
        try:
            for result in pool.selftest(OURS, board.names(chosen), cancelled.is_set):
                board.record(result)
                pending.discard(result.name)
                yield board_html(board, pending), gr.Button(interactive=False)
            yield board_html(board), gr.Button(interactive=True)
        except Exception:
            yield board_html(board), gr.Button(interactive=True)
            raise
        finally:
            cancelled.set()

    run.click(
        start,
        [choice],
        [shown, run],
        show_progress="hidden",
        api_visibility="private",
        concurrency_id="device",
    )


def board_html(board: Board, pending: set[str] | None = None) -> str:
    """The whole board; checks in `pending` are about to run."""
    if not board.catalogue:
        return '<p class="notice">No component checks are installed.</p>'
    rows = "".join(_row(board, *entry, entry[0] in (pending or ())) for entry in board.catalogue)
    return f'{_summary(board)}<ul class="board">{rows}</ul>'


def _summary(board: Board) -> str:
    results = [result for result, _ in board.results.values()]
    passed = sum(result.status == "passed" for result in results)
    failed = len(results) - passed
    parts = [
        f"{passed} passed",
        f"{failed} failed",
        f"{len(board.catalogue) - len(results)} not run",
    ]
    return f'<p class="summary" aria-live="polite">{" · ".join(parts)}</p>'


def _row(board: Board, name: str, group: str, about: str, is_pending: bool) -> str:
    result, at_s = board.results.get(name, (None, 0.0))
    if is_pending or result is None:
        word = "running" if is_pending else "not run"
        status, figures = word.replace(" ", "-"), ""
    else:
        word = status = result.status
        figures = _figures(result, at_s)
    return (
        f'<li class="check {status}"><div><span><strong>{html.escape(name)}</strong>'
        f'<span class="group">{html.escape(group)}</span></span>'
        f'<span class="badge">{word}</span></div>'
        f"<p>{html.escape(about)}</p>{figures}</li>"
    )


def _figures(result: CheckResult, at_s: float) -> str:
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at_s))
    parts = []
    if result.error is not None and result.tolerance is not None:
        parts.append(
            f'<div class="meter" role="img" aria-label="error against tolerance">'
            f'<i style="width: {bar_percent(result.error, result.tolerance):.0f}%"></i></div>'
            f"<p>error {result.error:.2g}, tolerance {result.tolerance:.2g}"
            f" ({html.escape(result.detail)})</p>"
        )
    elif result.detail:
        parts.append(f"<p>{html.escape(result.detail)}</p>")
    parts.append(f"<p>{result.ms:.0f} ms on {html.escape(result.device)} · {when}</p>")
    return "".join(parts)


def bar_percent(error: float, tolerance: float) -> float:
    """Length of the error bar, 0..100: logarithmic over six decades, full at the tolerance."""
    if error == 0:
        return 0.0
    if not math.isfinite(error) or error >= tolerance:
        return 100.0
    return max(0.0, 100 * (1 + math.log10(error / tolerance) / _BAR_DECADES))
