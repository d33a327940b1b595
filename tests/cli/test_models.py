"""`models list | get | remove`: a whole life of downloaded weights, from a hub on this machine."""

import io
import json
import re
import sys

import pytest

from maxwhisper import cli
from maxwhisper.checkpoint import registry
from maxwhisper.cli.bar import download_bar
from tests.fakes.hub import hub_server

TUNED = "user/fine-tune"
CONFIG = {
    "model_type": "whisper",
    "num_mel_bins": 80,
    "max_source_positions": 1500,
    "d_model": 384,
    "encoder_attention_heads": 6,
    "encoder_layers": 4,
    "vocab_size": 51_865,
    "max_target_positions": 448,
    "decoder_attention_heads": 6,
    "decoder_layers": 4,
}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    for variable in ("MAXWHISPER_OFFLINE", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    with hub_server() as hub:
        weights = bytes(300_000)
        hub.repositories[TUNED] = {
            "config.json": json.dumps(CONFIG).encode(),
            "model.safetensors": weights,
        }
        hub.repositories["distil-whisper/distil-small.en"] = hub.repositories[TUNED]
        hub.repositories["user/chat"] = {
            "config.json": b'{"model_type": "llama"}',
            "model.safetensors": weights,
        }
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setattr(registry, "BASE_URL", f"{hub.url}/main/whisper/models")
        yield hub


@pytest.fixture
def run(tmp_path, capfd):
    """run(*arguments): (exit code, standard output, standard error) of a `models` command."""

    def go(*arguments):
        code = cli.main(["models", *arguments, "--cache_dir", str(tmp_path / "ours")])
        return code, *capfd.readouterr()

    return go


def test_get_list_and_remove(hub, run, tmp_path):
    folder = tmp_path / "ours" / "checkpoints" / "hub" / "user--fine-tune"
    code, out, err = run("get", TUNED, "distil-small.en")
    assert code == 0
    assert out.startswith(f"{TUNED}: our cache, 0 MB: {folder}\n")
    assert re.search(rf"^downloading {TUNED}: \d of \d MiB", err), "lines: this is no terminal"
    n_requests = len(hub.requests)

    code, out, _ = run()
    here, absent = out.split("Download with")
    assert code == 0
    assert re.search(r"^  demo .* M parameters .*bundled, \d+ MB.*\(the default\)$", here, re.M)
    assert re.search(rf"^  {TUNED} +37\.8 M parameters .*our cache, .*{folder}$", here, re.M)
    assert re.search(r"^  distil-small\.en .*distil-whisper/distil-small\.en in our", here, re.M)
    assert re.search(r"^  base\.en +72\.6 M parameters", absent, re.M)
    assert "user/fine-tune" not in absent
    rows = {row["name"]: row for row in json.loads(run("list", "--json")[1])["models"]}
    assert rows[TUNED]["place"]["path"] == str(folder)
    assert rows[TUNED]["place"]["where"] == "our cache"
    assert rows["base"]["place"] is None
    assert {rows[name]["graphs"] for name in ("demo", "tiny", TUNED)} <= {"ready", "packed", ""}

    code, out, _ = run("remove", TUNED, "base")
    assert (code, out) == (0, f"{TUNED}: removed 0 MB\nbase: not in our cache\n")
    assert not folder.exists()
    assert TUNED not in run("list")[1]
    assert len(hub.requests) == n_requests, "a list and a removal use no network"


def test_the_list_has_the_whisper_models_of_the_hugging_face_cache(hub, run, tmp_path):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    for repository in (TUNED, "user/chat"):
        for name in hub.repositories[repository]:
            huggingface_hub.hf_hub_download(
                repository,
                name,
                endpoint=hub.url,
                cache_dir=tmp_path / "caches" / "huggingface" / "hub",
                token=False,
            )
    out = run("list")[1]
    assert f"{TUNED} " in out
    assert "user/chat" not in out
    assert "the Hugging Face cache, 0 MB" in out
    out = run("remove", TUNED)[1]
    assert re.fullmatch(rf"{TUNED}: not in our cache\n  left in the Hugging Face cache, .*\n", out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["get"], "expected the name of a model after `models get`"),
        (["remove", "demo"], "expected the name of downloaded weights, got 'demo'"),
        (["list", "tiny"], "`models show` takes a name"),
        (["get", "user/nothing"], "there is no repository user/nothing"),
        (["get", "tinny"], "did you mean tiny"),
    ],
)
def test_what_cannot_be_done_is_one_line(hub, run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_terminal_shows_a_bar(hub, tmp_path, monkeypatch):
    from maxwhisper.checkpoint import get

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with download_bar() as draw:
        get(TUNED, cache_dir=tmp_path, on_download=draw)
    assert re.search(rf"{TUNED}: 100%\|.*\| 300k/300k .*[\d.]+[kMG]B/s\]", sys.stderr.getvalue())
    monkeypatch.setattr(sys, "stderr", Terminal())
    with download_bar():
        get("demo", cache_dir=tmp_path)
    assert sys.stderr.getvalue() == "", "nothing without a download"
