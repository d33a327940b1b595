"""The journal survives what kills its writer; a damaged line costs one recording."""

import pytest

from maxwhisper.archive.manifest import DONE, JOURNAL, Entry, Journal

ENTRIES = [Entry(f"/a/{n}.wav", DONE, key=str(n), files=(f"/o/{n}.txt",)) for n in range(3)]


@pytest.mark.parametrize("output", ["local", "memory://journal-test"])
def test_entries_are_read_back(tmp_path, output):
    output = str(tmp_path) if output == "local" else f"{output}-{tmp_path.name}"
    journal = Journal(output)
    for entry in ENTRIES:
        journal.add(entry)
    journal.add(Entry("/a/1.wav", "failed", reason="gone", tries=2))
    journal.close()
    again = Journal(output).entries
    assert list(again) == [entry.source for entry in ENTRIES]
    assert (again["/a/0.wav"], again["/a/2.wav"]) == (ENTRIES[0], ENTRIES[2])
    assert (again["/a/1.wav"].status, again["/a/1.wav"].tries) == ("failed", 2)


@pytest.mark.parametrize("damage", [b'{"source": "/a/9', b"\xff\x00 no JSON\n", b'{"status": 3}\n'])
def test_a_line_that_is_not_whole_is_left_out(tmp_path, damage):
    journal = Journal(str(tmp_path))
    journal.add(ENTRIES[0])
    journal.close()
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(damage)
    journal = Journal(str(tmp_path))
    assert list(journal.entries) == ["/a/0.wav"]
    journal.add(ENTRIES[1])  # does not join the damaged line
    journal.close()
    assert list(Journal(str(tmp_path)).entries) == ["/a/0.wav", "/a/1.wav"]
