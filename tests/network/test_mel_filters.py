"""The filterbank equals librosa, and any part of the hops equals the same part of all hops."""

import numpy as np
import pytest

from maxwhisper.audio.frames import hop_blocks, n_frames
from maxwhisper.network.dims import HOP_LENGTH, N_FFT, SAMPLE_RATE
from maxwhisper.network.mel_filters import mel_filters


def whole(waveform, padding):
    """Return all hops at once, (T + 2, 160), padded by numpy."""
    padded = np.pad(np.pad(waveform, (0, padding)), N_FFT // 2, mode="reflect")
    rows = n_frames(waveform, padding) + 2
    return padded[: rows * HOP_LENGTH].reshape(rows, HOP_LENGTH)


@pytest.mark.parametrize("n_mels", [80, 128])
def test_filters_are_librosas_bit_for_bit(n_mels):
    librosa = pytest.importorskip("librosa")
    want = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=n_mels)
    np.testing.assert_array_equal(mel_filters(n_mels), want)


@pytest.mark.parametrize("padding", [0, 1, 480])
@pytest.mark.parametrize("n_samples", [160, 161, 200, 201, 320, 399, 400, 1600, 4799, 4800, 4801])
def test_any_part_equals_that_of_the_whole(n_samples, padding):
    waveform = np.random.default_rng(n_samples).standard_normal(n_samples).astype(np.float32)
    want, n = whole(waveform, padding), n_frames(waveform, padding)
    for start in range(n):
        for stop in range(start + 1, n + 1):
            got = hop_blocks(waveform, padding, start, stop)
            np.testing.assert_array_equal(got, want[start : stop + 2], f"{start}:{stop}")


@pytest.mark.parametrize("n_samples", [0, 1, 159])
def test_very_short_waveforms_with_padding(n_samples):
    waveform = np.full(n_samples, 0.5, np.float32)
    got = hop_blocks(waveform, 480, 0, n_frames(waveform, 480))
    np.testing.assert_array_equal(got, whole(waveform, 480))


def test_int16_is_read_as_fractions():
    pcm = np.random.default_rng(0).integers(-32768, 32768, 1600).astype(np.int16)
    want = whole(pcm / np.float32(32768), 0)
    np.testing.assert_array_equal(hop_blocks(pcm, 0, 0, 10), want)
