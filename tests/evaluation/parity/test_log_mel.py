"""Log-mel: MAX graphs and numpy twin against openai-whisper, and oracle values of real clips."""

import numpy as np
import pytest

from maxwhisper.audio.frames import hop_blocks, n_frames
from maxwhisper.network import reference
from maxwhisper.network.dims import N_SAMPLES
from maxwhisper.options import TranscribeOptions
from maxwhisper.runtime.log_mel import BLOCK_FRAMES, LogMel

RECORDINGS = ("core/mr_quilter_ct2.npy", "core/jfk_ct2.npy")

# Computed in float64 from the same recordings, padded to 30 s. The mr_quilter row reproduces the
# published feature-extraction values for that sample to their rounding.
ORACLE = {
    # (recording, mels): frames, max, floor, mean, std, row 0 frames 0-4, row 40 frames 100-104
    (RECORDINGS[0], 80): (
        (585, 1.193973, -0.806027, -0.039230, 0.472705),
        (0.1193, -0.0946, -0.1098, -0.0196, 0.0225),
        (-0.1632, -0.1683, -0.0110, 0.1116, 0.1317),
    ),
    (RECORDINGS[0], 128): (
        (585, 1.239122, -0.760878, -0.051053, 0.466208),
        (0.0436, -0.1703, -0.1855, -0.0953, -0.0533),
        (0.6963, 0.4220, 0.5960, 0.7939, 0.6616),
    ),
    (RECORDINGS[1], 80): (
        (1100, 1.461258, -0.538742, 0.125139, 0.454357),
        (-0.5387,) * 5,
        (0.1450, 0.2390, 0.4062, 0.5323, 0.5616),
    ),
    (RECORDINGS[1], 128): (
        (1100, 1.493692, -0.506308, 0.106976, 0.441941),
        (-0.5063,) * 5,
        (0.6810, 0.7246, 0.5893, 0.5480, 0.3043),
    ),
}


@pytest.fixture(scope="module", params=["MAX", "numpy"])
def log_mel(request, engine):
    """log_mel(waveform, padding, n_mels) -> (T, n_mels)."""
    if request.param == "numpy":
        return "numpy", lambda x, padding, n: reference.log_mel_spectrogram(x, n, padding)
    network = engine.network
    banks = {n: LogMel(network.models, engine.placement, n) for n in (80, 128)}
    return "MAX", lambda x, padding, n: banks[n](x, padding)[:]


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("spoken", ["two_voices", "noisy", "tones", "talk"])
def test_equals_openai_whisper(spoken, n_mels, log_mel, clip, figure):
    from whisper.audio import log_mel_spectrogram

    name, transform = log_mel
    waveform = clip(spoken)
    want = log_mel_spectrogram(waveform, n_mels, padding=N_SAMPLES).numpy().T
    got = transform(waveform, N_SAMPLES, n_mels)
    assert got.shape == want.shape
    error = np.abs(got - want)
    figure(error.max(), 1e-4, f"log-mel {name} {spoken} {n_mels} mels: max abs")
    figure(error.mean(), 1e-6, f"log-mel {name} {spoken} {n_mels} mels: mean abs")


@pytest.mark.parametrize(("name", "n_mels"), ORACLE)
def test_oracle_values(name, n_mels, log_mel, recording):
    waveform = recording(name)
    (n_frames, peak, floor, mean, std), row_0, row_40 = ORACLE[name, n_mels]
    mel = log_mel[1](waveform, N_SAMPLES - len(waveform), n_mels)
    assert len(mel) == 3000
    content = mel[:n_frames]
    statistics = (mel.max(), mel.min(), content.mean(), content.std())
    np.testing.assert_allclose(statistics, (peak, floor, mean, std), atol=2e-5)
    np.testing.assert_allclose(mel[:5, 0], row_0, atol=1e-4)
    np.testing.assert_allclose(mel[100:105, 40], row_40, atol=1e-4)
    assert mel.max() - mel.min() <= 2.0 + 1e-5


@pytest.mark.parametrize("n_samples", [1, 159, 160, 200, 201, 1600, 8000])
def test_short_recordings(n_samples, log_mel, figure):
    waveform = np.random.default_rng(n_samples).standard_normal(n_samples).astype(np.float32)
    got = log_mel[1](waveform, N_SAMPLES, 80)
    want = reference.log_mel_spectrogram(waveform, 80, N_SAMPLES)
    assert len(got) == (n_samples + N_SAMPLES) // 160
    figure(np.abs(got - want).max(), 1e-4, f"log-mel {log_mel[0]} {n_samples} samples")


