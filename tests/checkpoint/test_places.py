"""Where weights are looked up on the disk, in which order, and what is removed."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest

from maxwhisper.checkpoint import find, get, load, places, remove
from maxwhisper.checkpoint.convert import save_hf
from maxwhisper.checkpoint.registry import ALIASES, HUB_REPOSITORIES, OFFICIAL_MODELS
from maxwhisper.errors import CheckpointError
from maxwhisper.paths import locked
from tests.fakes.hub import COMMIT, hub_server

CONTENT = bytes(range(256)) * 100
SMALL = "openai/whisper-small"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder without caches. `base` is an official model of 25 kB there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "MAXWHISPER_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setitem(OFFICIAL_MODELS, "base", replace(OFFICIAL_MODELS["base"], sha256=sha256))
    return tmp_path


@pytest.fixture(scope="module")
def model_folder(half, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tuned"
    save_hf(half, folder)
    return folder


@pytest.fixture
def put(home):
    """put(path): write the official file to a path in the home folder."""

    def write(path, content=CONTENT):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(content)
        return home / path

    return write


@pytest.fixture
def in_hf_cache(home, model_folder):
    """in_hf_cache(repository): let huggingface_hub itself download a network to its cache."""
    with hub_server() as hub:

        def write(repository, cache=".cache/huggingface/hub", revision="main"):
            hub.add_folder(repository, model_folder)
            for name in hub.repositories[repository]:
                path = huggingface_hub.hf_hub_download(
                    repository,
                    name,
                    endpoint=hub.url,
                    cache_dir=home / cache,
                    revision=revision,
                    token=False,
                )
            return Path(path).parent

        yield write


def test_the_first_place_wins(put, in_hf_cache, home):
    assert find("base") is None
    snapshot = in_hf_cache("openai/whisper-base")
    assert (find("base").path, find("base").where) == (snapshot, "the Hugging Face cache")
    theirs = put(".cache/whisper/base.pt")
    assert (find("base").path, find("base").where) == (theirs, "openai-whisper's cache")
    ours = put(".cache/maxwhisper/checkpoints/base.pt")
    assert (find("base").path, find("base").where) == (ours, "our cache")
    assert find("demo").where == "bundled"
    assert find("~/.cache/whisper/base.pt").where == "a path"
    assert find(Path("~/.cache/whisper/base.pt")).path == theirs
    assert {found.n_bytes for found in (find("base"), find(theirs))} == {len(CONTENT)}


def test_a_file_of_openai_whisper_must_be_the_published_one(put, home, monkeypatch, caplog):
    wrong = put(".cache/whisper/base.pt", CONTENT[:-1] + b"?")
    assert find("base") is None
    assert f"{wrong} is not the file that OpenAI published" in caplog.text
    wrong.write_bytes(CONTENT)
    assert find("base").path == wrong
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "elsewhere"))
    assert find("base") is None
    put("elsewhere/whisper/base.pt")
    assert find("base").where == "openai-whisper's cache"


@pytest.mark.parametrize("repository", HUB_REPOSITORIES["base"])
def test_the_hugging_face_cache_is_read_for_every_publisher(in_hf_cache, repository):
    in_hf_cache(repository)
    place = find("base")
    assert (place.name, place.repository) == ("base", repository)
    assert place.line.startswith(f"{repository} in the Hugging Face cache, ")


def test_the_hugging_face_cache_is_where_its_variables_say(in_hf_cache, home, monkeypatch):
    in_hf_cache(SMALL, "a/hub")
    in_hf_cache("user/x", "b")
    assert not find(SMALL)
    monkeypatch.setenv("HF_HOME", "~/a")
    assert find(SMALL)
    assert not find("user/x")
    monkeypatch.setenv("HF_HUB_CACHE", "$HOME/b")
    assert find("user/x")
    assert not find(SMALL)


def test_a_repository_loads_from_the_hugging_face_cache(in_hf_cache, half, assert_same_weights):
    snapshot = in_hf_cache("user/fine-tune")
    loaded = load("user/fine-tune")
    assert_same_weights(loaded, half)
    assert (loaded.name, loaded.digest) == ("user/fine-tune", half.digest)
    assert (
        loaded.source
        == "weights of the Hugging Face folder user/fine-tune in the Hugging Face cache"
    )
    assert loaded.place == "the Hugging Face cache"
    assert load(snapshot).name == "user/fine-tune", "never the hash of the snapshot"
    assert find(f"user/fine-tune@{COMMIT}").path == snapshot
    assert not find("user/fine-tune@v2")


def test_a_short_name_loads_what_faster_whisper_has_downloaded(
    home, half, monkeypatch, assert_same_weights, tmp_path
):
    """Systran's repositories are CTranslate2 folders."""
    pytest.importorskip("ctranslate2")
    from maxwhisper.checkpoint.convert_ctranslate2 import ctranslate2_dir

    heads = half.alignment_heads
    official = replace(OFFICIAL_MODELS["base"], dims=half.dims, alignment_heads=heads)
    monkeypatch.setitem(OFFICIAL_MODELS, "base", official)
    repository, name = "Systran/faster-whisper-base", "models--Systran--faster-whisper-base"
    snapshot = home / ".cache/huggingface/hub" / name / "snapshots" / COMMIT
    shutil.copytree(ctranslate2_dir(half, tmp_path / "made"), snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(COMMIT)
    loaded = load("base")
    assert_same_weights(loaded, half)
    assert (loaded.name, loaded.place) == ("base", f"{repository} in the Hugging Face cache")
    assert COMMIT not in loaded.source


def test_what_is_damaged_or_incomplete_there_is_not_used(in_hf_cache, caplog):
    snapshot = in_hf_cache("user/fine-tune")
    (snapshot / "README.md").write_text("not needed")
    weights = (snapshot / "model.safetensors").resolve()
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"?")
    assert find("user/fine-tune") is None
    assert "user/fine-tune is damaged and not used" in caplog.text
    weights.write_bytes(whole)
    assert find("user/fine-tune")
    config = (snapshot / "config.json").resolve()
    text = config.read_bytes()
    config.write_bytes(text + b" ")
    assert find("user/fine-tune") is None
    config.write_bytes(text)
    (snapshot / "model.safetensors").unlink()
    assert find("user/fine-tune") is None


