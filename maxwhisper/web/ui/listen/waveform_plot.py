"""A picture of a recording: its waveform above its mel spectrogram.

Input: samples. Output: HTML with an SVG path and a PNG, both in the page's text colours, light or
dark. The spectrogram shows what Whisper's front end computes: mel bands up to 8 kHz, 80 dB of
range.
"""

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from maxwhisper.audio.waveform import Waveform
from maxwhisper.network.dims import HOP_LENGTH, N_FFT, SAMPLE_RATE
from maxwhisper.network.mel_filters import mel_filters
from maxwhisper.web.ui.templates import render

COLUMNS = 1000  # of either picture; most screens show the page narrower
N_MELS = 80
RANGE_DB = 80.0  # below the loudest: Whisper's eight decades of power
_HEIGHT = 100  # of the waveform, SVG units
_FLOOR = 1e-8  # power of what counts as silence
_AT_ONCE = 64  # frames; of ten minutes, each has 9,600 samples
_TICKS = 5  # times below the pictures


def sound_html(waveform: Waveform) -> str:
    """Waveform and spectrogram, the times below them, and a playhead at 0. `waveform`: (n,)
    float32, 16 kHz."""
    seconds = waveform.size / SAMPLE_RATE
    return render(
        "listen/waveform_plot.html",
        seconds=seconds,
        columns=COLUMNS,
        height=_HEIGHT,
        path=waveform_path(waveform),
        ink=base64.b64encode(png_of_ink(mel_picture(waveform))).decode(),
        ticks=[seconds * i / (_TICKS - 1) for i in range(_TICKS)],
    )


def waveform_path(waveform: Waveform) -> str:
    """An SVG path through the largest and smallest sample of each column."""
    edges = np.linspace(0, waveform.size, min(COLUMNS, waveform.size) + 1).astype(int)[:-1]
    if not edges.size:
        return ""
    loudest = max(float(np.abs(waveform).max()), 1e-3)  # silence stays a line
    middle, x = _HEIGHT / 2, np.arange(edges.size) * COLUMNS / edges.size
    high = middle - np.maximum.reduceat(waveform, edges) / loudest * (middle - 1)
    low = middle - np.minimum.reduceat(waveform, edges) / loudest * (middle - 1)
    points = [*zip(x, high - 0.5, strict=True), *zip(x[::-1], low[::-1] + 0.5, strict=True)]
    return "M" + "L".join(f"{px:.0f} {py:.1f}" for px, py in points) + "Z"


def mel_picture(waveform: Waveform) -> npt.NDArray[np.uint8]:
    """Loudness of each mel band, (80, columns), lowest band first: 0 is 80 dB below the loudest."""
    power = mel_power(waveform)
    loudest = float(power.max())
    if loudest <= _FLOOR:  # digital silence stays blank
        return np.zeros(power.shape, np.uint8)
    decibel = 10 * np.log10(np.maximum(power, 1e-10) / loudest)
    return np.rint(255 * np.clip(1 + decibel / RANGE_DB, 0, 1)).astype(np.uint8)


def mel_power(waveform: Waveform) -> npt.NDArray[np.floating]:
    """Power of each mel band, (80, columns): librosa's `melspectrogram` of frames padded with
    zeros, whose import would take seconds. A long recording gets longer frames, so that no sample
    is skipped."""
    hop = max(HOP_LENGTH, -(-waveform.size // COLUMNS))
    n_fft = max(N_FFT, hop)
    padded = np.pad(waveform, n_fft // 2)  # a clip may be shorter than half a frame
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(n_fft) / n_fft))
    filters = mel_filters(N_MELS, n_fft).T
    bands = [
        np.abs(np.fft.rfft(frames[i : i + _AT_ONCE] * window)) ** 2 @ filters
        for i in range(0, len(frames), _AT_ONCE)
    ]
    return np.concatenate(bands).T


def png_of_ink(ink: npt.NDArray[np.uint8]) -> bytes:
    """A black PNG whose opacity is `ink`, (rows, columns), with the lowest row at the bottom."""
    pixels = np.zeros((*ink.shape, 2), np.uint8)  # grey, alpha
    pixels[..., 1] = ink[::-1]
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "png")
        return file.getvalue()
