"""Errors layer by layer: two heat maps of the difference to the numpy reference.

In: the pool, the bundled clips, visitors' recordings. Out: one heat map along the audio and one
along the text, which fill while the engine's process compares. `evaluation/selftest/layers.py` does
the comparison.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from markupsafe import escape

from maxwhisper.audio.waveform import Waveform
from maxwhisper.engine import OURS
from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.status import Cancelled
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.selftest.result import LayerErrors
from maxwhisper.evaluation.selftest.tasks import layer_comparison
from maxwhisper.palette import BEYOND, FIGURE_LAYOUT, PLOT, WITHIN
from maxwhisper.web.server.fair_use import CHECKS
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.server.uploads import MAX_FILE_MB, Uploads
from maxwhisper.web.ui.errors import shown_errors
from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.examples import Example
from maxwhisper.web.ui.recorder import recorder, taken
from maxwhisper.web.ui.stop_button import WAITERS, Shown, Stoppable
from maxwhisper.web.ui.templates import render

OWN_RECORDING = "A recording of my own"
MIN_ERROR = 1e-9  # smaller errors get its colour: a hundredth of float32's resolution
ROW_HEIGHT_PX = 22
FRAME_HEIGHT_PX = {"audio": 110, "text": 150}  # axis, its title or its tokens, margins
MAX_TOKEN_CHARACTERS = 12  # in a label; the hover text has the whole token


def layers_section(
    pool: EnginePool, queue: VisitorQueue, uploads: Uploads, examples: Sequence[Example]
) -> None:
    """Build the section inside the current `gr.Blocks`. Comparisons wait in `queue`, as races
    do."""
    gr.HTML(render("components/layers_intro.html"))
    titles = {example.title: example for example in examples}
    with gr.Row(elem_classes="actions"):
        choice = gr.Dropdown([*titles, OWN_RECORDING], label="Clip", elem_id="layers-clip")
        run = gr.Button("Compare layers", variant="primary", elem_id="run-layers")
        stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop-layers")
    adopted = _own_recording(uploads, choice)
    summary = gr.HTML(summary_html([], is_over=False), elem_id="layers-summary")
    audio, text = (
        gr.Plot(show_label=False, container=False, visible=False, elem_id=f"layers-{axis}")
        for axis in ("audio", "text")
    )
    runs = Stoppable(run, stop)

    @shown_errors
    def compare(chosen: str, path: Path | None, request: gr.Request) -> Iterator[Shown]:
        rows: list[LayerErrors] = []

        def work(cancelled: Cancelled) -> Iterator[Shown]:
            with queue.join(request.client.host, CHECKS) as place:
                for n_ahead in place.wait(cancelled):
                    waiting = f"Waiting: {n_ahead} ahead of you"
                    yield summary_html(rows, is_over=False, note=waiting), None, None
                yield summary_html(rows, is_over=False, note="Reading the recording…"), None, None
                with place.turn():
                    waveform = _waveform(uploads, titles.get(chosen), path, cancelled)
                    with pool.device(cancelled) as device:
                        for row in device.run(OURS, layer_comparison, waveform):
                            rows.append(row)
                            yield _drawn(rows, is_over=False)

        yield from runs.steps(request, work, lambda note: _drawn(rows, is_over=True, note=note))

    run.click(
        compare,
        [choice, adopted],
        [summary, audio, text, *runs.buttons],
        **WAITERS,
        **QUIET,
    )


def _own_recording(uploads: Uploads, choice: gr.Dropdown) -> gr.State:
    """A recorder for the visitor's own recording, visible if `choice` asks for it. Returns the
    state with the recording's private path."""
    label = f"Audio or video, up to {MAX_FILE_MB} MB; the first 30 s are used"
    given = recorder(label, "layers-recording", visible=False)
    own, adopted = given.audio, gr.State(None)

    @shown_errors
    def adopt(path: str | None) -> tuple[Any, Path | None, str]:
        return taken(uploads, path)

    def show(chosen: str) -> tuple[gr.Audio, str]:
        return gr.Audio(visible=chosen == OWN_RECORDING), ""

    changes = [own.upload, own.stop_recording, own.clear]
    gr.on(changes, adopt, [own], [own, adopted, given.refused], **QUIET)
    choice.change(show, [choice], [own, given.refused], **QUIET)
    return adopted


def _waveform(
    uploads: Uploads, example: Example | None, path: Path | None, cancelled: Cancelled
) -> Waveform:
    if example is not None:
        return uploads.waveform(example.path, is_upload=False, cancelled=cancelled)
    if path is None:
        raise OptionError("Choose a recording first: upload one, record one, or choose a clip.")
    return uploads.waveform(path, is_upload=True, cancelled=cancelled)