def test_a_reference_out_of_the_cache_is_not_followed(in_hf_cache, model_folder):
    snapshot = in_hf_cache("user/fine-tune")
    (snapshot.parents[1] / "refs" / "main").write_text(str(model_folder))
    assert find("user/fine-tune") is None


def test_a_folder_of_an_official_name_is_loaded_by_its_path_alone(home, v2, monkeypatch):
    monkeypatch.chdir(home)
    save_hf(v2, home / "tiny")
    assert find("tiny") is None
    assert load("./tiny").digest == load(Path("tiny")).digest == v2.digest


def test_names_win_over_folders_and_paths_over_repositories(
    home, model_folder, in_hf_cache, monkeypatch
):
    monkeypatch.chdir(home)
    for name in ("base", "user/fine-tune"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).symlink_to(model_folder)
    in_hf_cache("user/fine-tune")
    assert find("base") is None
    assert find("./base").path == Path("base")
    assert find(Path("base")).where == "a path"
    assert find("user/fine-tune").where == "a path"
    assert find("hf://user/fine-tune").where == "the Hugging Face cache"


def test_remove_empties_our_cache_only(put, in_hf_cache, home):
    theirs = put(".cache/whisper/base.pt")
    in_hf_cache("Systran/faster-whisper-base")
    ours = [put(f".cache/maxwhisper/checkpoints/base.pt{end}") for end in ("", ".part")]
    other = put(".cache/maxwhisper/checkpoints/base.en.pt")
    removed = remove("base")
    assert removed.paths == tuple(ours)
    assert removed.n_bytes == 2 * len(CONTENT)
    assert [left.where for left in removed.left] == [
        "openai-whisper's cache",
        "the Hugging Face cache",
    ]
    assert [path.exists() for path in (*ours, theirs, other)] == [False] * 2 + [True] * 2
    assert remove("base").paths == ()
    for name in ("demo", str(theirs), "nonsense"):
        with pytest.raises(CheckpointError, match="expected the name of downloaded weights"):
            remove(name)


def test_what_another_process_downloads_is_not_removed(put):
    part = put(".cache/maxwhisper/checkpoints/base.pt.part")
    with (
        locked(part.with_suffix(".lock"), lambda: None),
        pytest.raises(CheckpointError, match="another process downloads base now"),
    ):
        remove("base")
    assert part.exists()
    assert remove("base").paths == (part,)


def test_what_an_interrupted_download_left_is_removed(home):
    parts = home / ".cache/maxwhisper/checkpoints/hub/user--x.parts/0123"
    parts.mkdir(parents=True)
    (parts / "model.safetensors.part").write_bytes(CONTENT)
    assert remove("user/x").n_bytes == len(CONTENT)
    assert not parts.parent.exists()


def test_an_unknown_name_lists_names_like_it(home):
    with pytest.raises(CheckpointError, match=r"'smol\.en'; did you mean small\.en.*known names"):
        get("smol.en")
    with pytest.raises(CheckpointError, match="expected the name of a model, a path"):
        get(home / "nothing.pt")


def test_every_official_name_has_repositories():
    assert set(OFFICIAL_MODELS) <= set(HUB_REPOSITORIES)
    for alias, name in ALIASES.items():
        assert HUB_REPOSITORIES[alias] == HUB_REPOSITORIES[name]
    firsts = [ids[0] for name, ids in HUB_REPOSITORIES.items() if name not in ALIASES]
    assert len(set(firsts)) == len(firsts)
    assert HUB_REPOSITORIES["large-v1"][0] == "openai/whisper-large", "OpenAI's name of large-v1"


def test_repositories_match_those_of_faster_whisper():
    """faster-whisper downloads its own names from these repositories."""
    utils = pytest.importorskip("faster_whisper.utils")
    for name, repository in utils._MODELS.items():
        assert repository in HUB_REPOSITORIES[name], name


def test_a_user_without_a_home_finds_nothing(monkeypatch):
    assert places.find("~no_such_user/x.pt") is None
