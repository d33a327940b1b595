"""Below a finished race its link and its ZIP, and how long both work; above a recorded race its
origin.

Input: a `Run`. Output: HTML; `share_links.js` completes the address and copies it. Imports no
Gradio.
"""

from maxwhisper.evaluation.records import device_name, machine_line
from maxwhisper.web.server.run import Run
from maxwhisper.web.server.run_store import TEMPORARY_S, ZIP_NAME, RunStore
from maxwhisper.web.ui.dates import day
from maxwhisper.web.ui.templates import render

# Show a race that was opened further down the page.
SCROLL_JS = """watch('value', () =>
  element.querySelector('.recorded, .problem')?.scrollIntoView({block: 'nearest'}))"""

# Drop the problem of one recording when the next one is chosen.
CLEAR_JS = """banner => banner?.includes('class="problem"') ? '' : banner"""


def share_links_html(run: Run | None, store: RunStore, racing_id: str = "") -> str:
    """Link and download; empty without a run or without results, but for the id of a race that runs
    and will have a link: the address bar shows it."""
    if run is None or not run.results:
        return render("race/racing.html", id=racing_id) if racing_id else ""
    lifetime = (
        f"The link works for {store.keep_days} days; the server keeps the last {store.keep_runs} "
        "races. Anyone with the link can read the transcripts and hear the recording."
    )
    if store.is_recorded(run.id):
        lifetime = "This race comes with the page: its link does not expire."
    return render(
        "race/share_links.html",
        run=run,
        zip_name=ZIP_NAME,
        lifetime=lifetime,
        delete_after_min=TEMPORARY_S // 60 if store.is_temporary(run.id) else 0,
    )


def recorded_html(run: Run) -> str:
    """When, on what and with which settings a recorded race was measured."""
    rounds = f"{run.rounds} rounds" if run.rounds > 1 else "one round"
    facts = [f"{run.audio_s:.1f} s", f"model {run.model}", run.mode_name, rounds]
    settings = " · ".join([*filter(None, facts), machine_line(run.machine)])
    return render("race/recorded.html", run=run, settings=settings)


def recorded_name(run: Run) -> str:
    """The text of a recorded race's button: recording, hardware, day."""
    return f"{run.audio_name} · {run.audio_s:.0f} s · {device_name(run.machine)}, {day(run.when)}"
