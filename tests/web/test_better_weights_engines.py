"""The page gets an official file by itself, and three real engines use it."""

import hashlib
import os
import time

import pytest

from maxwhisper.checkpoint import bundled
from tests.fakes.weights_site import serving
from tools.robustness.crowd import Clip, Visit, Visitor
from tools.robustness.page import ROOT, running_page

PATIENCE_S = 240.0
CLIP = Clip("plain.flac", (ROOT / "examples" / "clips" / "plain.flac").read_bytes())
# The registry of the page and of its engine processes: "tiny" is the file of the test.
REGISTRY = """
from maxwhisper.checkpoint import registry
from maxwhisper.network.dims import Dims

registry.BASE_URL = {url!r}
registry.OFFICIAL_MODELS["tiny"] = registry.OfficialModel(
    "tiny.pt", {sha256!r}, {dims!r}, {heads!r}
)
"""


@pytest.fixture(scope="module")
def official_file(tmp_path_factory):
    """The bundled network as a file of OpenAI's format, and its alignment heads."""
    torch = pytest.importorskip("torch")
    demo = bundled.read_demo()
    state = {name: torch.from_numpy(array.copy()) for name, array in demo.weights.items()}
    path = tmp_path_factory.mktemp("official") / "tiny.pt"
    torch.save({"dims": demo.dims.to_dict(), "model_state_dict": state}, path)
    return path.read_bytes(), demo.alignment_heads


def raced(page, number, model):
    """The texts of the three engines."""
    visitor, visit = Visitor(page.host, page.port, number), Visit(number, CLIP.name)
    visitor.model = model
    visitor.race(CLIP, visit)
    assert not visit.problem
    return visit.texts


def wait_for(page, line):
    until_s = time.monotonic() + PATIENCE_S
    while line not in page.log.read_text():
        assert time.monotonic() < until_s, f"expected {line!r}: {page.tail()}"
        time.sleep(0.2)


@pytest.mark.slow
def test_an_official_file_arrives_and_is_raced(official_file, tmp_path, monkeypatch):
    """The first start fetches it during a race on `demo`. The second finds it without a network."""
    content, heads = official_file
    with serving(monkeypatch, content, dims=bundled.DIMS, alignment_heads=heads) as site:
        patch = tmp_path / "patch" / "sitecustomize.py"  # Python imports it in every process
        patch.parent.mkdir()
        patch.write_text(
            REGISTRY.format(
                url=site.url,
                sha256=hashlib.sha256(content).hexdigest(),
                dims=bundled.DIMS,
                heads=heads,
            )
        )
        settings = {
            "PYTHONPATH": os.pathsep.join([str(patch.parent), str(ROOT)]),
            "MAXWHISPER_MODEL": "tiny",
            "HOME": str(tmp_path),  # no weights of this machine
            "XDG_CACHE_HOME": "",
            "HF_HOME": str(tmp_path / "hugging-face"),
            "HF_ENDPOINT": "http://127.0.0.1:9",  # a closed port: no Hub
        }
        site.pause_s = 0.01
        with running_page(tmp_path / "page", settings, arguments=()) as page:
            on_demo = raced(page, 1, "demo")
            wait_for(page, "tiny is the default model now")
            on_tiny = raced(page, 2, "tiny")
        assert len(set(on_demo.values())) == 1, on_demo
        assert on_tiny == on_demo  # the same weights under another name
        assert "".join(on_tiny.values()).strip()
        assert (tmp_path / "page" / "cache" / "checkpoints" / "tiny.pt").read_bytes() == content

        n_asked, site.is_dead = len(site.ranges), True
        with running_page(tmp_path / "page", settings, arguments=()) as page:
            assert raced(page, 3, "tiny") == on_tiny
        assert len(site.ranges) == n_asked
