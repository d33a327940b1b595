"""Calls the page's HTTP endpoint `compare`, with an engine that is never started."""

import functools
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from app import EXAMPLES
from maxwhisper.audio.waveform import Waveform
from maxwhisper.engine import OURS
from maxwhisper.engines.pool import Device, EnginePool
from maxwhisper.engines.status import Cancelled
from maxwhisper.engines.timing import TimedTranscript
from maxwhisper.errors import EngineUnavailable
from maxwhisper.machine import describe
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import OnSegment, OnText
from maxwhisper.web.server.better_weights import BetterWeights
from maxwhisper.web.server.fair_use import FairUse, Limits
from maxwhisper.web.server.live_desk import LiveDesk
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.server.run_store import RunStore
from maxwhisper.web.server.uploads import Uploads
from maxwhisper.web.ui.race.api import COMPARE
from maxwhisper.web.ui.race.request import RACE_MODE, RACE_OPTIONS
from tools.options_table.entries import Absent, Settings


class RecordingPool(EnginePool):
    """Records in `received` the options that its engine would receive."""

    received: dict[str, Any]

    def use_model(self, model: str, cancelled: Cancelled) -> None:
        pass

    @contextmanager
    def device(self, cancelled: Cancelled) -> Iterator[Device]:
        yield RecordingDevice(self)


class RecordingDevice(Device):
    def __init__(self, pool: RecordingPool) -> None:
        self._pool = pool

    def transcribe(
        self,
        name: str,
        waveform: Waveform,
        options: TranscribeOptions,
        on_segment: OnSegment,
        on_text: OnText | None = None,
        *,
        mode: Mapping[str, Any] | None = None,
    ) -> TimedTranscript:
        self._pool.received = {**options.to_dict(), **(mode or {})}
        raise EngineUnavailable("this engine transcribes nothing")


class Endpoint:
    """The endpoint; `always` has the options that an engine receives by default."""

    def __init__(self, folder: Path) -> None:
        from maxwhisper.web.ui.page import PageParts, build_page

        self._folder, self._pool = folder, RecordingPool([OURS], ["demo"])
        queue = VisitorQueue(FairUse(Limits()))
        parts = PageParts(
            pool=self._pool,
            examples=[],
            catalogue=[],
            uploads=Uploads(folder),
            machine=describe(),
            runs=RunStore(folder / "runs", 1, 1),
            desk=LiveDesk(self._pool),
            queue=queue,
            weights=BetterWeights("", self._pool, queue),
        )
        page = build_page(parts)
        self._compare: Any = next(f.fn for f in page.fns.values() if f.api_name == COMPARE)
        self.always = self.ask()

    def ask(self, language: str = "en", **options: Any) -> dict[str, Any]:
        """The options that an engine receives."""
        upload = shutil.copy(EXAMPLES / "plain.flac", self._folder)
        asker = SimpleNamespace(client=SimpleNamespace(host="127.0.0.1"), session_hash="table")
        for _ in self._compare(asker, {"path": str(upload)}, language=language, options=options):
            pass  # progress and the answer
        return self._pool.received


@functools.cache
def endpoint() -> Endpoint:
    return Endpoint(Path(tempfile.mkdtemp()))


def api(settings: Settings, seed: int) -> dict[str, Any]:
    """The options that an engine receives. A setting that always holds needs no option."""
    server, taken = endpoint(), {"language", *RACE_OPTIONS, *RACE_MODE}
    values = {name: value for name, value in settings.items() if name in taken}
    for name in reversed(list(settings)):  # the option of the row comes last
        if name not in values and name not in server.always:
            raise Absent
        if name not in values and settings[name] != server.always[name]:
            raise Absent(f"always `{server.always[name]!r}`")
    return server.ask(**values)
