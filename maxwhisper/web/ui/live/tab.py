"""The Live tab: live transcription of the microphone or of a clip.

In: a `LiveDesk`, the bundled clips, the uploads that decode them. Builds components and wires them;
`web/server/live_session.py` runs a session and limits its time.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from maxwhisper.audio.waveform import Waveform
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.languages import LANGUAGES
from maxwhisper.web.server.live_session import (
    MAX_LIVE_S,
    LiveDesk,
    LivePhase,
    LiveSession,
    LiveView,
)
from maxwhisper.web.server.uploads import Uploads
from maxwhisper.web.ui.errors import shown_errors
from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.examples import Example
from maxwhisper.web.ui.templates import render

CLIP_STEP_S = 0.25  # a clip is fed in steps of this length, in real time
REDRAW_S = 0.25
MAX_LAG_S = 10.0  # a full lag meter
FINISH_S = 3.0  # after Stop, for the last words; a race may have the device for longer
# No limit: one handler transcribes, all others answer at once that Live is in use.
_CLICK: dict[str, Any] = {"concurrency_limit": None, **QUIET}

Shown = tuple[str, gr.Button]  # the transcript, Stop

_PHASES: dict[LivePhase, str] = {
    "opening": "○ starting",
    "listening": "● listening",
    "waiting": "◌ waiting for a race",
    "finishing": "○ finishing",
    "over": "■ ended",
}
_JS = (Path(__file__).parent / "live.js").read_text(encoding="utf-8")


def live_tab(desk: LiveDesk, uploads: Uploads, examples: Sequence[Example]) -> None:
    """Build the tab inside the current `gr.Blocks`."""
    gr.HTML(render("live/intro.html", max_live_s=MAX_LIVE_S))
    with gr.Row(elem_classes="inputs"):
        with gr.Column(scale=2, min_width=300):
            language = gr.Dropdown(
                [("Detect", ""), *((name.title(), code) for code, name in LANGUAGES.items())],
                value="en",
                label="Spoken language",
                elem_id="live-language",
            )
            speak = gr.HTML(render("live/speak.html"), js_on_load=_JS, elem_id="live-speak")
            stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="live-stop")
        with gr.Column(scale=3, min_width=300):
            shown = gr.HTML(live_html(None), elem_id="live")
    gr.HTML(render("live/clips.html"))
    with gr.Row(elem_classes="clips", elem_id="live-clips"):
        clips = [_clip_button(example) for example in examples]
    _wire_microphone(desk, speak, language, [shown, stop])
    _wire_clips(desk, uploads, examples, clips, language, [shown, stop])

    def halt(request: gr.Request) -> None:
        session = desk.of(str(request.session_hash))
        if session is not None:
            session.finish()
            session.join(FINISH_S)
            if not session.is_over:
                session.stop("Stopped before the last words were transcribed.")

    stop.click(halt, None, None, **QUIET)


def _clip_button(example: Example) -> gr.Button:
    return gr.Button(f"▶ {example.title}\n{example.duration_s:.0f} s", size="sm", min_width=140)


def _wire_microphone(
    desk: LiveDesk, speak: gr.HTML, language: gr.Dropdown, outputs: list[Any]
) -> None:
    @shown_errors
    def listen(chosen: str, event: gr.EventData, request: gr.Request) -> Iterator[Shown]:
        owner = str(request.session_hash)
        session = desk.open(owner, _options(chosen), str(event.token))
        try:
            yield from _follow(desk, owner, session)
        finally:
            session.stop()  # the visitor closed the page

    speak.click(listen, [language], outputs, **_CLICK)


def _wire_clips(
    desk: LiveDesk,
    uploads: Uploads,
    examples: Sequence[Example],
    clips: Sequence[gr.Button],
    language: gr.Dropdown,
    outputs: list[Any],
) -> None:
    def player(example: Example) -> Any:
        """The handler of one clip's button."""

        @shown_errors
        def play(chosen: str, request: gr.Request) -> Iterator[Shown]:
            waveform = uploads.waveform(example.path, is_upload=False)
            owner = str(request.session_hash)
            session = desk.open(owner, _options(chosen))
            try:
                for _ in _play(session, waveform):
                    yield _shown(desk, owner, session)
                yield from _follow(desk, owner, session)
            finally:
                session.stop()  # the visitor closed the page

        return play

    for button, example in zip(clips, examples, strict=True):
        button.click(player(example), [language], outputs, **_CLICK)


def _play(session: LiveSession, waveform: Waveform) -> Iterator[None]:
    """Feed a clip in real time."""
    step = int(CLIP_STEP_S * SAMPLE_RATE)
    for first in range(0, len(waveform), step):
        if session.is_complete:
            break
        session.feed(waveform[first : first + step])
        yield
        time.sleep(CLIP_STEP_S)
    session.finish()


def _follow(desk: LiveDesk, owner: str, session: LiveSession) -> Iterator[Shown]:
    """Show the session until it is over."""
    while not session.is_over:
        yield _shown(desk, owner, session)
        session.join(REDRAW_S)
    yield _shown(desk, owner, session)


def _shown(desk: LiveDesk, owner: str, session: LiveSession) -> Shown:
    """The transcript, and Stop while the session runs; of the visitor's newer session, if there is
    one."""
    current = desk.of(owner) or session
    return live_html(current.view), gr.Button(interactive=not current.is_complete)


def _options(language: str) -> TranscribeOptions:
    """Greedy without fallback: temperature fallback would decode a step up to six times."""
    return TranscribeOptions(temperature=0.0, language=language or None)


def live_html(view: LiveView | None) -> str:
    """The transcript so far and the meters; None before the first session."""
    if view is None:
        return render("live/transcript.html", view=None)
    left_s = view.left_s
    factor = view.real_time_factor
    figures = {
        "state": _PHASES[view.phase],
        "lag": f"{view.lag_s:.1f} s",
        "speed": f"{1 / factor:.1f}× real time" if factor else "–",
        "time left": f"{int(left_s // 60)}:{int(left_s % 60):02d}",
    }
    return render(
        "live/transcript.html",
        view=view,
        figures=figures,
        max_lag_s=MAX_LAG_S,
        committed=view.committed.strip(),
        tentative=view.tentative.strip(),
    )
