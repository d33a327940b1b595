"""Children that decode give what `read` gives, and a file that ends one stops nothing else."""

import os
import time

import numpy as np
import pytest

from maxwhisper.audio import decoders
from maxwhisper.audio.decoders import Decoders
from maxwhisper.audio.load import decode
from maxwhisper.audio.samples import IN_MEMORY_SAMPLES, read_samples
from maxwhisper.errors import AudioError
from tests.fakes.audio_files import FRAGILE, encode, silent_flac, wav


def read(pool, path):
    return pool.read(path, max_seconds=1e5)


def test_samples_and_errors_are_those_of_read_and_the_child_is_kept(tmp_path):
    tone, cut = tmp_path / "tone.flac", tmp_path / "cut.wav"
    tone.write_bytes(encode("flac", "flac", seconds=20))
    cut.write_bytes(wav()[:9_000])
    with Decoders() as pool:
        np.testing.assert_array_equal(read(pool, tone).waveform, decode(tone))
        with pytest.raises(AudioError, match="states 96000 bytes") as caught:
            read(pool, cut)
        assert caught.value.code == "truncated"
        with pytest.raises(AudioError, match="longer than 2 s"):
            pool.read(tone, max_seconds=2)
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            waveform = read(pool, tone).waveform
            seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.2  # no start of a process
    waveform[0] = 0  # the caller's own memory


def test_a_long_recording_stays_in_a_file(tmp_path):
    long = tmp_path / "long.flac"
    long.write_bytes(silent_flac(0.6))
    n_open = len(os.listdir("/proc/self/fd"))
    with Decoders() as pool:
        waveform = read(pool, long).waveform
        want = decode(long)
        assert len(waveform) == len(want) > IN_MEMORY_SAMPLES
        for start in range(0, len(want), 16_000_000):
            stop = start + 16_000_000
            np.testing.assert_array_equal(read_samples(waveform, start, stop), want[start:stop])
        assert decoders.descriptor_of(waveform) is not None
    del waveform, want
    assert len(os.listdir("/proc/self/fd")) == n_open


@pytest.mark.parametrize("name", ["crash.wav", "hang.wav"])
def test_a_deadly_file_is_an_error_and_the_next_one_is_read(tmp_path, monkeypatch, name):
    monkeypatch.setattr(decoders, "_PROGRAM", FRAGILE)
    monkeypatch.setattr(decoders, "MIN_TIMEOUT_S", 5.0)
    monkeypatch.setattr(decoders, "TIMEOUT_SHARE", 0.0)
    for each in (name, "good.wav"):
        (tmp_path / each).write_bytes(wav())
    with Decoders() as pool:
        with pytest.raises(AudioError) as caught:
            read(pool, tmp_path / name)
        code = {"crash.wav": "decoder_crashed", "hang.wav": "timeout"}[name]
        assert caught.value.code == code
        assert len(read(pool, tmp_path / "good.wav").waveform) == 48_000


def test_nothing_is_left_after_close(tmp_path):
    path = tmp_path / "good.wav"
    path.write_bytes(wav())
    n_open = len(os.listdir("/proc/self/fd"))
    pool = Decoders(2)
    read(pool, path)
    pool.close()
    with pytest.raises(AudioError, match="stopped"):
        read(pool, path)
    assert len(os.listdir("/proc/self/fd")) == n_open
