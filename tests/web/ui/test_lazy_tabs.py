"""A tab that is drawn when somebody looks: the run, or why there is none."""

import gradio as gr
import pytest

from maxwhisper.web.server.run_store import RunStore
from maxwhisper.web.ui.lazy_tabs import draw_when_seen
from maxwhisper.web.ui.listen.tab import listen_tab
from tests.fakes.runs import make_run, waveform


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs", keep_days=7, keep_runs=20)


@pytest.fixture
def look(store):
    """A function that draws the tab of a run: what is in the first output, and the mark."""

    def draw(run):
        return (f"<p>{run.audio_name if run else 'nothing yet'}</p>", "more")

    with gr.Blocks() as page, gr.Tab("tab") as tab:
        outputs = [gr.HTML(""), gr.HTML("")]
        draw_when_seen(tab, store, gr.State(""), draw, outputs)
    select = next(f.fn for f in page.fns.values() if getattr(f.fn, "__name__", "") == "on_select")

    def look_at(run_id, shown=None):
        first, _, mark = select(run_id, shown)
        return first, mark

    return look_at


def test_a_run_is_drawn_once(look, store):
    run = make_run(audio_name="clip")
    store.save(run, waveform())
    first, mark = look(run.id)
    assert first == "<p>clip</p>"
    assert look(run.id, mark)[0] != first, "it is there already"
    assert look("")[0] == "<p>nothing yet</p>"


def test_a_run_that_is_gone_is_explained_where_it_would_be(look, store):
    run = make_run()
    store.save(run, waveform())
    store.delete(run.id)
    first, mark = look(run.id)
    assert first.startswith('<p class="problem" role="alert">This race is no longer available')
    assert "Race again" in first
    assert first.endswith("<p>nothing yet</p>"), "and what to do without a run"
    assert look(run.id, mark)[0] != first, "said once"


def test_a_picture_without_its_recording_says_so(store):
    run = make_run()
    store.save(run, waveform())
    store.audio_path(run.id).unlink()
    with gr.Blocks() as page, gr.Tab("tab") as tab:
        listen_tab(tab, store, gr.State(""), lambda button, run: None)
    drawn = [
        f.fn(run.id, None)[0]
        for f in page.fns.values()
        if getattr(f.fn, "__name__", "") == "on_select"
    ]
    assert "Drawing the waveform" in drawn[0]
    assert drawn[1].startswith('<p class="hint undrawn">This race is no longer available')
