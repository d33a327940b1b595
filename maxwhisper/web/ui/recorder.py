"""The player in which a visitor uploads or records, with the place for its errors below.

`recorder.js` lets it take any file and checks the size; the server checks everything else. Both
show their messages in the same place.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from maxwhisper.errors import AudioError
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.palette import GOOD, GREY
from maxwhisper.web.server.uploads import Uploads
from maxwhisper.web.ui.errors import problem_html

# Shows the refusals of recorder.js, whose text contains no markup. The next recording clears it.
_REFUSE_JS = """document.addEventListener('refuse', event => {
  if (event.detail.place !== 'PLACE') return;
  props.value = BOX.replace('MESSAGE', event.detail.message);
});"""


DAMAGED = "This recording is damaged: no engine hears that part."


@dataclass(frozen=True)
class Recorder:
    """The two components."""

    audio: gr.Audio
    refused: gr.HTML  # why the last file was refused


def recorder(
    label: str, elem_id: str, *, visible: bool = True, has_microphone: bool = True
) -> Recorder:
    """Build them inside the current `gr.Blocks`."""
    audio = gr.Audio(
        sources=["upload", "microphone"] if has_microphone else ["upload"],
        type="filepath",  # with format=None: the file as uploaded; only we decode it
        format=None,
        editable=False,
        buttons=[],
        visible=visible,
        waveform_options=gr.WaveformOptions(
            waveform_color=GREY,
            waveform_progress_color=GOOD,
            # Microphone recordings are uploaded as wav at this rate. At Gradio's default, 44.1 kHz,
            # five minutes would exceed the upload limit, in stereo half of that.
            sample_rate=SAMPLE_RATE,
        ),
        label=label,
        show_label=has_microphone,
        elem_id=elem_id,
        elem_classes="recorder",
    )
    js = _REFUSE_JS.replace("PLACE", elem_id).replace("BOX", json.dumps(problem_html("MESSAGE")))
    return Recorder(audio, gr.HTML("", js_on_load=js, elem_id=f"{elem_id}-refused"))


def taken(uploads: Uploads, path: str | None) -> tuple[Any, Path | None, str]:
    """The visitor's own copy of the file in the player. Before it, the new value of the player;
    after it, that of the error place. A file that is no complete recording is removed from the
    player; one with a gap stays, and the place says what is lost."""
    if path is None:
        return gr.skip(), None, ""
    try:
        own = uploads.adopt(path)
        warning = uploads.check(own)
    except AudioError as error:
        return None, None, problem_html(str(error))
    return gr.skip(), own, problem_html(f"{warning} {DAMAGED}") if warning else ""
