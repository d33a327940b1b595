"""Where a visitor gives a recording, and is told what is wrong with it.

In: a label, the folder of uploads. Out: a player that takes files and the microphone, and the place
of refusals under it. `recording.js` hands it any file, and says of one too large to be sent what is
said here of any other.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.errors import AudioError
from maxwhisper.serving.uploads import Uploads
from maxwhisper.ui.kept import problem_html

# What recording.js will not send; its words have no markup but ours. The next recording clears it.
_REFUSE_JS = """document.addEventListener('refuse', event => {
  if (event.detail.place !== 'PLACE') return;
  props.value = `<p class="problem" role="alert">${event.detail.words}</p>`;
});"""


@dataclass(frozen=True)
class Recorder:
    """The components: what was given, and what is wrong with it."""

    audio: gr.Audio
    refused: gr.HTML


def recorder(label: str, elem_id: str, *, visible: bool = True) -> Recorder:
    """Build them inside the current `gr.Blocks`."""
    audio = gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",  # with format=None: the untouched file, decoded by us alone
        format=None,
        editable=False,
        buttons=[],
        visible=visible,
        waveform_options=gr.WaveformOptions(
            waveform_color="#9a9488",
            waveform_progress_color="#0b7a55",
            # A microphone's recording is sent as wav of this rate: at gradio's own, 44.1 kHz, five
            # minutes would be too large to be sent, in stereo half of that.
            sample_rate=SAMPLE_RATE,
        ),
        label=label,
        elem_id=elem_id,
        elem_classes="recorder",
    )
    js = _REFUSE_JS.replace("PLACE", elem_id)
    return Recorder(audio, gr.HTML("", js_on_load=js, elem_id=f"{elem_id}-refused"))


def taken(uploads: Uploads, path: str | None) -> tuple[Any, Path | None, str]:
    """What the player holds as the visitor's own, with values for the player before it and for the
    place of refusals after it. What is no recording goes from the player too."""
    if path is None:
        return gr.skip(), None, ""
    try:
        return gr.skip(), uploads.adopt(path), ""
    except AudioError as error:
        return None, None, problem_html(str(error))
