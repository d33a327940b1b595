"""A recording as a picture: the waveform's outline, and a PNG of its mel spectrogram."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from maxwhisper.web.ui.dates import clock
from maxwhisper.web.ui.listen.waveform_plot import (
    COLUMNS,
    N_MELS,
    mel_picture,
    mel_power,
    png_of_ink,
    sound_html,
    waveform_path,
)

RATE = 16_000


def tone(hertz, seconds):
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def test_the_outline_is_flat_in_silence_and_full_where_it_is_loud():
    waveform = np.concatenate([np.zeros(RATE, np.float32), 0.1 * tone(440, 1)])
    points = [
        tuple(map(float, p.split())) for p in re.split("[ML]", waveform_path(waveform)[:-1])[1:]
    ]
    heights = dict(points[: len(points) // 2])
    assert len(heights) == COLUMNS
    assert all(y == 49.5 for x, y in heights.items() if x < 499)
    assert min(heights.values()) == pytest.approx(0.5, abs=0.2)  # the loudest sample fills it


def test_the_shortest_recording_is_drawn():
    page = sound_html(np.zeros(1600, np.float32))  # 0.1 s, the least that is accepted
    assert 'data-seconds="0.100"' in page
    assert page.count("<span>") == 5
    assert "nan" not in page.lower()


def test_ink_is_where_the_tone_is():
    low, high = mel_picture(tone(200, 1)), mel_picture(tone(6000, 1))
    assert low.shape == (N_MELS, 101)
    assert low.mean(axis=1).argmax() < 10 < 60 < high.mean(axis=1).argmax()
    assert low.max() == 255


@pytest.mark.parametrize("seconds", [0.5, 30.0])
def test_the_power_is_librosas(seconds):
    librosa = pytest.importorskip("librosa")
    noise = np.random.default_rng(0).standard_normal(int(seconds * RATE)).astype(np.float32)
    drawn, hop = mel_power(noise), max(160, int(seconds * RATE / COLUMNS))
    expected = librosa.feature.melspectrogram(
        y=noise, sr=RATE, n_fft=max(400, hop), hop_length=hop, n_mels=N_MELS, pad_mode="constant"
    )
    np.testing.assert_allclose(drawn, expected, rtol=1e-4)


def test_silence_is_paper_and_long_recordings_stay_small():
    assert mel_picture(np.zeros(RATE, np.float32)).max() == 0
    assert mel_picture(np.zeros(600 * RATE, np.float32)).shape[1] <= COLUMNS + 1


def test_the_png_holds_the_ink_upside_down():
    ink = np.array([[0, 64, 255], [9, 8, 7]], np.uint8)
    image = Image.open(io.BytesIO(png_of_ink(ink)))
    assert image.mode == "LA"
    np.testing.assert_array_equal(np.asarray(image)[..., 1], ink[::-1])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00.0"), (59.96, "1:00.0"), (83.54, "1:23.5"), (600, "10:00.0")]
)
def test_times_are_written_as_people_read_them(seconds, text):
    assert clock(seconds) == text
