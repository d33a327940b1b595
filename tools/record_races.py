"""Record the races that come with the page: every engine on bundled clips, kept in results/races.

In: titles of clips. Out: a folder for each clip, replacing the one of the same clip, model and
hardware. The recording in it is a link to the clip, which has the same samples.

`python -m tools.record_races "Plain speech" "Talk" --rounds 3`
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from app import EXAMPLES, RECORDED
from maxwhisper import machine
from maxwhisper.checkpoint import DEFAULT_MODEL
from maxwhisper.engine import ENGINES, OURS
from maxwhisper.engines.pool import EnginePool
from maxwhisper.evaluation.records import device_name
from maxwhisper.options import TranscribeOptions
from maxwhisper.web.server.fair_use import FairUse, Limits
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.server.run import Run
from maxwhisper.web.server.run_store import RunStore
from maxwhisper.web.server.uploads import Uploads
from maxwhisper.web.ui.examples import Example, load_examples
from maxwhisper.web.ui.race.request import Request, Source
from maxwhisper.web.ui.race.runner import Runner

FOREVER = 10**6  # days and runs to keep


def main() -> None:
    clips = {clip.title: clip for clip in load_examples(EXAMPLES)}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("titles", nargs="+", choices=sorted(clips), metavar="title")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    names = sorted(ENGINES, key=OURS.__eq__)  # ours last, as on the page
    pool = EnginePool(names, [options.model], device=options.device)
    store = RunStore(RECORDED, FOREVER, FOREVER)
    with tempfile.TemporaryDirectory() as folder:
        queue = VisitorQueue(FairUse(Limits()))
        runner = Runner(pool, Uploads(Path(folder)), store, machine.describe(), queue)
        pool.start()
        try:
            for title in options.titles:
                record(runner, clips[title], options.model, options.rounds)
        finally:
            pool.close()


def record(runner: Runner, clip: Example, model: str, rounds: int) -> None:
    """Race once, as a visitor would. Ends the program if an engine fails or returns no text."""
    while not all(status.is_settled for status in runner.pool.statuses().values()):
        time.sleep(0.1)
    source = Source(clip.path, is_upload=False, name=clip.title)
    options = TranscribeOptions(temperature=0.0, language="en")
    *_, last = runner.run("record", Request(source, model, options, clip.text, rounds))
    run = last.run
    if run is None or run.refused or any(not r.transcript.text.strip() for r in run.results):
        if run is not None and run.results:
            runner.runs.delete(run.id)
        got = (run.refused if run is not None else last.problem) or "an empty one"
        sys.exit(f"{clip.title}: expected a text from every engine, got {got}")
    for earlier in RECORDED.iterdir():
        if earlier.name != run.id and is_earlier(earlier, runner.runs, run):
            shutil.rmtree(earlier)
    audio = runner.runs.audio_path(run.id)
    audio.unlink()
    audio.symlink_to(os.path.relpath(clip.path, audio.parent))
    medians = {result.engine: round(result.median_s, 3) for result in run.results}
    print(f"{audio.parent}: {clip.title}, {medians}", flush=True)


def is_earlier(folder: Path, store: RunStore, run: Run) -> bool:
    """Whether `folder` has a race of the same clip, model and hardware as `run`."""
    before = store.load(folder.name)
    same = (before.audio_name, before.model, device_name(before.machine))
    return same == (run.audio_name, run.model, device_name(run.machine))


if __name__ == "__main__":
    main()
