"""How the page is started: shared with nobody unless it was asked for."""

from types import SimpleNamespace

import pytest

from maxwhisper.serving.fair_use import FairUse, Limits


@pytest.mark.parametrize(
    ("tunnel", "address"), [("https://x.example", "https://x.example"), (None, "http://127.0.0.1")]
)
@pytest.mark.parametrize("share", [True, False])
def test_the_page_is_shared_only_when_asked(tmp_path, share, tunnel, address):
    from maxwhisper.ui.page import serve_page

    asked = {}

    def launch(**settings):
        asked.update(settings)
        return None, "http://127.0.0.1", tunnel if settings["share"] else None

    uploads = SimpleNamespace(root=tmp_path)
    page = SimpleNamespace(launch=launch)
    fair = FairUse(Limits())
    got = serve_page(page, uploads, [], [], fair, host="127.0.0.1", port=1, share=share)
    assert asked["share"] is share
    assert got == (address if share else "http://127.0.0.1")
