"""The Live tab: speak, and read while you speak.

In: a `LiveDesk`, the bundled clips, the samples of a clip. Builds components and wires them; what a
session does, and how long it may, is `serving/live.py`.
"""

import html
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.engine import Waveform
from maxwhisper.languages import LANGUAGES
from maxwhisper.options import TranscribeOptions
from maxwhisper.serving.live import MAX_LIVE_S, LiveDesk, LivePhase, LiveSession, LiveView
from maxwhisper.serving.uploads import Uploads
from maxwhisper.ui.errors import shown_errors
from maxwhisper.ui.events import QUIET
from maxwhisper.ui.examples import Example

CLIP_STEP_S = 0.25  # how often a clip is given on, as if somebody spoke it
REDRAW_S = 0.25
LAG_SCALE_S = 10.0  # a full meter
QUEUE = "live"
FINISH_S = 3.0  # after Stop, for the last words; a race may have the device for longer
LISTENERS = 4  # so many visitors are told at once that one is live already

Shown = tuple[str, gr.Button]  # the text, Stop

_INTRO = (
    "maxwhisper alone, while you speak. Solid words are final: two hearings of the same sound "
    "agreed on them, or a pause ended them. Slanted, dotted words may still change."
)
_BOUNDS = (
    f"One visitor at a time, {MAX_LIVE_S / 60:.0f} minutes at most. A race goes first: while one "
    "runs or waits, the sound waits in memory and is read afterwards. It is not stored."
)
_INSECURE_NOTE = (
    "Browsers give a microphone only to pages served over https or from this machine itself: "
    "here, play a clip."
)
_STATES: dict[LivePhase, str] = {
    "opening": "○ opening",
    "listening": "● listening",
    "waiting": "◌ waiting for a race",
    "finishing": "○ finishing",
    "over": "■ over",
}
_SPEAK = (
    '<button type="button" class="speak">● Start speaking</button>'
    '<p class="hint" role="status">Your browser will ask for the microphone.</p>'
)
_JS = (Path(__file__).parent / "live.js").read_text(encoding="utf-8")


def live_tab(desk: LiveDesk, uploads: Uploads, examples: Sequence[Example]) -> None:
    """Build the tab inside the current `gr.Blocks`."""
    gr.HTML(
        f'<p class="hint">{_INTRO}</p><p class="hint">{_BOUNDS}</p>'
        f'<p class="hint insecure-only">{_INSECURE_NOTE}</p>'
    )
    with gr.Row(elem_classes="inputs"):
        with gr.Column(scale=2, min_width=300):
            speak = gr.HTML(_SPEAK, js_on_load=_JS, elem_id="live-speak")
            stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="live-stop")
            language = gr.Dropdown(
                [("Detect", ""), *((name.title(), code) for code, name in LANGUAGES.items())],
                value="en",
                label="Language spoken",
                elem_id="live-language",
            )
        with gr.Column(scale=3, min_width=300):
            shown = gr.HTML(live_html(None), elem_id="live")
    gr.HTML('<p class="hint">No microphone? Play a clip as if somebody spoke it:</p>')
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
                session.stop("stopped before the last words were read")

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
            yield from _until_over(desk, owner, session)
        finally:
            session.stop()  # the visitor closed the page

    speak.click(
        listen,
        [language],
        outputs,
        concurrency_limit=LISTENERS,
        concurrency_id=QUEUE,
        **QUIET,
    )


def _wire_clips(
    desk: LiveDesk,
    uploads: Uploads,
    examples: Sequence[Example],
    clips: Sequence[gr.Button],
    language: gr.Dropdown,
    outputs: list[Any],
) -> None:
    def player(example: Example) -> Any:
        """The handler of one clip's button; a function of its own, for gradio to read."""

        @shown_errors
        def play(chosen: str, request: gr.Request) -> Iterator[Shown]:
            waveform = uploads.waveform(example.path, is_upload=False)
            owner = str(request.session_hash)
            session = desk.open(owner, _options(chosen))
            try:
                for _ in _play(session, waveform):
                    yield _shown(desk, owner, session)
                yield from _until_over(desk, owner, session)
            finally:
                session.stop()  # the visitor closed the page

        return play

    for button, example in zip(clips, examples, strict=True):
        button.click(
            player(example),
            [language],
            outputs,
            concurrency_limit=LISTENERS,
            concurrency_id=QUEUE,
            **QUIET,
        )


def _play(session: LiveSession, waveform: Waveform) -> Iterator[None]:
    """Feed a clip at the speed of speech."""
    step = int(CLIP_STEP_S * SAMPLE_RATE)
    for first in range(0, len(waveform), step):
        if session.is_complete:
            break
        session.feed(waveform[first : first + step])
        yield
        time.sleep(CLIP_STEP_S)
    session.finish()


def _until_over(desk: LiveDesk, owner: str, session: LiveSession) -> Iterator[Shown]:
    while not session.is_over:
        yield _shown(desk, owner, session)
        session.join(REDRAW_S)
    yield _shown(desk, owner, session)


def _shown(desk: LiveDesk, owner: str, session: LiveSession) -> Shown:
    """The text, and Stop as long as there is anything to stop; of a later session of the same
    visitor, where there is one."""
    current = desk.of(owner) or session
    return live_html(current.view), gr.Button(interactive=not current.is_complete)


def _options(language: str) -> TranscribeOptions:
    """Greedy, without fallback: a step must not take five decodings."""
    return TranscribeOptions(temperature=0.0, language=language or None)


def live_html(view: LiveView | None) -> str:
    """The text so far, and the meters; None: nothing has begun."""
    if view is None:
        return (
            '<section class="live" aria-label="live transcript">'
            '<p class="empty">Your words appear here while you speak.</p></section>'
        )
    left_s = max(0.0, MAX_LIVE_S - view.received_s)
    return (
        f'<section class="live {view.phase}" aria-label="live transcript">{_meters(view, left_s)}'
        f'<p class="said" role="log" tabindex="0" aria-label="what was said">{_text(view)}</p>'
        f'<p class="hint" role="status">{html.escape(view.note)}</p></section>'
    )


def _meters(view: LiveView, left_s: float) -> str:
    lag_percent = 100 * min(view.lag_s / LAG_SCALE_S, 1)
    cells = (
        ("state", _STATES[view.phase]),
        ("lag", f"{view.lag_s:.1f} s"),
        ("computing per second", f"{view.real_time_factor:.2f} s"),
        ("time left", f"{int(left_s // 60)}:{int(left_s % 60):02d}"),
    )
    figures = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in cells)
    return (
        f'<dl>{figures}</dl><div class="lag" role="meter" aria-label="lag in seconds" '
        f'aria-valuemin="0" aria-valuemax="{LAG_SCALE_S:.0f}" '
        f'aria-valuenow="{min(view.lag_s, LAG_SCALE_S):.1f}">'
        f'<i style="width: {lag_percent:.0f}%"></i></div>'
    )


def _text(view: LiveView) -> str:
    committed, tentative = view.committed.strip(), view.tentative.strip()
    if not committed and not tentative:
        empty = "no speech heard" if view.phase == "over" else "listening for speech"
        return f'<span class="empty">{empty}</span>'
    parts = [html.escape(committed)]
    if tentative:
        parts.append(
            f'<i class="tentative"><span class="sr">not final: </span>{html.escape(tentative)}</i>'
        )
    return " ".join(parts)