def test_floor_is_that_of_the_whole_recording(engine, figure):
    """Loud start, faint end, longer than one block: the end must sit at the loud part's floor."""
    rng = np.random.default_rng(0)
    waveform = rng.standard_normal(160 * (BLOCK_FRAMES + 3000)).astype(np.float32)
    waveform[160 * BLOCK_FRAMES :] *= 1e-6
    got = engine.network.log_mel(waveform, 0)[:]
    want = reference.log_mel_spectrogram(waveform, engine.dims.n_mels)
    assert got[-100:].max() == pytest.approx(got.min())
    figure(np.abs(got - want).max(), 1e-4, "log-mel of 90 s in blocks: max abs")


def eager(network, waveform, padding):
    """All blocks at once, all kept: what `LogMelSpectrogram` must equal bit for bit."""
    graphs, peaks, blocks = LogMel(network.models, network.placement, network.dims.n_mels), [], []
    for start in range(0, n_frames(waveform, padding), BLOCK_FRAMES):
        stop = min(start + BLOCK_FRAMES, n_frames(waveform, padding))
        block, peak = graphs.transform(hop_blocks(waveform, padding, start, stop))
        blocks.append(block)
        peaks.append(peak)
    peak = np.max(peaks, axis=0)
    return np.concatenate([graphs.normalize(block, peak) for block in blocks])


@pytest.mark.parametrize("kept_blocks", [1, 30])
@pytest.mark.parametrize("loudest_block", [0, 2])
def test_slices_equal_the_whole_bit_for_bit(kept_blocks, loudest_block, engine, monkeypatch):
    """Whatever is kept, wherever the maximum lies, in whatever order frames are asked for."""
    monkeypatch.setattr("maxwhisper.runtime.log_mel.CACHED_BLOCKS", kept_blocks)
    rng = np.random.default_rng(0)
    waveform = (1e-4 * rng.standard_normal(160 * (2 * BLOCK_FRAMES + 500))).astype(np.float32)
    waveform[160 * BLOCK_FRAMES * loudest_block :][:16_000] *= 1e4
    want = eager(engine.network, waveform, 0)
    mel = engine.network.log_mel(waveform, 0)
    assert len(mel) == len(want) == 2 * BLOCK_FRAMES + 500
    for start in (*range(0, len(mel), 3000), 11_999, 0, 6000, len(mel), 20_000):
        np.testing.assert_array_equal(mel[start : start + 3000], want[start : start + 3000])
    np.testing.assert_array_equal(mel[:], want)
    assert mel[7:7].shape == (0, engine.dims.n_mels)


def test_the_loud_last_frame_does_not_raise_the_floor(engine, figure):
    """The frame centred on the very end is dropped before the maximum is taken (audio.py:149)."""
    waveform = 1e-3 * np.random.default_rng(0).standard_normal(16_159).astype(np.float32)
    calm = engine.network.log_mel(waveform, 0)[:]
    waveform[-100:] *= 1e3  # frame 99, the last one kept, ends at sample 16 040
    np.testing.assert_array_equal(engine.network.log_mel(waveform, 0)[:], calm)
    want = reference.log_mel_spectrogram(waveform, engine.dims.n_mels)
    figure(np.abs(calm - want).max(), 1e-4, "log-mel before a loud end: max abs")


def test_anything_but_a_stretch_of_frames_is_refused(engine):
    mel = engine.network.log_mel(np.ones(1600, np.float32), 0)
    for wrong in (0, (None, slice(3)), slice(0, 10, 2)):
        with pytest.raises(TypeError, match=r"expected mel\[a:b\]"):
            mel[wrong]


def test_nothing_gives_no_frames(engine):
    assert engine.network.log_mel(np.zeros(0, np.float32), 0)[:].shape == (0, engine.dims.n_mels)


def test_a_long_recording_gives_the_same_transcript(engine, clip, monkeypatch):
    """Samples in a file and one block kept, or everything in memory: the same text and figures."""
    options = TranscribeOptions(language="en", sample_len=8, temperature=0.0)
    speech = np.resize(clip("plain"), 16_000 * 70)
    pcm = (32767 * speech).astype(np.int16)  # not a waveform yet: it is converted, and stored
    in_memory = engine.transcribe(pcm, options)
    monkeypatch.setattr("maxwhisper.audio.samples.IN_MEMORY_SAMPLES", 1000)
    monkeypatch.setattr("maxwhisper.runtime.log_mel.CACHED_BLOCKS", 1)
    on_disk = engine.transcribe(pcm, options)
    assert in_memory.segments
    assert on_disk.segments == in_memory.segments
