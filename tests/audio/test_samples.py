"""Samples in a temporary file equal those in memory, leave nothing behind and release memory."""

import mmap
import sys
import tempfile

import numpy as np
import pytest

from maxwhisper.audio import samples
from maxwhisper.audio.arrays import from_array
from maxwhisper.audio.load import decode
from maxwhisper.audio.samples import SampleStore, read_samples
from maxwhisper.errors import AudioError
from tests.fakes.audio_files import tone, wav


@pytest.fixture
def spill(monkeypatch, tmp_path):
    """Store more than 1000 samples in a file, in a folder that the test can inspect."""
    monkeypatch.setattr(samples, "IN_MEMORY_SAMPLES", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def stored(chunks, n_samples):
    store = SampleStore()
    for chunk in chunks:
        store.append(chunk)
    return store.finish(n_samples)


def in_file(waveform):
    return isinstance(waveform.base, mmap.mmap)


@pytest.mark.parametrize("n_samples", [4990, 5000, 5010])  # truncated, exact, padded with zeros
@pytest.mark.parametrize("size", [1, 700, 1000, 5000])
def test_file_and_memory_hold_the_same(size, n_samples, spill, monkeypatch):
    noise = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    chunks = [noise[at : at + size] for at in range(0, 5000, size)]
    on_disk = stored(chunks, n_samples)
    monkeypatch.setattr(samples, "IN_MEMORY_SAMPLES", 10_000)
    in_memory = stored(chunks, n_samples)
    assert (in_file(on_disk), in_file(in_memory)) == (True, False)
    assert on_disk.dtype == in_memory.dtype == np.float32
    np.testing.assert_array_equal(on_disk, in_memory)
    np.testing.assert_array_equal(on_disk, np.pad(noise, (0, 10))[:n_samples])


@pytest.mark.parametrize("sign", [1, -1])  # -1: the channels cancel, the left one is used
def test_long_recordings_decode_to_the_same_samples(sign, spill, monkeypatch):
    left = tone(44_100, 2.0)
    stereo = wav(np.stack([left, sign * left]), rate=44_100, as_float=True)
    on_disk = decode(stereo)
    monkeypatch.setattr(samples, "IN_MEMORY_SAMPLES", 1 << 20)
    in_memory = decode(stereo)
    assert (in_file(on_disk), in_file(in_memory)) == (True, False)
    np.testing.assert_array_equal(on_disk, in_memory)


def test_no_file_is_left_behind(spill):
    waveform = decode(wav())
    assert in_file(waveform)
    assert list(spill.iterdir()) == []


def test_a_long_waveform_is_not_copied_again(spill):
    waveform = decode(wav())
    assert from_array(waveform) is waveform


def test_no_room_for_the_file(spill):
    spill.rmdir()
    with pytest.raises(AudioError, match=r"cannot be written .*\. Split the recording") as caught:
        decode(wav())
    assert caught.value.code == "too_long"


def test_int16_is_divided_by_32768():
    pcm = np.array([-32768, -1, 0, 1, 32767], np.int16)
    np.testing.assert_array_equal(read_samples(pcm, 1, 5), pcm[1:] / np.float32(32768))


def test_reading_copies(spill):
    waveform = np.ones(10, np.float32)
    read_samples(waveform, 0, 10)[:] = 0
    assert waveform.all()


def resident_bytes_of_files():
    with open("/proc/self/smaps_rollup") as rollup:
        fields = dict(line.split(":", 1) for line in rollup if line.count(":") == 1)
    return (int(fields["Rss"].split()[0]) - int(fields["Anonymous"].split()[0])) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages in /proc")
def test_reading_releases_memory_and_keeps_the_samples(spill):
    noise = np.random.default_rng(0).standard_normal(8 << 20).astype(np.float32)  # 32 MiB
    waveform = stored([noise], len(noise))
    waveform[5] = 7.0  # a change to a page that is given back
    before = resident_bytes_of_files()
    assert waveform.sum() != 0  # the array alone leaves its pages in memory
    assert resident_bytes_of_files() - before > 24 << 20
    parts = [read_samples(waveform, at, at + (1 << 20)) for at in range(0, len(noise), 1 << 20)]
    assert resident_bytes_of_files() - before < 4 << 20
    noise[5] = 7.0
    np.testing.assert_array_equal(np.concatenate(parts), noise)
    np.testing.assert_array_equal(read_samples(waveform[3:20], 1, 4), noise[4:7])


def test_a_callers_private_mapping_is_left_alone(tmp_path):
    """Releasing pages of a copy-on-write mapping would undo the caller's writes."""
    path = tmp_path / "samples"
    path.write_bytes(bytes(4 * 5000))
    theirs = np.memmap(path, np.float32, mode="c")
    theirs[:] = 1.0
    assert read_samples(theirs, 0, 5000).all()
    assert theirs.all()
