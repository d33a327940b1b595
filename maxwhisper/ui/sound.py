"""A recording as a picture: its waveform over its mel spectrogram, light enough to stand in a page.

In: samples. Out: HTML with an SVG path and a PNG whose ink is the page's own, by day and by night.
Speech is pictured as Whisper's front end sees it: mel bands up to 8 kHz, 80 dB of range.
"""

import base64
import struct
import zlib

import numpy as np
import numpy.typing as npt

from maxwhisper.dims import HOP_LENGTH, N_FFT, SAMPLE_RATE
from maxwhisper.engine import Waveform

COLUMNS = 1000  # of either picture: more than the page is wide, on most screens
N_MELS = 80
RANGE_DB = 80.0  # kept below the loudest: Whisper's eight decades of power
_HEIGHT = 100  # of the waveform, SVG units
_TICKS = 5  # times under the pictures


def sound_html(waveform: Waveform) -> str:
    """Both pictures, the times under them, and a playhead at 0; (n,) float32, 16 kHz."""
    seconds = waveform.size / SAMPLE_RATE
    ink = base64.b64encode(png_of_ink(mel_picture(waveform))).decode()
    ticks = "".join(f"<span>{clock(seconds * i / (_TICKS - 1))}</span>" for i in range(_TICKS))
    return (
        f'<div class="sound" data-seconds="{seconds:.3f}">'
        f'<svg role="img" aria-label="waveform" viewBox="0 0 {COLUMNS} {_HEIGHT}" '
        f'preserveAspectRatio="none"><path d="{waveform_path(waveform)}"/></svg>'
        '<div class="mel" role="img" aria-label="mel spectrogram: time to the right, pitch up, '
        f'0 to 8 kHz" style="mask-image: url(data:image/png;base64,{ink})"></div>'
        f'<i class="playhead"></i><div class="ticks" aria-hidden="true">{ticks}</div></div>'
    )


def waveform_path(waveform: Waveform) -> str:
    """The outline of the waveform: largest and smallest sample of each column, as an SVG path."""
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
    import librosa  # not above: it takes seconds to import, and most pages never show a picture

    hop = max(HOP_LENGTH, -(-waveform.size // COLUMNS))
    power = librosa.feature.melspectrogram(
        y=waveform,
        sr=SAMPLE_RATE,
        n_fft=max(N_FFT, hop),  # long recordings: longer frames, so that none is left out
        hop_length=hop,
        n_mels=N_MELS,
        pad_mode="constant",  # a clip may be shorter than half a frame
    )
    floor = 1e-8  # digital silence is paper, not ink
    decibel = librosa.power_to_db(
        power, ref=max(float(power.max()), floor), amin=1e-10, top_db=None
    )
    ink = np.clip(1 + decibel / RANGE_DB, 0, 1) if power.max() > floor else np.zeros_like(power)
    return np.rint(255 * ink).astype(np.uint8)


def png_of_ink(ink: npt.NDArray[np.uint8]) -> bytes:
    """A PNG whose transparency is `ink` (rows, columns), lowest row at the bottom: grey and alpha,
    8 bits each (PNG specification, section 11.2.2, colour type 4)."""
    rows, columns = ink.shape
    pixels = np.zeros((rows, columns, 2), np.uint8)
    pixels[..., 1] = ink[::-1]
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)  # 0: this line is not filtered
    header = struct.pack(">IIBBBBB", columns, rows, 8, 4, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(lines))
        + _chunk(b"IEND", b"")
    )


def clock(seconds: float) -> str:
    """0:04.2"""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
