"""The bundled checkpoint: present, complete, small, with measured limits, never downloaded."""

import hashlib
import json
import shutil
import time
import urllib.request

import pytest

from maxwhisper.checkpoint import DEFAULT_MODEL, about, available, bundled, load
from maxwhisper.checkpoint.convert import save_hf
from maxwhisper.errors import CheckpointError

MAX_BYTES = 32 * 10**6  # of the whole folder in the tree


def test_the_default_model_is_the_bundled_one_and_quick():
    start = time.process_time()
    checkpoint = load()
    assert time.process_time() - start < 2
    assert DEFAULT_MODEL == checkpoint.name == "demo"
    assert checkpoint.dims == bundled.DIMS
    assert checkpoint.source == bundled.limits()
    assert checkpoint.place == "bundled"


def test_the_folder_is_complete_and_small():
    bundled.verify()
    files = [path for path in bundled.FOLDER.iterdir() if path.is_file()]
    names = {path.name for path in files}
    assert names == {*bundled.VERIFIED, bundled.TRAINING, bundled.EVALUATION, "README.md"}
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES


def test_the_card_and_the_record_describe_these_weights():
    evaluation = json.loads((bundled.FOLDER / bundled.EVALUATION).read_text())
    assert evaluation["checkpoint"] == load().digest
    card = (bundled.FOLDER / "README.md").read_text()
    training = json.loads((bundled.FOLDER / bundled.TRAINING).read_text())
    assert all(sha256 in card for sha256 in training["sha256"].values())


def test_it_is_listed_first():
    row = available()[0]
    assert row.name == "demo"
    assert (row.place.path, row.place.where) == (bundled.FOLDER, "bundled")
    assert row.place.n_bytes > 29e6


@pytest.fixture
def folder(v2, tmp_path, monkeypatch):
    """Replace the bundled network by a small one and forbid network access."""
    save_hf(v2, tmp_path)
    sha256 = {
        name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        for name in bundled.VERIFIED
    }
    (tmp_path / bundled.TRAINING).write_text(json.dumps({"sha256": sha256}))
    monkeypatch.setattr(bundled.read_demo, "__defaults__", (tmp_path,))
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("a download"))
    return tmp_path


def test_a_complete_folder_is_read(folder, v2, assert_same_weights):
    assert_same_weights(load("demo"), v2)


@pytest.mark.parametrize("name", bundled.VERIFIED)
def test_an_altered_file_is_reported_with_both_checksums(folder, name):
    path = folder / name
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(CheckpointError, match=f"{name} with sha256 {expected}, found {found}"):
        load("demo")


@pytest.mark.parametrize("name", bundled.VERIFIED)
def test_a_missing_file_is_reported_with_its_checksum_and_the_remedy(folder, name):
    path = folder / name
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    with pytest.raises(CheckpointError) as error:
        load("demo")
    assert f"{path} with sha256 {expected}, found no such file" in str(error.value)
    assert "git checkout -- maxwhisper/assets/demo" in str(error.value)


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"sha256": {}}'])
def test_an_unusable_record_is_reported(folder, content):
    (folder / bundled.TRAINING).unlink()
    if content is not None:
        (folder / bundled.TRAINING).write_text(content)
    with pytest.raises(CheckpointError, match=r"expected .*git checkout"):
        load("demo")


def test_a_missing_folder_is_an_error(folder):
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match=r"training\.json.*git checkout"):
        load("demo")


def test_limits_are_the_figures_of_the_evaluation(folder):
    assert "has not been measured" in bundled.limits(folder)
    rates = {"on clear synthetic English": 0.0523, "on people reading": 0.81}
    (folder / bundled.EVALUATION).write_text(json.dumps({"word_error_rates": rates}))
    said = bundled.limits(folder)
    assert said.endswith("word error rate 5 % on clear synthetic English, 81 % on people reading")
    assert "synthesised speech alone" in said


def test_every_model_has_a_sentence_about_it():
    assert about("demo") == f"demo is {bundled.limits()}."
    assert "OpenAI" in about("tiny")
    assert "unknown" in about("/home/someone/tuned.pt")
