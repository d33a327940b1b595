"""Tabs that are drawn when a visitor opens them, and again for every new run.

Input: a tab, the run's id, and a function that draws. A tab that nobody opens costs nothing. Before
the first run it offers two ways to one.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.blocks import Block

from maxwhisper.web.server.run import Run
from maxwhisper.web.server.run_store import RunNotFound, RunStore
from maxwhisper.web.ui.errors import problem_html, shown_errors
from maxwhisper.web.ui.events import QUIET

Draw = Callable[[Run | None], Any]  # returns one value, or a tuple with one for each output
Open = Callable[[gr.Button, Run], None]  # has a button open that run, in every tab
_TO_RACE_JS = """() => {
  [...document.querySelectorAll('[role=tab]')].find(t => t.innerText.trim() === 'Race')?.click();
  scrollTo(0, 0);
}"""


def ways_to_a_run(store: RunStore, open_run: Open) -> gr.Row:
    """Two buttons for a tab without a run: race, or open the first of the recorded races here. The
    tab shows the row where there is no run."""
    with gr.Row(visible=False, elem_classes="ways-to-a-run") as row:
        to_race = gr.Button("Run one", variant="primary", size="sm")
        to_race.click(None, None, None, js=_TO_RACE_JS, **QUIET)
        for run in store.recorded()[:1]:
            open_run(gr.Button("Open a recorded one", size="sm"), run)
    return row


def draw_when_seen(
    tab: gr.Tab,
    store: RunStore,
    run_id: gr.State,
    draw: Draw,
    outputs: list[Block],
) -> None:
    """Fill `outputs` with `draw(run)`, or `draw(None)` before the first run. The first output must
    be HTML: if the run is gone, the reason is put in front of it, unless it is empty."""
    drawn = gr.State(None)  # the `_mark` of what is shown; None until the tab is first opened

    def redraw(wanted: str, shown: str | None) -> tuple[Any, ...]:
        try:
            run, problem = store.load(wanted) if wanted else None, ""
        except RunNotFound as error:  # deleted or expired
            run, problem = None, problem_html(str(error))
        mark = problem or _mark(run)
        if mark == shown:
            return unchanged
        values = draw(run)
        first, *rest = values if isinstance(values, tuple) else (values,)
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
    """Identifies a drawing: the run and its reference, which can be added after the race."""
    return "" if run is None else f"{run.id} {run.reference}"
