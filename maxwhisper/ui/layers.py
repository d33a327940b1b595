"""Layer by layer: where along a clip, and how deep in the network, we differ from the reference.

In: the pool, the bundled clips, visitors' recordings. Out: two heat maps, one along the audio, one
along the text, that fill while the engine's process compares. What is compared, and how, is
`selftest/layers.py`.
"""

import html
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from maxwhisper.engine import OURS, Waveform
from maxwhisper.errors import OptionError
from maxwhisper.palette import FIGURE_LAYOUT
from maxwhisper.selftest.result import LayerErrors
from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.status import Cancelled
from maxwhisper.serving.uploads import MAX_FILE_MB, Uploads
from maxwhisper.ui.errors import shown_errors
from maxwhisper.ui.events import QUIET
from maxwhisper.ui.examples import Example
from maxwhisper.ui.recorder import recorder, taken
from maxwhisper.ui.stoppable import WAITERS, Shown, Stoppable

OWN = "A recording of my own"
LOWEST = 1e-9  # errors below are drawn like it: a hundredth of what float32 can tell apart
ROW_HEIGHT_PX = 22
FRAME_HEIGHT_PX = {"audio": 110, "text": 150}  # axis, its title or its tokens, margins
MAX_TOKEN_CHARACTERS = 12  # of a label; the whole token is in the cell's own text
# Cividis, which every common colour vision reads alike; beyond the tolerance, vermillion.
_WITHIN = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838")
_BEYOND = "#d55e00"
_INTRO = (
    "The first 30 s of a clip go through maxwhisper and through the same network in plain numpy, "
    "each going on with its own numbers. Every row is a layer, every cell the largest error there, "
    "over the layer's largest value: errors add up downwards. Decoder layers, log-mel and encoder "
    "output are read as the compiled graphs give them. Blocks inside the encoder are not given "
    "out: block n is the whole compiled encoder with the blocks after n switched off."
)


def layers_section(pool: EnginePool, uploads: Uploads, examples: Sequence[Example]) -> None:
    """Build the section inside the current `gr.Blocks`."""
    gr.HTML(f'<h3 class="part">Layer by layer</h3><p class="hint">{_INTRO}</p>')
    titles = {example.title: example for example in examples}
    with gr.Row(elem_classes="actions"):
        choice = gr.Dropdown([*titles, OWN], label="Clip", elem_id="layers-clip")
        run = gr.Button("Compare layers", variant="primary", elem_id="run-layers")
        stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop-layers")
    adopted = _own_recording(uploads, choice)
    said = gr.HTML(summary_html([], is_over=False), elem_id="layers-summary")
    audio, text = (
        gr.Plot(show_label=False, container=False, visible=False, elem_id=f"layers-{axis}")
        for axis in ("audio", "text")
    )
    runs = Stoppable(run, stop)

    @shown_errors
    def compare(chosen: str, path: Path | None, request: gr.Request) -> Iterator[Shown]:
        rows: list[LayerErrors] = []

        def work(cancelled: Cancelled) -> Iterator[Shown]:
            yield summary_html(rows, is_over=False, note="reading"), None, None
            waveform = _waveform(uploads, titles.get(chosen), path, cancelled)
            for row in pool.layers(OURS, waveform, cancelled):
                rows.append(row)
                yield _drawn(rows, is_over=False)

        yield from runs.steps(request, work, lambda note: _drawn(rows, is_over=True, note=note))

    run.click(
        compare,
        [choice, adopted],
        [said, audio, text, *runs.buttons],
        **WAITERS,
        **QUIET,
    )


def _own_recording(uploads: Uploads, choice: gr.Dropdown) -> gr.State:
    """Where a visitor gives a recording, shown where that is his `choice`; returns the path under
    which nobody else has it."""
    label = f"Sound or video, up to {MAX_FILE_MB} MB; its first 30 s are used"
    given = recorder(label, "layers-recording", visible=False)
    own, adopted = given.audio, gr.State(None)

    @shown_errors
    def adopt(path: str | None) -> tuple[Any, Path | None, str]:
        return taken(uploads, path)

    def show(chosen: str) -> tuple[gr.Audio, str]:
        return gr.Audio(visible=chosen == OWN), ""

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
        raise OptionError("Choose a recording first: upload or record one, or take a clip.")
    return uploads.waveform(path, is_upload=True, cancelled=cancelled)


def _drawn(rows: Sequence[LayerErrors], is_over: bool, note: str = "") -> tuple[Any, Any, Any]:
    figures = []
    for axis in ("audio", "text"):
        along = [row for row in rows if row.axis == axis]
        figures.append(gr.Plot(heat_map(along), visible=True) if along else gr.Plot(visible=False))
    return summary_html(rows, is_over, note), figures[0], figures[1]


