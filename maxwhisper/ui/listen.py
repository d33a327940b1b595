"""The Listen & diff tab: hear the recording, follow every engine's words, see where they differ.

In: the store of runs. Out: HTML, drawn once per run when the tab is opened; `listen.js` moves it.
"""

import functools
import html
from pathlib import Path

import gradio as gr

from maxwhisper.scoring import normalize
from maxwhisper.serving.race import LaneResult
from maxwhisper.serving.run import Run
from maxwhisper.serving.runs import AUDIO_NAME, RunNotFound, RunStore
from maxwhisper.ui.diff import Column, align, count, diff_html
from maxwhisper.ui.doubts import legend_html, segments_html
from maxwhisper.ui.karaoke import karaoke_html
from maxwhisper.ui.sound import sound_html
from maxwhisper.ui.when_seen import LOADING, draw_when_seen
from maxwhisper.ui.words import joiner, split_words, text_language

BEFORE = (
    "Race a recording first: here you then hear it, follow each engine’s words as they are spoken, "
    "and see word by word where the engines differ."
)
SAID = "what was said"  # the first row of the comparison, where it is known
_JS = (Path(__file__).parent / "listen.js").read_text(encoding="utf-8")
_PICTURES_KEPT = 8  # a picture is some 50 kB of text


def listen_tab(tab: gr.Tab, store: RunStore, run_id: gr.State) -> None:
    """Build the tab inside the current `gr.Tab`. The picture comes by itself: the words need not
    wait for it."""

    @functools.lru_cache(_PICTURES_KEPT)
    def picture_of(shown_id: str) -> str:
        return sound_html(store.waveform(shown_id))

    def draw(run: Run | None) -> tuple[str, str]:
        if run is None:
            return f'<p class="before">{BEFORE}</p>', ""
        return player_html(run), words_html(run)

    def draw_picture(run: Run | None) -> str:
        try:
            return picture_of(run.id) if run is not None else ""
        except RunNotFound as error:  # the recording alone is gone
            return f'<p class="hint undrawn">{html.escape(str(error))}</p>'

    with gr.Column(elem_id="listen"):
        player = gr.HTML(LOADING)
        picture = gr.HTML("")
        words = gr.HTML("", js_on_load=_JS)
    draw_when_seen(tab, store, run_id, draw, [player, words])
    draw_when_seen(tab, store, run_id, draw_picture, [picture])


def player_html(run: Run) -> str:
    """The recording, to be heard."""
    return (
        f"<h3>{html.escape(run.audio_name)}</h3>"
        f'<audio controls preload="metadata" src="runs/{run.id}/{AUDIO_NAME}" '
        'aria-label="the recording"></audio>'
        '<p class="notice sound-gone" hidden>The sound cannot be loaded: the run may have been '
        "deleted, or too old to be kept. Race again.</p>"
        '<p class="hint drawing" role="status">Drawing the sound …</p>'  # until there is a picture
    )


def words_html(run: Run) -> str:
    """What every engine heard: words to follow, differences, segments."""
    voices = "".join(karaoke_html(r.engine, r.transcript, run.options) for r in run.results)
    tables = "".join(
        segments_html(r.engine, r.transcript.segments, run.options) for r in run.results
    )
    return (
        '<p class="hint">Click a word, a time or the picture to go there; '
        "in a lane, the arrow keys go from word to word.</p>"
        f'<div class="voices">{voices}</div>'
        f"<h3>Where they differ</h3>{comparison_html(run)}"
        f"<h3>How sure they were</h3>{legend_html(run.options)}{tables}"
    )


def comparison_html(run: Run) -> str:
    """Counts and the aligned texts; without text from two rows, the sentence that says so."""
    heard = [result for result in run.results if result.transcript.text.strip()]
    silent = [r.engine for r in run.results if r not in heard]
    who = "No engine found speech." if not heard else f"{' and '.join(silent)} found no speech."
    note = f'<p class="hint">{html.escape(who)}</p>' if silent else ""
    names, rows = _rows(run, heard)
    if len(rows) < 2:
        return note + '<p class="hint">There are no two texts to compare.</p>'
    columns = align(rows)
    language = text_language(heard[0].transcript, run.options)
    return (
        note
        + _counts(names, columns)
        + '<p class="hint">Where texts differ, the words of '
        + f"“{html.escape(names[0])}” stand on top, and under them, underlined, what another has "
        + "instead. Case and punctuation do not count.</p>"
        + diff_html(names, columns, joiner(language))
    )


def _rows(run: Run, heard: list[LaneResult]) -> tuple[list[str], list[list[str]]]:
    names = [result.engine for result in heard]
    languages = [text_language(r.transcript, run.options) for r in heard]
    rows = [
        split_words(r.transcript.text, language)
        for r, language in zip(heard, languages, strict=True)
    ]
    if not heard:
        return names, rows
    language = languages[0]
    if normalize(run.reference, language).strip():  # not where it says that nobody speaks
        names.insert(0, SAID)
        rows.insert(0, split_words(run.reference, language))
    return names, rows


def _counts(names: list[str], columns: list[Column]) -> str:
    """How far each text is from the first, in words."""
    items = []
    for row, name in enumerate(names[1:], start=1):
        found = count(columns, row)
        detail = f"{found.replaced} replaced, {found.missing} missing, {found.extra} extra"
        noun = "difference" if found.total == 1 else "differences"
        text = f"{found.total} {noun}: {detail}" if found.total else "the same words"
        items.append(
            f"<li><strong>{html.escape(name)}</strong> against {html.escape(names[0])}: {text}</li>"
        )
    return f'<ul class="counts">{"".join(items)}</ul>'
