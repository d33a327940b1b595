"""The Live tab: live transcription of the microphone or of a clip.

In: a `LiveDesk`, the bundled clips, the uploads that decode them. Builds components and wires them;
`web/server/live_desk.py` gives the turns, `web/server/live_session.py` runs a session and limits
its time. `speak.js` owns the microphone, and the buttons Start and Stop.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import gradio as gr

from maxwhisper.audio.waveform import Waveform
from maxwhisper.engine import OURS
from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.status import Status
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.options import TranscribeOptions
from maxwhisper.web.server.live_desk import LiveDesk
from maxwhisper.web.server.live_session import MAX_LIVE_S, LiveSession, Ticket
from maxwhisper.web.server.uploads import Uploads
from maxwhisper.web.ui.errors import shown_errors
from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.examples import Example
from maxwhisper.web.ui.live.transcript import live_html, saved_html
from maxwhisper.web.ui.race.inputs import languages_of, usual_language
from maxwhisper.web.ui.templates import page_source, render
from maxwhisper.web.ui.weights import ShownWeights

CLIP_STEP_S = 0.125  # a clip is fed in steps of this length, in real time
REDRAW_S = 0.5  # the clock; new words are shown at once
REST_S = 0.1  # at least between two pictures
SAVE_S = 2.0  # the text for Copy and Save is this old at most
FINISH_S = 3.0  # after Stop, for the last words; a race may have the device for longer
# No limit: one handler transcribes, all others wait in line. A second start does not wait for the
# end of the first, which may have lost its connection.
_CLICK: dict[str, Any] = {"concurrency_limit": None, "trigger_mode": "multiple", **QUIET}

Shown = tuple[Any, Any]  # the transcript, and what can be saved of it


def live_tab(
    tab: gr.Tab,
    desk: LiveDesk,
    uploads: Uploads,
    examples: Sequence[Example],
    weights: ShownWeights,
) -> None:
    """Build the tab inside the current `gr.Tab`."""
    gr.HTML(render("live/intro.html", max_live_s=MAX_LIVE_S))
    with gr.Row(elem_classes="inputs"):
        with gr.Column(scale=2, min_width=300):
            offered = offered_languages(weights.pool, "en")
            language = gr.Dropdown(**offered, label="Spoken language", elem_id="live-language")
            speak = gr.HTML(
                render("live/speak.html"),
                js_on_load=page_source("microphone.js", "live/speak.js"),
                elem_id="live-speak",
            )
        with gr.Column(scale=3, min_width=300):
            shown = gr.HTML(live_html(None), elem_id="live")
            text = gr.HTML(saved_html(()), elem_id="live-text")
            save = gr.HTML(
                render("live/save.html"),
                js_on_load=page_source("live/save.js"),
                elem_id="live-save",
            )
    gr.HTML(render("live/clips.html"))
    with gr.Row(elem_classes="clips", elem_id="live-clips"):
        clips = [_clip_button(example) for example in examples]
    _wire_microphone(desk, speak, language, [shown, text])
    _wire_clips(desk, uploads, zip(clips, examples, strict=True), language, [shown, text])
    _wire_stop(desk, speak)

    def clear(request: gr.Request) -> Shown:
        owner = str(request.session_hash)
        desk.clear(owner)
        session = desk.of(owner)
        return live_html(session.view if session else None), saved_html(())

    save.clear(clear, None, [shown, text], **QUIET)

    def offer(chosen: str) -> Any:
        return gr.update(**offered_languages(weights.pool, chosen))

    gr.on([tab.select, weights.default.change], offer, [language], [language], **QUIET)


def offered_languages(pool: EnginePool, chosen: str) -> dict[str, Any]:
    """What the control of the language offers for the weights that our engine has now. `chosen`
    stays, if they know it."""
    model = pool.statuses().get(OURS, Status("starting")).model or pool.default_model
    choices = languages_of(model)
    is_known = chosen in {code for _, code in choices}
    value = chosen if is_known else usual_language(model)
    return {"choices": choices, "value": value, "interactive": len(choices) > 1}


def _clip_button(example: Example) -> gr.Button:
    return gr.Button(f"▶ {example.title}\n{example.duration_s:.0f} s", size="sm", min_width=140)


def _wire_stop(desk: LiveDesk, speak: gr.HTML) -> None:
    def halt(event: gr.EventData, request: gr.Request) -> None:
        token = str(event.token)
        session = desk.by_token(token) if token else desk.of(str(request.session_hash))
        if session is not None:
            session.finish()
            session.join(FINISH_S)
            if not session.is_over:
                session.stop("Stopped before the last words were transcribed.")

    speak.stop(halt, None, None, **QUIET)


def _wire_microphone(
    desk: LiveDesk, speak: gr.HTML, language: gr.Dropdown, outputs: list[Any]
) -> None:
    @shown_errors
    def listen(chosen: str, event: gr.EventData, request: gr.Request) -> Iterator[Shown]:
        session = desk.open(_ticket(request, str(event.token)), _options(chosen))
        try:
            yield from _follow(desk, session)
        finally:
            session.stop()  # the visitor closed the page

    speak.click(listen, [language], outputs, **_CLICK)


def _wire_clips(
    desk: LiveDesk,
    uploads: Uploads,
    clips: Iterable[tuple[gr.Button, Example]],
    language: gr.Dropdown,
    outputs: list[Any],
) -> None:
    def player(example: Example) -> Any:
        """The handler of one clip's button."""

        @shown_errors
        def play(chosen: str, request: gr.Request) -> Iterator[Shown]:
            waveform = uploads.waveform(example.path, is_upload=False)
            session = desk.open(_ticket(request), _options(chosen))
            try:
                threading.Thread(target=_play, args=(session, waveform), daemon=True).start()
                yield from _follow(desk, session)
            finally:
                session.stop()  # the visitor closed the page

        return play

    for button, example in clips:
        button.click(player(example), [language], outputs, **_CLICK)


def _play(session: LiveSession, clip: Waveform) -> None:
    """Feed a clip in real time, once its turn has come."""
    while session.view.phase == "in line":
        time.sleep(CLIP_STEP_S)
    step = int(CLIP_STEP_S * SAMPLE_RATE)
    due_s = time.monotonic()
    for first in range(0, len(clip), step):
        session.feed(clip[first : first + step])
        due_s += CLIP_STEP_S
        time.sleep(max(0.0, due_s - time.monotonic()))
        if session.is_complete:
            return
    session.finish()


def _follow(desk: LiveDesk, session: LiveSession) -> Iterator[Shown]:
    """Show the session until it is over, or the newer one of its page, below the earlier ones."""
    owner, saved_s = session.ticket.owner, 0.0
    while True:
        is_over = session.is_over
        earlier, view = desk.earlier(owner), (desk.of(owner) or session).view
        saved = gr.skip()
        if is_over or time.monotonic() - saved_s >= SAVE_S:
            saved, saved_s = saved_html([*earlier, view]), time.monotonic()
        yield live_html(view, earlier), saved
        if is_over:
            return
        time.sleep(REST_S)
        session.await_change(REDRAW_S)


def _ticket(request: gr.Request, token: str = "") -> Ticket:
    return Ticket(str(request.session_hash), request.client.host, token)


def _options(language: str) -> TranscribeOptions:
    """Greedy without fallback: temperature fallback would decode a step up to six times."""
    return TranscribeOptions(temperature=0.0, language=language or None)
