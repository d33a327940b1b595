"""The replay of a race: all engines start together, each as fast as it was.

In: a `Run`. Out: HTML with the recorded times in it; `replay.js` moves it, and without it the end
of the race is shown. No gradio.

Texts come by segment, not by token: CTranslate2 decodes a window in one call and tells nothing
before its end, and on a GPU our own step is looked at every eighth time. Tokens in two lanes beside
windows in the third would show how engines report, not how fast they are.
"""

import html
import json
from pathlib import Path

from maxwhisper.palette import colour
from maxwhisper.serving.race import LaneResult
from maxwhisper.serving.run import Run

JS = (Path(__file__).parent / "replay.js").read_text(encoding="utf-8")
MAX_TICKS = 200  # marks a track: more would be a grey bar
_SPEEDS = ((0.1, "1/10 speed"), (0.25, "1/4 speed"), (1, "real time"), (4, "4×"), (16, "16×"))


def replay_html(run: Run | None) -> str:
    """Controls, and a track for every engine with a result; nothing for no run or no result."""
    if run is None or not run.results:
        return ""
    end_s = max(result.shown_s for result in run.results)
    race = {"end_s": end_s, "lanes": [_lane(result) for result in run.results]}
    tracks = "".join(_track(result, end_s) for result in run.results)
    of_rounds = f" in the middle one of {run.rounds} rounds" if run.rounds > 1 else ""
    return (
        f'<section class="replay" aria-label="Replay of the race"'
        f' data-race="{html.escape(json.dumps(race))}">'
        f'<header><h3>Replay</h3><p class="hint">They ran one after the other. Here they start '
        f"together, on one clock, each as fast as it was{of_rounds}. Text appears when the engine "
        "gave it: a segment at a time, in every lane.</p></header>"
        f"{_controls(end_s)}{tracks}"
        '<p class="unseen" aria-live="polite"></p></section>'
    )


def _lane(result: LaneResult) -> dict[str, object]:
    """What the script needs: texts with the seconds at which they were known."""
    segments = zip(result.spoken_s, result.transcript.segments, strict=True)
    return {
        "engine": result.engine,
        "total_s": result.shown_s,
        "said": [[at_s, segment.text.strip()] for at_s, segment in segments],
    }


def _controls(end_s: float) -> str:
    speeds = "".join(f'<option value="{speed}">{name}</option>' for speed, name in _SPEEDS)
    return (
        '<div class="controls">'
        '<button type="button" class="play">Replay</button>'
        '<button type="button" class="restart">From the start</button>'
        f'<label>Speed <select class="speed">{speeds}</select></label>'
        f'<input type="range" class="position" aria-label="Seconds since the start" min="0"'
        f' max="{end_s:.3f}" step="any" value="{end_s:.3f}">'
        f'<output class="clock">{end_s:.2f} s</output></div>'
    )


def _track(result: LaneResult, end_s: float) -> str:
    name, total_s = html.escape(result.engine), result.shown_s
    ticks = "".join(
        f'<b style="left: {100 * at_s / end_s:.2f}%"></b>' for at_s in result.spoken_s[:MAX_TICKS]
    )
    text, percent = html.escape(result.transcript.text.strip()), 100 * total_s / end_s
    return (
        f'<div class="track" data-engine="{name}" style="--lane: {colour(result.engine)}">'
        f'<div class="name"><strong>{name}</strong><span class="progress">{total_s:.2f} s</span>'
        f'</div><div class="course"><i style="width: {percent:.2f}%"></i>{ticks}</div>'
        f'<p class="said">{text}</p></div>'
    )
