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
from maxwhisper.web.ui.templates import render

COLUMNS = 1000  # of either picture; most screens show the page narrower
N_MELS = 80
RANGE_DB = 80.0  # below the loudest: Whisper's eight decades of power
_HEIGHT = 100  # of the waveform, SVG units
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
    import librosa  # not above: its import takes seconds, and most visits draw no picture

    hop = max(HOP_LENGTH, -(-waveform.size // COLUMNS))
    power = librosa.feature.melspectrogram(
        y=waveform,
        sr=SAMPLE_RATE,
        n_fft=max(N_FFT, hop),  # long recordings get longer frames, so that no sample is skipped
        hop_length=hop,
        n_mels=N_MELS,
        pad_mode="constant",  # a clip may be shorter than half a frame
    )
    floor = 1e-8  # digital silence stays blank
    decibel = librosa.power_to_db(
        power, ref=max(float(power.max()), floor), amin=1e-10, top_db=None
    )
    ink = np.clip(1 + decibel / RANGE_DB, 0, 1) if power.max() > floor else np.zeros_like(power)
    return np.rint(255 * ink).astype(np.uint8)


def png_of_ink(ink: npt.NDArray[np.uint8]) -> bytes:
    """A black PNG whose opacity is `ink`, (rows, columns), with the lowest row at the bottom."""
    pixels = np.zeros((*ink.shape, 2), np.uint8)  # grey, alpha
    pixels[..., 1] = ink[::-1]
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "png")
        return file.getvalue()
