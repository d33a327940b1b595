"""Downloads of repositories and official files from a hub on this machine, with every fault."""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from maxwhisper.checkpoint import download, find, get, load, registry
from maxwhisper.checkpoint.convert import save_hf
from maxwhisper.checkpoint.hub_cache import Repository
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS, OfficialModel
from maxwhisper.errors import CheckpointError, OutputError
from tests.fakes.hub import COMMIT, hub_server

TUNED = "user/fine-tune"
OURS = "checkpoints/hub/user--fine-tune"


@pytest.fixture(scope="module")
def files(half, tmp_path_factory):
    """The files of a repository: a small network as `save_pretrained` writes it, and others."""
    folder = tmp_path_factory.mktemp("repository")
    save_hf(half, folder)
    for name in ("README.md", "pytorch_model.bin", "flax_model.msgpack", "model.fp32.safetensors"):
        (folder / name).write_bytes(b"not needed")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(files, monkeypatch):
    with hub_server() as hub:
        hub.repositories[TUNED] = dict(files)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(registry, "BASE_URL", f"{hub.url}/main/whisper/models")
        monkeypatch.setattr(download, "_WAITS_S", (0.0, 0.0))
        yield hub


def test_the_first_start_takes_what_is_needed_and_the_second_asks_for_nothing(
    hub, half, tmp_path, assert_same_weights
):
    states = []
    place = get(TUNED, cache_dir=tmp_path, on_download=states.append)
    assert (place.name, place.repository, place.where) == (TUNED, TUNED, "our cache")
    assert place.path == tmp_path / OURS
    asked = {request.path.rpartition("/")[2] for request in hub.requests if TUNED in request.path}
    assert asked == {"main", "config.json", "generation_config.json", "model.safetensors"}
    done = [state.done_bytes for state in states]
    assert done == sorted(done)
    assert done[-1] == states[-1].total_bytes > place.n_bytes * 0.99
    n_requests = len(hub.requests)
    loaded = load(TUNED, cache_dir=tmp_path)
    assert_same_weights(loaded, half)
    assert loaded.alignment_heads == half.alignment_heads
    assert (loaded.name, loaded.source) == (
        TUNED,
        f"weights of the Hugging Face folder {TUNED} in our cache",
    )
    assert find(TUNED, cache_dir=tmp_path) == find(f"hf://{TUNED}", cache_dir=tmp_path) == place
    assert len(hub.requests) == n_requests


def test_shards_and_a_revision(hub, half, files, tmp_path, assert_same_weights):
    from safetensors.numpy import load as read
    from safetensors.numpy import save

    tensors = read(files["model.safetensors"])
    names = sorted(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    index = {name: file for file, some in shards.items() for name in some}
    repository = hub.repositories[TUNED]
    del repository["model.safetensors"]
    repository["model.safetensors.index.json"] = (
        str({"weight_map": index}).replace("'", '"').encode()
    )
    for file, some in shards.items():
        repository[file] = save({name: tensors[name] for name in some})
    loaded = load(f"hf://{TUNED}@v2", cache_dir=tmp_path)
    assert_same_weights(loaded, half)
    assert loaded.name == f"{TUNED}@v2"
    assert find(TUNED, cache_dir=tmp_path) is None, "another revision"


def test_a_cut_connection_goes_on_where_it_broke(hub, files, tmp_path):
    hub.cuts = [1_000_000, 500_000]
    place = get(TUNED, cache_dir=tmp_path)
    first, second, third = hub.bodies("model.safetensors")
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in (second, third)]
    assert first is None
    assert 0 < starts[0] <= 1_000_000 < starts[1] + 1 <= starts[0] + 500_001
    assert (place.path / "model.safetensors").read_bytes() == files["model.safetensors"]


def test_a_stopped_download_goes_on_at_the_next_start(hub, files, tmp_path):
    class Stopped(Exception):
        pass

    def stop(state):
        if state.done_bytes > 1_000_000:
            raise Stopped

    hub.block_s = 0.02
    with pytest.raises(Stopped):
        get(TUNED, cache_dir=tmp_path, on_download=stop)
    assert find(TUNED, cache_dir=tmp_path) is None
    part = tmp_path / f"{OURS}.parts" / COMMIT / "model.safetensors.part"
    have = part.stat().st_size
    assert have > 500_000
    hub.block_s, states = 0.0, []
    get(TUNED, cache_dir=tmp_path, on_download=states.append)
    assert hub.bodies("model.safetensors") == [None, f"bytes={have}-"]
    assert states[0].done_bytes > have
    assert not part.parent.parent.exists()


