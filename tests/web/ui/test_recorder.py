"""Wherever a recording is given, what is wrong with it is said in the same words and place."""

import gradio as gr
import pytest

from maxwhisper.engines.pool import EnginePool
from maxwhisper.web.server.fair_use import FairUse, Limits
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.server.uploads import Uploads
from maxwhisper.web.ui.components.layers import layers_section
from maxwhisper.web.ui.race.inputs import race_inputs
from maxwhisper.web.ui.recorder import taken
from tests.fakes.page import write_wav


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path)


def test_race_and_layers_have_a_place_of_refusals_each(uploads):
    with gr.Blocks() as page:
        pool, queue = EnginePool(("maxwhisper",), ("demo",)), VisitorQueue(FairUse(Limits()))
        race_inputs(uploads, pool, ())
        layers_section(pool, queue, uploads, ())
    players = [block for block in page.blocks.values() if isinstance(block, gr.Audio)]
    assert {player.elem_id for player in players} == {"recording", "layers-recording"}
    assert all("recorder" in player.elem_classes for player in players), "recorder.js finds it"
    for player in players:
        (place,) = [b for b in page.blocks.values() if b.elem_id == f"{player.elem_id}-refused"]
        assert f"'{player.elem_id}'" in place.js_on_load


def test_what_is_no_recording_goes_and_its_reason_stays_text(uploads, tmp_path):
    notes = tmp_path / "notes.wav"
    notes.write_text("nothing to hear")
    player, own, problem = taken(uploads, str(notes))
    assert (player, own) == (None, None)
    assert "This is a text file, not audio. Choose" in problem
    _, own, problem = taken(uploads, str(write_wav(tmp_path / "voice.wav")))
    assert own.name == "voice.wav"
    assert problem == ""
    assert taken(uploads, None)[1:] == (None, "")
