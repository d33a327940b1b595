"""A recording of which a part is lost says so, in whatever container it is."""

import warnings

import numpy as np
import pytest

from maxwhisper.audio import resample
from maxwhisper.audio.arrays import from_array
from maxwhisper.audio.load import decode, decode_in_child, read
from maxwhisper.errors import AudioError, AudioWarning
from tests.fakes.audio_files import encode, tone, wav

SECONDS = 10.0
CONTAINERS = [
    ("webm", "libopus", {}),
    ("webm", "libopus", {"live": "1"}),
    ("matroska", "flac", {}),
    ("flac", "flac", {}),
    ("mp3", "libmp3lame", {}),
    ("adts", "aac", {}),
    ("ipod", "aac", {}),
    ("ogg", "libopus", {}),
    ("asf", "wmav2", {}),
]


def overwritten(data: bytes, start: float, stop: float) -> bytes:
    """The file with zeros from one share of its length to another."""
    a, b = round(start * len(data)), round(stop * len(data))
    return data[:a] + bytes(b - a) + data[b:]


def lost(text: str) -> float:
    """The seconds that a warning names."""
    return sum(float(word) for word in text.split() if word.replace(".", "").isdigit())


@pytest.mark.parametrize(("container", "codec", "options"), CONTAINERS)
def test_damage_in_the_middle_is_said(container: str, codec: str, options: dict[str, str]) -> None:
    data = overwritten(encode(container, codec, seconds=SECONDS, options=options), 0.45, 0.55)
    with pytest.warns(AudioWarning, match=r"s in the middle could not be decoded\.") as said:
        waveform = decode(data)
    assert len(said) == 1
    assert len(waveform) / 16_000 + lost(str(said[0].message)) == pytest.approx(SECONDS, abs=0.15)
    assert read(data).warning == str(said[0].message)


@pytest.mark.parametrize(("container", "codec", "options"), CONTAINERS)
def test_a_whole_recording_says_nothing(
    container: str, codec: str, options: dict[str, str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(decode(encode(container, codec, seconds=SECONDS, options=options))) > 150_000


@pytest.mark.parametrize(
    ("container", "codec"), [("w64", "pcm_s16le"), ("caf", "pcm_s16le"), ("asf", "wmav2")]
)
def test_a_cut_file_of_stated_length_is_truncated(container: str, codec: str) -> None:
    whole = encode(container, codec, seconds=SECONDS)
    with pytest.raises(AudioError, match="is truncated: it states") as caught:
        decode(whole[: len(whole) // 2])
    assert caught.value.code == "truncated"


def test_a_cut_mp3_is_truncated_where_it_counts_its_frames() -> None:
    whole = encode("mp3", "libmp3lame", seconds=SECONDS)
    with pytest.raises(AudioError, match=r"states 10\.0 s of audio but contains 5\.0"):
        decode(whole[: len(whole) // 2])
    uncounted = encode("mp3", "libmp3lame", seconds=SECONDS, options={"write_xing": "0"})
    assert read(uncounted[: len(uncounted) // 2]).warning == ""


def test_a_cut_ogg_has_no_end_mark() -> None:
    whole = encode("ogg", "libopus", seconds=SECONDS)
    for cut in (whole[: len(whole) // 2], whole[:-100]):
        with pytest.warns(AudioWarning, match="no end mark: part of it may be missing"):
            decode(cut)


def test_a_lost_beginning_is_said() -> None:
    data = overwritten(encode("ogg", "libopus", seconds=SECONDS), 0.05, 0.15)
    with pytest.warns(AudioWarning, match=r"The first 2\.0 s are missing"):
        decode(data)


def test_seconds_missing_from_a_long_wav_are_said() -> None:
    """Less than the share that is refused, but more than a word."""
    whole = wav(tone(16_000, 60.0))
    with pytest.warns(AudioWarning, match=r"1\.0 s at the end are missing"):
        decode(whole[:-32_000])


def test_the_child_hands_the_warning_on(tmp_path) -> None:
    path = tmp_path / "voice.webm"
    path.write_bytes(overwritten(encode("webm", "libopus", seconds=SECONDS), 0.45, 0.55))
    recording = decode_in_child(path, max_seconds=600)
    assert recording.warning == read(path).warning != ""
    assert len(recording.waveform) == len(read(path).waveform)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_a_sample_that_is_no_number_is_refused_at_both_doors(value: float) -> None:
    samples = tone(16_000, 2.0)
    samples[20_000] = value
    for load in (lambda: decode(wav(samples, as_float=True)), lambda: from_array(samples)):
        with pytest.raises(AudioError, match=r"about -1\.\.1, got \S+ at 20000\. Remove") as caught:
            load()
        assert caught.value.code == "bad_audio"


def test_an_unknown_codec_is_refused_by_name() -> None:
    data = encode("webm", "libopus", seconds=1.0).replace(b"A_OPUS", b"A_OPUZ")
    with pytest.raises(AudioError, match="in an unknown format") as caught:
        decode(data)
    assert caught.value.code == "unknown_codec"


def test_many_samples_are_no_long_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """9:50 at 384 kHz and 8 channels is under ten minutes: the reason is rate times channels."""
    monkeypatch.setattr(resample, "_MAX_WORK_BYTES", 8 << 20)
    data = wav(np.zeros((8, 400_000), np.float32), rate=384_000)
    with pytest.raises(AudioError, match="8 channels at 384000 Hz fill 8 MiB after 1 s") as caught:
        decode(data, max_seconds=600)
    assert caught.value.code == "too_many_samples"


def test_a_name_that_no_file_can_have_is_refused_shortly() -> None:
    with pytest.raises(AudioError) as caught:
        decode("n" * 300)
    assert caught.value.code == "missing_file"
    assert len(str(caught.value)) < 200