def test_a_slow_download_says_its_speed_and_the_time_left(hub, tmp_path):
    hub.block_s, states, lines = 0.01, [], []
    get(TUNED, cache_dir=tmp_path / "lines", progress=lines.append)
    assert 1 <= len(lines) <= 3, "once a second"
    assert lines[0].startswith(f"downloading {TUNED}: ")
    get(TUNED, cache_dir=tmp_path, on_download=states.append)
    middle = states[len(states) // 2]
    assert 3 <= len(states) <= 12, "a few times a second"
    assert 1e5 < middle.bytes_per_s < 7e6, "64 KiB in 10 ms at best"
    assert middle.seconds_left > 0


def test_wrong_content_is_deleted_and_reported(hub, files, tmp_path):
    for wrong in ("config.json", "model.safetensors"):
        hub.wrong = wrong
        with pytest.raises(CheckpointError, match=f"{wrong} of {TUNED}.*another checksum.*try aga"):
            get(TUNED, cache_dir=tmp_path)
        assert find(TUNED, cache_dir=tmp_path) is None
        hub.wrong = ""
    place = get(TUNED, cache_dir=tmp_path)
    assert (place.path / "model.safetensors").read_bytes() == files["model.safetensors"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "manifest.json"])
def test_damage_on_the_disk_is_repaired(hub, files, tmp_path, name):
    path = get(TUNED, cache_dir=tmp_path).path / name
    path.write_bytes(b"?" + path.read_bytes()[1:])
    assert find(TUNED, cache_dir=tmp_path) is None
    assert get(TUNED, cache_dir=tmp_path).path / name == path
    if name in files:
        assert path.read_bytes() == files[name]


def test_a_dead_network_is_one_line(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # a closed port
    with pytest.raises(CheckpointError, match=r"cannot download user/fine-tune from http://127"):
        get(TUNED, cache_dir=tmp_path)


def test_an_official_name_comes_from_the_hub_if_openai_cannot_be_reached(
    hub, half, files, tmp_path, monkeypatch
):
    official = replace(OFFICIAL_MODELS["tiny"], dims=half.dims, alignment_heads=((0, 2),))
    monkeypatch.setitem(OFFICIAL_MODELS, "tiny", official)
    hub.repositories["openai/whisper-tiny"] = files
    lines = []
    place = get("tiny", cache_dir=tmp_path, progress=lines.append)
    assert (place.name, place.repository) == ("tiny", "openai/whisper-tiny")
    assert "OpenAI's address cannot be reached" in lines[0]
    loaded = load("tiny", cache_dir=tmp_path)
    assert (loaded.name, loaded.alignment_heads) == ("tiny", ((0, 2),)), "those that OpenAI states"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match=r"base\.pt .*copy it to"):
        get("base", cache_dir=tmp_path)


def test_an_official_file_is_asked_for_first(hub, files, tmp_path, monkeypatch):
    content = bytes(300_000)
    sha256 = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(
        OFFICIAL_MODELS, "tiny", OfficialModel("tiny.pt", sha256, OFFICIAL_MODELS["tiny"].dims, ())
    )
    hub.openai["tiny.pt"] = content
    hub.cuts = [100_000]
    place = get("tiny", cache_dir=tmp_path)
    assert place.path.read_bytes() == content
    assert place.repository == ""
    assert [request.path for request in hub.requests] == [
        f"/main/whisper/models/{sha256}/tiny.pt"
    ] * 2
    first, second = hub.bodies()
    assert (first, second[:6]) == (None, "bytes=")


