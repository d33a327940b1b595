"""Tabs that are drawn when somebody looks: at first sight, and from then on with every new run.

In: a tab, the run's id, a function that draws. Nothing is read or computed for a tab nobody opened.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr

from maxwhisper.serving.run import Run
from maxwhisper.serving.runs import RunNotFound, RunStore
from maxwhisper.ui.errors import shown_errors
from maxwhisper.ui.events import QUIET
from maxwhisper.ui.kept import problem_html

LOADING = '<p class="before" role="status">Drawing …</p>'  # until a tab's first drawing is there
Draw = Callable[[Run | None], Any]  # one value for each output, a tuple of them if there are many


def draw_when_seen(
    tab: gr.Tab,
    store: RunStore,
    run_id: gr.State,
    draw: Draw,
    outputs: list[gr.components.Component],
) -> None:
    """Fill `outputs` with what `draw` makes of the run, or of None before there is one. The first
    of them, which is HTML, says it of a run that is gone, unless it is empty."""
    drawn = gr.State(None)  # what is shown, as `_mark` has it; None: nobody has looked yet

    def redraw(wanted: str, shown: str | None) -> tuple[Any, ...]:
        try:
            run, problem = store.load(wanted) if wanted else None, ""
        except RunNotFound as error:  # deleted, or too old by now
            run, problem = None, problem_html(str(error))
        mark = problem or _mark(run)
        if mark == shown:
            return unchanged
        made = draw(run)
        first, *rest = made if isinstance(made, tuple) else (made,)
        return (problem + first if first else first, *rest, mark)

    unchanged = (gr.skip(),) * (len(outputs) + 1)

    @shown_errors
    def on_select(wanted: str, shown: str | None) -> tuple[Any, ...]:
        return redraw(wanted, shown)

    @shown_errors
    def on_run(wanted: str, shown: str | None) -> tuple[Any, ...]:
        return unchanged if shown is None else redraw(wanted, shown)

    for listen, handler in ((tab.select, on_select), (run_id.change, on_run)):
        listen(handler, [run_id, drawn], [*outputs, drawn], **QUIET)


def _mark(run: Run | None) -> str:
    """What tells one drawing from another: the run, and its words, which may be given later."""
    return "" if run is None else f"{run.id} {run.reference}"
