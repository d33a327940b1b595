"""The page's `compare`, which a program calls over HTTP, with an engine that is never started."""

import functools
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from app import EXAMPLES
from maxwhisper.engine import OURS, OnSegment, Waveform
from maxwhisper.errors import EngineUnavailable
from maxwhisper.machine import describe
from maxwhisper.options import TranscribeOptions
from maxwhisper.serving.fair_use import FairUse, Limits
from maxwhisper.serving.live import LiveDesk
from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.runs import RunStore
from maxwhisper.serving.status import Cancelled, TimedTranscript
from maxwhisper.serving.uploads import Uploads
from maxwhisper.ui.race_api import COMPARE, OPTIONS
from tools.options_table.entries import Absent, Settings


class RecordingPool(EnginePool):
    """`asked` is what its engine would be given."""

    asked: TranscribeOptions

    def use_model(self, model: str, cancelled: Cancelled) -> None:
        pass

    def transcribe(
        self,
        name: str,
        waveform: Waveform,
        options: TranscribeOptions,
        on_segment: OnSegment,
        cancelled: Cancelled,
    ) -> TimedTranscript:
        self.asked = options
        raise EngineUnavailable("nothing is transcribed here")


class Endpoint:
    """`always` is what an engine is given if nothing is asked for."""

    def __init__(self, folder: Path) -> None:
        from maxwhisper.ui.page import build_page

        self._folder, self._pool = folder, RecordingPool([OURS], ["demo"])
        runs, desk = RunStore(folder / "runs", 1, 1), LiveDesk(self._pool)
        fair = FairUse(Limits())
        page = build_page(self._pool, [], [], Uploads(folder), describe(), runs, desk, fair)
        self._compare: Any = next(f.fn for f in page.fns.values() if f.api_name == COMPARE)
        self.always = self.ask().to_dict()

    def ask(self, language: str = "en", **options: Any) -> TranscribeOptions:
        """The options that an engine is given."""
        upload = shutil.copy(EXAMPLES / "plain.flac", self._folder)
        asker = SimpleNamespace(client=SimpleNamespace(host="127.0.0.1"))
        for _ in self._compare({"path": str(upload)}, asker, language=language, options=options):
            pass  # how far it is, and what came of it
        return self._pool.asked


@functools.cache
def endpoint() -> Endpoint:
    return Endpoint(Path(tempfile.mkdtemp()))


def api(settings: Settings, seed: int) -> TranscribeOptions:
    """What an engine is given. What is always so need not be asked for."""
    door, taken = endpoint(), {"language", *OPTIONS}
    values = {name: value for name, value in settings.items() if name in taken}
    for name in reversed(list(settings)):  # the option in question comes last
        if name not in values and name not in door.always:
            raise Absent
        if name not in values and settings[name] != door.always[name]:
            raise Absent(f"always `{door.always[name]!r}`")
    return door.ask(**values)
