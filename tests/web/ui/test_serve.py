"""How the page starts: it opens a public tunnel only on request."""

from types import SimpleNamespace

import pytest

from maxwhisper.engines.pool import EnginePool
from maxwhisper.web.server.better_weights import BetterWeights
from maxwhisper.web.server.fair_use import FairUse, Limits
from maxwhisper.web.server.live_desk import LiveDesk
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.server.run_store import RunStore
from maxwhisper.web.server.uploads import Uploads


@pytest.mark.parametrize(
    ("tunnel", "address"), [("https://x.example", "https://x.example"), (None, "http://127.0.0.1")]
)
@pytest.mark.parametrize("share", [True, False])
def test_the_page_is_shared_only_when_asked(tmp_path, share, tunnel, address):
    from maxwhisper.web.ui.page import PageParts, serve_page

    asked = {}

    def launch(**settings):
        asked.update(settings)
        return None, "http://127.0.0.1", tunnel if settings["share"] else None

    pool = EnginePool(("maxwhisper",), ("demo",))
    queue = VisitorQueue(FairUse(Limits()))
    parts = PageParts(
        pool=pool,
        examples=[],
        catalogue=[],
        uploads=Uploads(tmp_path),
        machine={},
        runs=RunStore(tmp_path / "runs", keep_days=7, keep_runs=20),
        desk=LiveDesk(pool),
        queue=queue,
        weights=BetterWeights("", pool, queue),
    )
    page = SimpleNamespace(launch=launch)
    got = serve_page(page, parts, host="127.0.0.1", port=1, share=share)
    assert asked["share"] is share
    assert got == (address if share else "http://127.0.0.1")
