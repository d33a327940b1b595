"""Good recordings: every format has the right length and level and matches librosa."""

from pathlib import Path

import numpy as np
import pytest

from maxwhisper.audio.arrays import from_array
from maxwhisper.audio.load import decode
from tests.fakes.audio_files import encode, tone, wav

# file -> samples at 16 kHz, RMS, mean absolute value; recorded with PyAV 18.1, soxr 1.1.
RECORDED = {
    # PyAV 18.1 crashes when numpy reads 8 planes, so frames are packed first.
    "containers/8_channel_id.m4a": (129024, 0.00836, 0.00450),
    "containers/jfk_441khz.m4a": (176077, 0.14065, 0.07649),
    "containers/junkchunk16khz.wav": (131520, 0.06053, 0.03008),
    "containers/mono_8bit_44100.wav": (43920, 0.06639, 0.02927),
    "containers/multichannel.wav": (151404, 0.02871, 0.01742),
    "containers/sr_french.aiff": (40525, 0.08012, 0.04182),
    "containers/stereo_24bit_44100.wav": (43920, 0.06624, 0.02746),
    "containers/stereo_32bit_44100.wav": (43920, 0.06624, 0.02746),
    "containers/whatstheweatherlike-mulaw.wav": (32480, 0.08241, 0.03533),
    "containers/whatstheweatherlike.mp3": (32480, 0.08239, 0.03519),
    "core/hotwords.mp3": (64000, 0.08710, 0.05774),
    "core/jfk.flac": (176000, 0.14210, 0.07737),
    "core/jfk_whispercpp.mp3": (176000, 0.14210, 0.07738),
    "core/jfk_whispercpp.wav": (176000, 0.14210, 0.07737),
    "core/ls_test.flac": (106640, 0.23644, 0.15410),
    "core/multilingual.mp3": (958400, 0.05617, 0.03221),
    "core/stereo_diarization.wav": (80000, 0.02830, 0.01655),
    "longform/columbia.wma": (3180205, 0.02495, 0.01259),
}

# What PyAV can write: container, codec, muxer options. Lossy codecs pad by at most 0.05 s.
FORMATS = [
    ("wav", "pcm_s16le", {}),
    ("w64", "pcm_s24le", {}),
    ("aiff", "pcm_s16be", {}),
    ("caf", "pcm_s16le", {}),
    ("flac", "flac", {}),
    ("mp3", "libmp3lame", {}),
    ("adts", "aac", {}),
    ("ipod", "aac", {}),
    ("ipod", "alac", {}),
    ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    ("ogg", "libopus", {}),
    ("ogg", "flac", {}),
    ("webm", "libopus", {}),
    ("webm", "libopus", {"live": "1"}),  # no duration, as a browser's MediaRecorder writes it
    ("matroska", "libmp3lame", {"live": "1"}),  # FFmpeg guesses its length 4 % too long
    ("asf", "wmav2", {}),
]


def rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


@pytest.mark.parametrize("name", RECORDED)
def test_recording(shared_audio: Path, name: str) -> None:
    n_samples, expected_rms, expected_mean_abs = RECORDED[name]
    waveform = decode(shared_audio / name)
    assert (waveform.dtype, waveform.shape) == (np.float32, (n_samples,))
    assert rms(waveform) == pytest.approx(expected_rms, abs=1e-4)
    assert np.abs(waveform).mean() == pytest.approx(expected_mean_abs, abs=1e-4)
    assert np.abs(waveform).max() <= 1


def test_every_shared_recording_is_in_the_table(shared_audio: Path) -> None:
    files = [path for room in ("containers", "core") for path in (shared_audio / room).iterdir()]
    sounds = {f"{p.parent.name}/{p.name}" for p in files if p.suffix not in (".npy", ".json")}
    assert sounds <= RECORDED.keys()


def test_jfk_is_close_to_the_array_that_ctranslate2_tests_with(shared_audio: Path) -> None:
    core = shared_audio / "core"
    ours, theirs = decode(core / "jfk.flac"), np.load(core / "jfk_ct2.npy")
    difference = np.abs(ours - theirs)
    print(f"jfk: max {difference.max():.1e}, mean {difference.mean():.1e}")
    assert difference.max() < 2e-3  # another resampler from 44.1 kHz
    assert difference.mean() < 2e-5


@pytest.mark.parametrize(("container", "codec", "options"), FORMATS)
def test_format(container: str, codec: str, options: dict[str, str]) -> None:
    waveform = decode(encode(container, codec, options=options))
    assert len(waveform) == pytest.approx(96_000, abs=800)  # 6 s, and a codec's padding
    assert rms(waveform) == pytest.approx(0.3 / np.sqrt(2), rel=0.06)


@pytest.mark.parametrize("container", ["mp4", "matroska", "mov"])
def test_the_audio_of_a_video_is_decoded(container: str) -> None:
    waveform = decode(encode(container, "aac", with_picture=True))
    assert len(waveform) == pytest.approx(96_000, abs=800)


def test_the_format_follows_from_the_content(tmp_path: Path) -> None:
    path = tmp_path / "-i;really.wav"
    path.write_bytes(encode("mp3", "libmp3lame"))
    np.testing.assert_array_equal(decode(str(path)), decode(path.read_bytes()))


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 384_000])
def test_resampling_is_librosas_bit_for_bit(rate: int) -> None:
    librosa = pytest.importorskip("librosa")
    samples = np.random.default_rng(rate).normal(0, 0.1, rate + 137).astype(np.float32)
    expected = librosa.resample(samples, orig_sr=rate, target_sr=16_000, res_type="soxr_hq")
    decoded = decode(wav(samples, rate=rate, as_float=True))
    np.testing.assert_array_equal(decoded, np.clip(expected, -1, 1))
    np.testing.assert_array_equal(from_array(samples, rate), expected)


@pytest.mark.parametrize("stated_bytes", [0, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_streamed_wav_without_a_true_size(stated_bytes: int) -> None:
    assert len(decode(wav(stated_bytes=stated_bytes))) == 48_000


def test_channels_are_averaged() -> None:
    left, right = tone(16_000, 1.0), tone(16_000, 1.0, 1000)
    mixed = decode(wav(np.stack([left, right]), as_float=True))
    np.testing.assert_allclose(mixed, (left + right) / 2, atol=1e-7)


def test_channels_that_cancel_give_the_left_one() -> None:
    left = tone(16_000, 1.0)
    np.testing.assert_array_equal(decode(wav(np.stack([left, -left]), as_float=True)), left)


def test_loud_floats_are_clipped() -> None:
    waveform = decode(wav(tone(16_000, 1.0) * 1000, as_float=True))
    assert np.abs(waveform).max() == 1
