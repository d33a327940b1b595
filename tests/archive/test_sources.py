"""Lists of recordings and addresses of object stores; a stand-in for a store is in memory."""

import fsspec
import pytest

from maxwhisper.archive.sources import find_all
from maxwhisper.errors import OptionError
from tests.fakes.audio_files import wav


@pytest.fixture
def store():
    files = fsspec.filesystem("memory")
    for name in ("a.wav", "deep/b.wav", "deep/notes.txt", ".hidden/c.wav"):
        files.pipe_file(f"/bucket/{name}", wav())
    yield files
    files.rm("/bucket", recursive=True)


def names(*given):
    return [source.address for source in find_all([str(name) for name in given])]


def test_an_address_is_all_recordings_below_it(store):
    found = find_all(["memory://bucket"])
    assert [source.address for source in found] == [
        "memory:///bucket/a.wav",
        "memory:///bucket/deep/b.wav",
    ]
    assert [str(source.subfolder) for source in found] == [".", "deep"]
    for pattern in ("*/*.wav", "deep/*.wav"):
        assert names(f"memory://bucket/{pattern}") == ["memory:///bucket/deep/b.wav"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("list.csv", "id,path\n1,a.wav\n2,/b/c.mp3\n3,s3://bucket/d.flac\n"),
        (
            "list.jsonl",
            '{"audio_filepath": "a.wav"}\n\n"/b/c.mp3"\n{"file": "s3://bucket/d.flac"}\n',
        ),
    ],
)
def test_a_list_names_recordings(tmp_path, monkeypatch, file, text):
    from maxwhisper.archive import sources

    monkeypatch.setattr(sources, "_remote", lambda address: iter([sources.Source(address)]))
    path = tmp_path / file
    path.write_text(text)
    assert names(path) == [str(tmp_path / "a.wav"), "/b/c.mp3", "s3://bucket/d.flac"]


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("list.csv", "id,title\n1,a\n", "expected one of the columns path"),
        ("list.jsonl", "{path: a}\n", "expected JSON in line 1"),
        ("list.csv", "\udcff", "expected UTF-8"),
    ],
)
def test_a_list_that_names_nothing_is_refused(tmp_path, file, text, reason):
    path = tmp_path / file
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(OptionError, match=reason):
        find_all([str(path)])


def test_a_missing_plugin_is_named(monkeypatch):
    from fsspec import core

    def refuse(address):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(core, "url_to_fs", refuse)
    with pytest.raises(OptionError, match="pip install s3fs"):
        find_all(["s3://bucket/folder"])
    monkeypatch.undo()
    with pytest.raises(OptionError, match="expected a path or an address"):
        find_all(["nothing://bucket/folder"])