def summary_html(rows: Sequence[LayerErrors], is_over: bool, note: str = "") -> str:
    """The heat maps in one sentence."""
    measured = [row for row in rows if row.errors]
    if not measured:
        return f'<p class="summary" role="status">{html.escape(note)}</p>'
    worst = max(measured, key=lambda row: max(row.errors))
    error = max(worst.errors)
    is_within = error <= worst.tolerance
    parts = [
        f"{len(measured)} layers compared{'' if is_over else ' so far'}",
        f"largest error {error:.1e}, in {worst.layer}",
        f"{'✓ within' if is_within else '✕ beyond'} the tolerance of {worst.tolerance:.0e}",
    ]
    if len(measured) < len(rows):
        parts.append(f"{len(rows) - len(measured)} not measured: out of time")
    if note:
        parts.append(note)
    return f'<p class="summary" role="status">{html.escape(" · ".join(parts))}</p>'


def heat_map(rows: Sequence[LayerErrors]) -> go.Figure:
    """One cell for each layer and position; rows of one axis, first layer on top. A row without
    errors stays empty and says so."""
    names = [row.layer if row.errors else f"{row.layer} (not measured)" for row in rows]
    positions, tolerance = rows[0].positions, rows[0].tolerance
    low, high = math.log10(LOWEST), math.log10(tolerance) + 1
    blank = (None,) * len(positions)
    figure = go.Figure(
        go.Heatmap(
            x=_columns(rows[0]),
            z=[[_shade(e, low, high) for e in row.errors] or blank for row in rows],
            y=names,
            customdata=[[f"{e:.1e}" for e in row.errors] or blank for row in rows],
            text=[[html.escape(p) for p in positions]] * len(rows),
            zmin=low,
            zmax=high,
            colorscale=_colours((high - 1 - low) / (high - low)),
            showscale=rows[0].axis == "audio",  # one scale for both figures
            colorbar={
                "tickvals": [low, math.log10(tolerance)],
                "ticktext": [f"{LOWEST:.0e}", f"{tolerance:.0e}"],
                "thickness": 12,
                "outlinewidth": 0,
            },
            hovertemplate="%{y}<br>%{text}<br>error %{customdata}<extra></extra>",
            xgap=0 if rows[0].axis == "audio" else 1,
            ygap=1,
        )
    )
    figure.update_layout(
        FIGURE_LAYOUT,
        height=FRAME_HEIGHT_PX[rows[0].axis]
        + ROW_HEIGHT_PX * len(rows),  # autosize collapses to nothing
        margin={"l": 8, "r": 8, "t": 24, "b": 60},
        plot_bgcolor="rgba(128,128,128,0.12)",
        font_size=13,
    )
    if rows[0].axis == "audio":
        figure.update_xaxes(title_text="seconds into the clip")
    else:
        labels = [_label(token) for token in positions]
        figure.update_xaxes(tickvals=_columns(rows[0]), ticktext=labels, tickangle=-90)
    figure.update_xaxes(automargin=True, fixedrange=True, showgrid=False, zeroline=False)
    figure.update_yaxes(
        autorange="reversed",
        automargin=True,
        dtick=1,
        ticksuffix="  ",
        fixedrange=True,
        showgrid=False,
    )
    return figure


def _columns(row: LayerErrors) -> list[float]:
    """Where its cells lie: seconds of the audio, numbers of the tokens."""
    if row.axis == "text":
        return [float(i) for i in range(len(row.positions))]
    return [float(position.removesuffix(" s")) for position in row.positions]


def _label(token: str) -> str:
    shown = token.strip() or "␣"
    if len(shown) > MAX_TOKEN_CHARACTERS:
        shown = f"{shown[: MAX_TOKEN_CHARACTERS - 1]}…"
    return html.escape(shown)


def _shade(error: float, low: float, high: float) -> float:
    """log10 of an error, within the colour scale."""
    if not math.isfinite(error):
        return high
    return min(max(math.log10(max(error, LOWEST)), low), high)


def _colours(tolerance_at: float) -> list[tuple[float, str]]:
    """The colour scale; `tolerance_at` is the tolerance's place in it, 0..1."""
    last = len(_WITHIN) - 1
    within = [(tolerance_at * i / last, colour) for i, colour in enumerate(_WITHIN)]
    return [*within, (tolerance_at, _BEYOND), (1.0, _BEYOND)]
