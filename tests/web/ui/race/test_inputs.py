"""What is given to a race: spoken, uploaded or chosen, and whether it is kept."""

from pathlib import Path

import gradio as gr
import pytest

from maxwhisper.engines.pool import EnginePool
from maxwhisper.options import WindowOptions
from maxwhisper.options.info import options_of
from maxwhisper.web.server.uploads import Uploads
from maxwhisper.web.ui.examples import Example
from maxwhisper.web.ui.race.inputs import AUTOMATIC, race_inputs, request_from
from maxwhisper.web.ui.race.request import RACE_MODE, RACE_OPTIONS, Source
from tests.fakes.page import write_wav


@pytest.fixture
def handlers(tmp_path):
    clip = Example(tmp_path / "clip.wav", "A <i>clip", "Seven words.", 2.0, "seven words")
    (tmp_path / "uploads").mkdir()
    with gr.Blocks() as page:
        race_inputs(Uploads(tmp_path / "uploads"), EnginePool(("maxwhisper",), ("demo",)), [clip])
    return {getattr(fn.fn, "func", fn.fn).__name__: fn.fn for fn in page.fns.values() if fn.fn}


def spoken(path):
    return gr.EventData(None, {"path": str(path)})


def test_what_is_spoken_is_kept_only_if_asked(handlers, tmp_path):
    path = write_wav(tmp_path / "uploads" / "recording.wav")
    player, source, _, run, problem, named, keep = handlers["hear"](False, spoken(path))
    assert (player, problem, keep) == (str(path), "", False)
    assert (source.name, source.is_upload, run.interactive) == ("My recording", True, True)
    assert source.is_spoken
    assert "My recording" in named
    again = write_wav(tmp_path / "uploads" / "again.wav")
    assert handlers["hear"](True, spoken(again))[-1] == gr.skip(), "the visitor asked"


@pytest.mark.parametrize("name", ["../elsewhere.wav", "/etc/hostname", "gone.wav"])
def test_only_an_upload_is_heard(handlers, tmp_path, name):
    write_wav(tmp_path / "elsewhere.wav")
    path = (tmp_path / "uploads").joinpath(name)
    player, source, _, run, problem, *_ = handlers["hear"](False, spoken(path))
    assert (player, source, run.interactive) == (None, None, False)
    assert "problem" in problem


def test_a_clip_is_named_and_marked(handlers):
    player, source, reference, run, problem, named, keep = handlers["choose"](False)
    assert keep is True, "in the same event: Run may be clicked before another one"
    assert (source.name, source.is_upload, reference) == ("A <i>clip", False, "seven words")
    assert 'data-clip="0"' in named
    assert "<strong>A &lt;i&gt;clip</strong> <span>2 s · Seven words.</span>" in named
    assert (run.interactive, problem) == (True, "")
    assert player.endswith("clip.wav")


@pytest.mark.parametrize(
    ("is_spoken", "keep", "has_kept", "is_kept"),
    [
        (True, True, False, False),  # the box still shows the answer for a clip
        (True, True, True, True),
        (True, False, True, False),
        (False, True, False, True),
        (False, False, True, False),
    ],
)
def test_a_race_of_speech_is_kept_only_by_the_visitors_own_choice(
    is_spoken, keep, has_kept, is_kept
):
    source = Source(Path("voice.wav"), is_upload=True, is_spoken=is_spoken)
    options = [{**RACE_OPTIONS, **RACE_MODE}[name].default for name in (*RACE_OPTIONS, *RACE_MODE)]
    request = request_from(source, "", AUTOMATIC, keep, has_kept, "demo", "en", *options)
    assert request.is_kept is is_kept


def test_the_page_describes_windows_as_the_options_do():
    assert RACE_MODE.keys() == options_of(WindowOptions).keys()
    for name, option in options_of(WindowOptions).items():
        refused = "; openai-whisper cannot do this and does not take part"
        assert RACE_MODE[name].info.help == option.info.help + refused
