"""Wherever a recording is given, what is wrong with it is said in the same words and place."""

import gradio as gr
import pytest
from fake_page import write_wav

from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.uploads import Uploads
from maxwhisper.ui.layers import layers_section
from maxwhisper.ui.race_inputs import race_inputs
from maxwhisper.ui.recorder import taken


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path)


def test_race_and_layers_have_a_place_of_refusals_each(uploads):
    with gr.Blocks() as page:
        race_inputs(uploads, ("demo",), ())
        layers_section(EnginePool(("maxwhisper",), ("demo",)), uploads, ())
    players = [block for block in page.blocks.values() if isinstance(block, gr.Audio)]
    assert {player.elem_id for player in players} == {"recording", "layers-recording"}
    assert all("recorder" in player.elem_classes for player in players), "recording.js finds it"
    for player in players:
        (place,) = [b for b in page.blocks.values() if b.elem_id == f"{player.elem_id}-refused"]
        assert f"'{player.elem_id}'" in place.js_on_load


def test_what_is_no_recording_goes_and_its_reason_stays_text(uploads, tmp_path):
    notes = tmp_path / "notes.wav"
    notes.write_text("nothing to hear")
    player, own, problem = taken(uploads, str(notes))
    assert (player, own) == (None, None)
    assert "got text: choose another file" in problem
    _, own, problem = taken(uploads, str(write_wav(tmp_path / "voice.wav")))
    assert own.name == "voice.wav"
    assert problem == ""
    assert taken(uploads, None)[1:] == (None, "")
