"""Below a finished race: its link, its ZIP, how long both work; above a stored one: where it is
from.

In: a `Run`. Out: HTML, every string of it escaped; `kept.js` writes the whole address and copies
it. No gradio.
"""

import html
from pathlib import Path

from maxwhisper.records import device_name, machine_line
from maxwhisper.serving.run import Run
from maxwhisper.serving.runs import PASSING_S, ZIP_NAME, RunStore
from maxwhisper.ui.recorded import day, moment

JS = (Path(__file__).parent / "kept.js").read_text(encoding="utf-8")

# Who opens a link should see the race it is about, not the form above it.
SHOW_JS = "watch('value', () => element.querySelector('.recorded, .problem')?.scrollIntoView())"

# What went wrong with one recording is not said of the next.
NEXT_JS = """banner => banner?.includes('class="problem"') ? '' : banner"""

_IN_THE_ZIP = (
    "In the ZIP: each transcript as txt, srt, vtt, tsv and json, the recording, the chart, and "
    "run.json with everything measured."
)


def kept_html(run: Run | None, store: RunStore) -> str:
    """Link and download; nothing where there is no run, or none worth keeping."""
    if run is None or not run.results:
        return ""
    lasting = (
        f"The link works for {store.keep_days} days, for the last {store.keep_runs} races at most. "
        "Who has it sees the texts and hears the recording; nobody else does."
    )
    if store.is_passing(run.id):
        return (
            '<section class="kept" aria-label="This race is not kept"><h3>Not kept</h3>'
            f'<div class="row">{_download(run)}</div><p class="hint">You chose not to keep this '
            "race: texts and recording are deleted from this server when you close or reload the "
            f"page, after {PASSING_S // 60} minutes at the latest. {_IN_THE_ZIP}</p></section>"
        )
    if store.is_recorded(run.id):
        lasting = "This race came with the page: its link works as long as the page is there."
    return (
        '<section class="kept" aria-label="Keep this race"><h3>Keep it</h3><div class="row">'
        f'<input type="text" readonly class="address" value="?run={run.id}"'
        f' aria-label="Link to this race"><button type="button" class="copy">Copy link</button>'
        f"{_download(run)}</div>"
        f'<p class="hint">{lasting} {_IN_THE_ZIP}</p></section>'
    )


def _download(run: Run) -> str:
    return (
        f'<a class="download" href="runs/{run.id}/{ZIP_NAME}" download="maxwhisper-{run.id}.zip">'
        "Download everything (ZIP)</a>"
    )


def recorded_html(run: Run) -> str:
    """When and on what a stored race was measured, and that nothing of it is measured now."""
    rounds = f"{run.rounds} rounds" if run.rounds > 1 else "one round"
    settings = f"{run.audio_s:.1f} s · model {run.model} · {rounds} · {machine_line(run.machine)}"
    return (
        f'<p class="recorded"><strong>Measured on {moment(run.when)}, not now.</strong> Times and '
        f"texts below are of that day. “<bdi>{html.escape(run.audio_name)}</bdi>”, "
        f"{html.escape(settings).replace(' ·', '&nbsp;·')}</p>"
    )


def recorded_name(run: Run) -> str:
    """What a button for a stored race says: the recording, the hardware, the day."""
    return f"{run.audio_name} · {run.audio_s:.0f} s · {device_name(run.machine)}, {day(run.when)}"


def problem_html(message: str) -> str:
    """What went wrong and what to do, where the race would be."""
    return f'<p class="problem" role="alert">{html.escape(message)}</p>'