def test_distilled_models_come_from_their_repository(hub, files, tmp_path):
    hub.repositories["distil-whisper/distil-small.en"] = files
    place = get("distil-small.en", cache_dir=tmp_path)
    assert (place.name, place.repository) == ("distil-small.en", "distil-whisper/distil-small.en")


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("opanai/whisper-smal", None, r"no repository opanai/whisper-smal .*did you mean small"),
        ("user/fine-tune@v9", None, "expected a branch, tag or commit of user/fine-tune .*got v9"),
        (TUNED, 503, r"answered 503 for user/fine-tune: try again later"),
        (TUNED, 429, r"answered 429"),
    ],
)
def test_a_refusal_is_one_line(hub, tmp_path, name, status, message):
    hub.status = status
    with pytest.raises(CheckpointError, match=message) as caught:
        get(name, cache_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_closed_repository_needs_a_token(hub, tmp_path, monkeypatch):
    hub.token = "hf_good"
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(CheckpointError, match=r"does not let you read user/fine-tune.*HF_TOKEN"):
        get(TUNED, cache_dir=tmp_path)
    with pytest.raises(CheckpointError, match=r"no repository .*or it is private.*HF_TOKEN"):
        get("user/secret", cache_dir=tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_bad")
    with pytest.raises(CheckpointError, match=r"does not let you read user/fine-tune \(403\)"):
        get(TUNED, cache_dir=tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert get(TUNED, cache_dir=tmp_path).path.is_dir()


def test_the_token_stays_with_the_hub(hub, tmp_path, monkeypatch):
    """Large files are redirected; the token must not follow to another host."""
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    get(TUNED, cache_dir=tmp_path)
    tokens = {
        request.path.split("/")[1]: request.token
        for request in hub.requests
        if TUNED in request.path
    }
    assert tokens == {"api": "Bearer hf_good", "user": "Bearer hf_good", "cdn": None}


@pytest.mark.parametrize(
    "setting", ["MAXWHISPER_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
)
def test_an_offline_setting_forbids_every_request(hub, tmp_path, monkeypatch, setting):
    monkeypatch.setenv(setting, "1")
    for name in (TUNED, "tiny"):
        with pytest.raises(CheckpointError, match=f"{name} is not on this disk, and an offline"):
            get(name, cache_dir=tmp_path)
    assert not any(hub.requests)
    monkeypatch.setenv(setting, "0")
    assert get(TUNED, cache_dir=tmp_path)
    monkeypatch.setenv(setting, "1")
    assert load(TUNED, cache_dir=tmp_path)


def test_a_full_disk_is_said_before_and_while(hub, tmp_path, monkeypatch):
    hub.openai["tiny.pt"] = bytes(300_000)
    sha256 = hashlib.sha256(hub.openai["tiny.pt"]).hexdigest()
    monkeypatch.setitem(OFFICIAL_MODELS, "tiny", replace(OFFICIAL_MODELS["tiny"], sha256=sha256))
    full = shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000)
    with monkeypatch.context() as little:
        little.setattr(shutil, "disk_usage", lambda _: full)
        for name in (TUNED, "tiny"):
            with pytest.raises(CheckpointError, match=r"MiB free in .*found 0: free some space"):
                get(name, cache_dir=tmp_path)
    parts = {
        TUNED: tmp_path / f"{OURS}.parts" / COMMIT / "model.safetensors.part",
        "tiny": tmp_path / "checkpoints" / "tiny.pt.part",
    }
    for name, part in parts.items():
        part.unlink(missing_ok=True)
        part.symlink_to("/dev/full")
        with pytest.raises(OutputError, match=r"cannot be saved in .*No space left on device"):
            get(name, cache_dir=tmp_path)


def test_another_network_is_refused_before_its_weights_come(hub, tmp_path):
    hub.repositories["user/chat"] = {
        "config.json": b'{"model_type": "llama"}',
        "model.safetensors": bytes(200_000),
    }
    with pytest.raises(CheckpointError, match="expected a Whisper model in user/chat, got 'llama'"):
        get("user/chat", cache_dir=tmp_path)
    assert hub.bodies() == []
    hub.repositories["user/notes"] = {"README.md": b"nothing"}
    with pytest.raises(CheckpointError, match=r"expected config.json with weights.*'README.md'"):
        get("user/notes", cache_dir=tmp_path)


def test_a_path_among_the_shards_is_refused(hub, tmp_path):
    repository = hub.repositories[TUNED]
    del repository["model.safetensors"]
    repository["model.safetensors.index.json"] = b'{"weight_map": {"a": "../../../evil"}}'
    repository["../../../evil"] = b"evil"
    with pytest.raises(CheckpointError, match="expected a list of shards"):
        get(TUNED, cache_dir=tmp_path)
    assert not list(tmp_path.rglob("evil"))


def test_without_the_package_the_error_names_it(hub, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match="pip install huggingface_hub"):
        get(TUNED, cache_dir=tmp_path)


def test_two_processes_download_once(hub, files, tmp_path):
    program = (
        "import sys, pathlib; from maxwhisper.checkpoint import get\n"
        "print(get(sys.argv[1], cache_dir=pathlib.Path(sys.argv[2]), progress=print).path)"
    )
    hub.block_s = 0.01
    command = [sys.executable, "-c", program, TUNED, str(tmp_path)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(2)
    ]
    lines = [process.communicate(timeout=60)[0].splitlines() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert [some[-1] for some in lines] == [str(tmp_path / OURS)] * 2
    assert hub.bodies("model.safetensors") == [None]
    path = tmp_path / OURS / "model.safetensors"
    assert path.read_bytes() == files["model.safetensors"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("openai/whisper-small", Repository("openai/whisper-small")),
        ("hf://user/fine-tune@v1.2", Repository("user/fine-tune", "v1.2")),
        ("user/x@refs/pr/1", Repository("user/x", "refs/pr/1")),
        *(
            (name, None)
            for name in ("tiny", "models/tiny.pt", "./user/x", "~/x", "a/b/c", "a--b/c")
        ),
        *(
            (name, None)
            for name in ("../x", "user/..", "user/x@../y", "/a/b", "a/b\n", "a/b@", "a--b/c")
        ),
    ],
)
def test_what_a_name_means(name, meant):
    from maxwhisper.checkpoint.hub_cache import parse

    assert parse(name) == meant