def _drawn(rows: Sequence[LayerErrors], is_over: bool, note: str = "") -> tuple[Any, Any, Any]:
    figures = []
    for axis in ("audio", "text"):
        along = [row for row in rows if row.axis == axis]
        figures.append(gr.Plot(heat_map(along), visible=True) if along else gr.Plot(visible=False))
    return summary_html(rows, is_over, note), figures[0], figures[1]


def summary_html(rows: Sequence[LayerErrors], is_over: bool, note: str = "") -> str:
    """The heat maps summarized in one line."""
    measured = [row for row in rows if row.errors]
    if not measured:
        return render("components/summary.html", parts=[note])
    worst = max(measured, key=lambda row: max(row.errors))
    error = max(worst.errors)
    is_within = error <= worst.tolerance
    parts = [
        f"{len(measured)} layers compared{'' if is_over else ' so far'}",
        f"largest error {error:.1e}, in {worst.layer}",
        f"{'✓ within' if is_within else '✕ beyond'} the tolerance of {worst.tolerance:.0e}",
    ]
    if len(measured) < len(rows):
        parts.append(f"{len(rows) - len(measured)} not measured (time limit)")
    if note:
        parts.append(note)
    return render("components/summary.html", parts=parts)


def heat_map(rows: Sequence[LayerErrors]) -> go.Figure:
    """One cell for each layer and position; all rows have the same axis, the first is on top. A
    row without errors is empty and labelled "not measured"."""
    names = [row.layer if row.errors else f"{row.layer} (not measured)" for row in rows]
    positions, tolerance = rows[0].positions, rows[0].tolerance
    low, high = math.log10(MIN_ERROR), math.log10(tolerance) + 1
    blank = (None,) * len(positions)
    figure = go.Figure(
        go.Heatmap(
            x=_columns(rows[0]),
            z=[[_shade(e, low, high) for e in row.errors] or blank for row in rows],
            y=names,
            customdata=[[f"{e:.1e}" for e in row.errors] or blank for row in rows],
            text=[[_escaped(p) for p in positions]] * len(rows),
            zmin=low,
            zmax=high,
            colorscale=_colours((high - 1 - low) / (high - low)),
            showscale=rows[0].axis == "audio",  # one scale for both figures
            colorbar={
                "tickvals": [low, math.log10(tolerance)],
                "ticktext": [f"{MIN_ERROR:.0e}", f"{tolerance:.0e}"],
                "thickness": 12,
                "outlinewidth": 0,
            },
            hovertemplate="%{y}<br>%{text}<br>error %{customdata}<extra></extra>",
            xgap=0 if rows[0].axis == "audio" else 1,
            ygap=1,
        )
    )
    _lay_out(figure, rows[0], len(rows))
    return figure


def _lay_out(figure: go.Figure, row: LayerErrors, n_rows: int) -> None:
    """Size and axes of a heat map of `n_rows` like `row`."""
    figure.update_layout(
        FIGURE_LAYOUT,
        # A fixed height: plotly's autosize gives zero here.
        height=FRAME_HEIGHT_PX[row.axis] + ROW_HEIGHT_PX * n_rows,
        margin={"l": 8, "r": 8, "t": 24, "b": 60},
        plot_bgcolor=PLOT,
        font_size=13,
    )
    if row.axis == "audio":
        figure.update_xaxes(title_text="seconds into the clip")
    else:
        labels = [_label(token) for token in row.positions]
        figure.update_xaxes(tickvals=_columns(row), ticktext=labels, tickangle=-90)
    figure.update_xaxes(automargin=True, fixedrange=True, showgrid=False, zeroline=False)
    figure.update_yaxes(
        autorange="reversed",
        automargin=True,
        dtick=1,
        ticksuffix="  ",
        fixedrange=True,
        showgrid=False,
    )


def _columns(row: LayerErrors) -> list[float]:
    """The x position of each cell: seconds of audio, or the index of the token."""
    if row.axis == "text":
        return [float(i) for i in range(len(row.positions))]
    return [float(position.removesuffix(" s")) for position in row.positions]


def _label(token: str) -> str:
    shown = token.strip() or "␣"
    if len(shown) > MAX_TOKEN_CHARACTERS:
        shown = f"{shown[: MAX_TOKEN_CHARACTERS - 1]}…"
    return _escaped(shown)


def _escaped(text: str) -> str:
    """Plain text for plotly, which reads markup."""
    return str(escape(text))


def _shade(error: float, low: float, high: float) -> float:
    """log10 of an error, clipped to the colour scale."""
    if not math.isfinite(error):
        return high
    return min(max(math.log10(max(error, MIN_ERROR)), low), high)


def _colours(tolerance_at: float) -> list[tuple[float, str]]:
    """The colour scale, with the tolerance at `tolerance_at`, 0..1."""
    last = len(WITHIN) - 1
    within = [(tolerance_at * i / last, colour) for i, colour in enumerate(WITHIN)]
    return [*within, (tolerance_at, BEYOND), (1.0, BEYOND)]
