"""The replay of a race: all engines start together and run at their measured speed.

Input: a `Run`. Output: HTML that holds the recorded times. `replay.js` moves it; without the script
it shows the end of the race. Imports no Gradio.

Text comes by segment, not by token. CTranslate2 decodes a window in one call and reports nothing
before its end, and on a GPU we look at our own step every eighth time. Tokens of two engines beside
windows of the third would show how engines report, not how fast they are.
"""

import json

from maxwhisper.engines.race import EngineResult
from maxwhisper.web.server.run import Run
from maxwhisper.web.ui.templates import render

MAX_TICKS = 200  # marks on a track; more would be a grey bar
_SPEEDS = ((0.1, "1/10 speed"), (0.25, "1/4 speed"), (1, "real time"), (4, "4×"), (16, "16×"))


def replay_html(run: Run | None) -> str:
    """Controls and one track per result; empty without a run or a result."""
    if run is None or not run.results:
        return ""
    end_s = max(result.shown_s for result in run.results)
    return render(
        "race/replay.html",
        race=json.dumps({"end_s": end_s, "engines": [_recorded(r) for r in run.results]}),
        results=run.results,
        rounds=run.rounds,
        end_s=end_s,
        speeds=_SPEEDS,
        max_ticks=MAX_TICKS,
    )


def _recorded(result: EngineResult) -> dict[str, object]:
    """What the script needs: each text with the second at which it was known."""
    segments = zip(result.spoken_s, result.transcript.segments, strict=True)
    return {
        "engine": result.engine,
        "total_s": result.shown_s,
        "said": [[at_s, segment.text.strip()] for at_s, segment in segments],
    }
