"""Which models can be loaded, their tensors, and where they are cached."""

from pathlib import Path

import pytest

from maxwhisper.checkpoint import available, load, tensor_table
from maxwhisper.errors import CheckpointError, OutputError
from maxwhisper.paths import cache_root, package_folder


def test_models_are_listed(tmp_path):
    rows = {row.name: row for row in available(tmp_path)}
    assert (rows["tiny"].parameters, rows["tiny"].place) == (37_760_640, None)
    assert rows["turbo"].parameters == rows["large-v3-turbo"].parameters


def test_every_tensor_is_described(half):
    rows = tensor_table(half)
    assert [row.name for row in rows] == list(half.weights)
    assert {row.dtype for row in rows} == {"float16"}
    assert all(row.role for row in rows)


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(CheckpointError, match=r"'huge'.*tiny\.en"):
        load("huge", cache_dir=tmp_path)


def test_the_environment_sets_the_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("MAXWHISPER_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "maxwhisper"
    monkeypatch.setenv("MAXWHISPER_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"
    assert not list(tmp_path.iterdir())


def test_an_unwritable_cache_reports_what_to_do(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"a writable folder at .*file.*MAXWHISPER_CACHE"):
        load("tiny", cache_dir=tmp_path / "file")
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    with pytest.raises(OutputError, match="it exists, but is not writable"):
        load("tiny", cache_dir=tmp_path)


def test_other_packages_are_found_without_importing_them():
    assert (package_folder("whisper") / "assets" / "gpt2.tiktoken").is_file()
    assert package_folder("no_such_package") is None


def test_a_missing_home_folder_reports_what_to_set(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for variable in ("MAXWHISPER_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(OutputError, match="MAXWHISPER_CACHE"):
        cache_root()


def test_a_cache_of_a_user_without_a_home_reports_what_to_set(monkeypatch):
    monkeypatch.setenv("MAXWHISPER_CACHE", "~no_such_user/x")
    with pytest.raises(OutputError, match="the cache ~no_such_user/x, found none: set MAXWHISPER"):
        cache_root()
