"""The Listen & diff tab: hear the recording, follow each transcript, see the differences.

Input: the store of runs. Output: HTML, drawn once per run when the tab is opened; `listen.js`
connects it to the sound.
"""

import functools
from typing import Any

import gradio as gr
from markupsafe import Markup

from maxwhisper.engines.race import EngineResult
from maxwhisper.text.wer import normalize
from maxwhisper.text.words import joiner, split_words, text_language
from maxwhisper.web.server.run import Run
from maxwhisper.web.server.run_store import AUDIO_NAME, RunNotFound, RunStore
from maxwhisper.web.ui.lazy_tabs import Open, draw_when_seen, ways_to_a_run
from maxwhisper.web.ui.listen.confidence import legend_html, segments_html
from maxwhisper.web.ui.listen.diff import Counts, align, count, diff_html
from maxwhisper.web.ui.listen.karaoke import karaoke_html
from maxwhisper.web.ui.listen.waveform_plot import sound_html
from maxwhisper.web.ui.templates import page_source, render

BEFORE = (
    "Race a recording first. Here you can then play it, follow each transcript word by word, and "
    "see where the engines differ."
)
REFERENCE = "the correct transcript"  # name of the first row, where it is known
_MAX_PLOTS = 8  # in memory; each is about 50 kB of text


def listen_tab(tab: gr.Tab, store: RunStore, run_id: gr.State, open_run: Open) -> None:
    """Build the tab inside the current `gr.Tab`. The waveform is drawn by an event of its own, so
    that the words need not wait for it."""

    @functools.lru_cache(_MAX_PLOTS)
    def plot_of(shown_id: str) -> str:
        return sound_html(store.waveform(shown_id))

    def draw(run: Run | None) -> tuple[Any, ...]:
        if run is None:
            return render("listen/before.html", text=BEFORE), gr.Row(visible=True), ""
        return player_html(run), gr.Row(visible=False), words_html(run)

    def draw_plot(run: Run | None) -> str:
        try:
            return plot_of(run.id) if run is not None else ""
        except RunNotFound as error:  # only the recording is gone
            return render("listen/undrawn.html", reason=str(error))

    with gr.Column(elem_id="listen"):
        player = gr.HTML(render("loading.html"))
        ways = ways_to_a_run(store, open_run)
        plot = gr.HTML("")
        words = gr.HTML("", js_on_load=page_source("listen/listen.js"))
    draw_when_seen(tab, store, run_id, draw, [player, ways, words])
    draw_when_seen(tab, store, run_id, draw_plot, [plot])


def player_html(run: Run) -> str:
    """The player of the recording."""
    return render("listen/player.html", run=run, audio_name=AUDIO_NAME)


def words_html(run: Run) -> str:
    """Every transcript, the differences, and all segments with their confidence."""
    return render(
        "listen/words.html",
        voices=Markup("").join(
            Markup(karaoke_html(r.engine, r.transcript, run.options)) for r in run.results
        ),
        comparison=Markup(comparison_html(run)),
        legend=Markup(legend_html(run.options)),
        tables=Markup("").join(
            Markup(segments_html(r.engine, r.transcript.segments, run.options)) for r in run.results
        ),
    )


def comparison_html(run: Run) -> str:
    """Counts of differences and the aligned texts, or a sentence if there are not two texts."""
    heard = [result for result in run.results if result.transcript.text.strip()]
    silent = [r.engine for r in run.results if r not in heard]
    note = f"{' and '.join(silent)} found no speech." if silent else ""
    names, rows = _rows(run, heard)
    columns = align(rows) if len(rows) > 1 else []
    counts = [(name, _counted(count(columns, row))) for row, name in enumerate(names) if row]
    return render(
        "listen/comparison.html",
        silent=note if heard else "No engine found speech.",
        first=names[0] if names else "",
        counts=counts,
        diff=Markup(diff_html(names, columns, joiner(_language(run, heard[0]))) if columns else ""),
    )


def _language(run: Run, result: EngineResult) -> str:
    return text_language(result.transcript, run.options)


def _rows(run: Run, heard: list[EngineResult]) -> tuple[list[str], list[list[str]]]:
    """Names and words of the texts to compare, the correct transcript first where it is known."""
    names = [result.engine for result in heard]
    rows = [split_words(r.transcript.text, _language(run, r)) for r in heard]
    language = _language(run, heard[0]) if heard else ""
    if heard and normalize(run.reference, language).strip():  # not for `NOTHING_SAID`
        names.insert(0, REFERENCE)
        rows.insert(0, split_words(run.reference, language))
    return names, rows


def _counted(found: Counts) -> str:
    """How far a text is from the first, in words."""
    if not found.total:
        return "the same words"
    noun = "difference" if found.total == 1 else "differences"
    detail = f"{found.replaced} replaced, {found.missing} missing, {found.extra} extra"
    return f"{found.total} {noun}: {detail}"
