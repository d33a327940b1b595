"""The filterbank equals librosa, and any part of the hops equals the same part of all hops."""

import numpy as np
import pytest

from maxwhisper.audio.frames import hop_blocks, n_frames
from maxwhisper.network.dims import HOP_LENGTH, N_FFT, SAMPLE_RATE
from maxwhisper.network.mel_filters import dft_basis, hann_window, mel_filters
from maxwhisper.network.reference import log_mel_spectrogram


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


def test_the_window_is_librosas():
    """Periodic: a symmetric one is off by up to 0.8 %."""
    librosa = pytest.importorskip("librosa")
    want = librosa.filters.get_window("hann", 400, fftbins=True)
    np.testing.assert_allclose(hann_window(), want, atol=1e-12)


def test_the_basis_is_a_windowed_transform():
    """What the graph multiplies frames with, against numpy's transform."""
    librosa = pytest.importorskip("librosa")
    window = librosa.filters.get_window("hann", 400, fftbins=True)
    frames = np.random.default_rng(0).standard_normal((7, 400))
    want = np.fft.rfft(frames * window)
    got = frames @ dft_basis().astype(np.float64)
    np.testing.assert_allclose(got[:, :201] + 1j * got[:, 201:], want, atol=1e-5)


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("loudness", [1.0, 1e-5], ids=["loud", "at the floor"])
def test_the_reference_is_librosas(n_mels, loudness):
    """Swelling noise that ends in silence: the loud one reaches 8 below its peak, the faint one
    1e-10. Constants are written anew here, as in openai/whisper audio.py:110-157."""
    librosa = pytest.importorskip("librosa")
    waveform = np.random.default_rng(0).standard_normal(32_000) * np.linspace(0, loudness, 32_000)
    waveform[24_000:] = 0
    spectrum = librosa.stft(waveform, n_fft=400, hop_length=160, window="hann", pad_mode="reflect")
    filters = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=n_mels).astype(np.float64)
    power = filters @ np.abs(spectrum[:, :-1]) ** 2
    logs = np.log10(np.maximum(power, 1e-10))
    want = (np.maximum(logs, logs.max() - 8.0) + 4.0) / 4.0
    got = log_mel_spectrogram(waveform, n_mels)
    assert got.shape == (200, n_mels)
    np.testing.assert_allclose(got, want.T, atol=1e-9)


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
