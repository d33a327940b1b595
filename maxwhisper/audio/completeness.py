"""Compare a media file with what it says about itself: is every part of the sound there?

Owns what each container states about its length, the sizes in the headers of wav and w64, and the
sentence about a part that is missing. In: an open file or container, and what decoding counted.
Out: a sentence, or an `AudioError` for a file that is cut. Decodes nothing.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

import av

from maxwhisper.errors import AudioError

# Containers that state the true length of each track. Matroska may state one for the whole file.
# The others state none, or FFmpeg guesses one from a bit rate.
_STATE_TRACK_LENGTH = ("flac", "aiff", "mov,mp4,m4a,3gp,3g2,mj2")
_COUNT_FROM_0 = ("ogg", "matroska,webm")  # the times of their only track
# A file that misses more than both of these at its end is truncated (encoder delay is 0.05 s).
_SHORT_S, _SHORT_SHARE = 0.25, 0.02
# Less is not mentioned: words are longer. At the end, delay and preroll of encoders reach 0.09 s.
_UNHEARD_S, _UNHEARD_END_S = 0.1, 0.15
_WAV_UNKNOWN_SIZE = 0x7FFF_0000  # bytes: streaming writers state about 2 or 4 GiB, or 0
_MAX_CHUNKS = 1000  # before the samples of a wav or w64; real files have fewer than ten
_W64_RIFF = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"  # a GUID, as w64 names chunks
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_W64_HEADER = 24  # bytes: a GUID and the size of the chunk, which includes this header
_MP3_HEAD = 200  # bytes of the first mp3 frame, which has the table of contents if there is one
_OGG_TAIL = 65_307  # bytes: the longest ogg page
_OGG_LAST_PAGE = 4  # the flag of the page that ends a stream
_OGG_HEADER = 27  # bytes, then the sizes of the page's segments
_ASF_HEAD = 65_536  # bytes that hold the file properties, which come early in the header
_ASF_PROPERTIES = b"\xa1\xdc\xab\x8cG\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65"
_ASF_LIVE = 1  # the flag of a file whose length was not known when it was written


@dataclass(frozen=True)
class Facts:
    """What the bytes of a file tell beside FFmpeg."""

    counts_frames: bool = False  # an mp3 with a frame count, so that its length is known
    has_no_end: bool = False  # an ogg file whose last page is cut or does not end the stream
    asf_s: float | None = None  # the length in seconds that an asf file states
    cut_share: float = 0.0  # of the samples that a wav or w64 file states


@dataclass
class Heard:
    """What decoding a track counted. Times are those of the frames, in seconds."""

    start_s: float | None = None
    end_s: float = 0.0
    seconds: float = 0.0  # of decoded samples
    good_bytes: int = 0
    damaged_bytes: int = 0
    n_good: int = 0  # packets
    n_damaged: int = 0

    @property
    def span_s(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return self.end_s - (self.start_s or 0.0)


def facts_of(file: BinaryIO) -> Facts:
    """Read what FFmpeg hides, and leave the file at its start. Raises `AudioError` truncated or
    no_samples for a wav or w64 file that is shorter than it states."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(40)
    cut_share = 0.0
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        cut_share = _cut_share(file, size, 12, b"data")
    elif head[:16] == _W64_RIFF:
        cut_share = _cut_share(file, size, 40, _W64_DATA)
    facts = Facts(
        _counts_frames(file, head),
        head[:4] == b"OggS" and _has_no_end(file, size),
        _asf_seconds(file),
        cut_share,
    )
    file.seek(0)
    return facts


def missing(
    container: av.container.InputContainer, stream: av.AudioStream, facts: Facts, heard: Heard
) -> str:
    """One sentence for each part of the sound that is not there, "" if nothing is missing.

    Raises `AudioError` truncated or no_samples for a file that is cut.
    """
    counts_from_0 = container.format.name in _COUNT_FROM_0 and len(container.streams) == 1
    unread_s = _unread_seconds(container, heard)
    middle_s = max(heard.span_s - heard.seconds, unread_s)
    stated_s = _stated_seconds(container, stream, facts)
    end_s = heard.seconds * facts.cut_share / (1 - facts.cut_share)
    if stated_s is not None:
        begin = 0 if counts_from_0 else (stream.start_time or 0) * (stream.time_base or 0)
        found_s = heard.end_s - float(begin)
        if container.format.name == "mp3":  # its times follow from the frames that were found
            found_s += unread_s
        _check_complete(stated_s, found_s, "s", max(_SHORT_S, _SHORT_SHARE * stated_s))
        end_s = stated_s - found_s
    parts = []
    if counts_from_0 and (heard.start_s or 0.0) > _UNHEARD_S:
        parts.append(f"The first {heard.start_s:.1f} s are missing.")
    if middle_s > _UNHEARD_S:
        parts.append(f"{middle_s:.1f} s in the middle could not be decoded.")
    if end_s > _UNHEARD_END_S:
        parts.append(f"{end_s:.1f} s at the end are missing.")
    elif facts.has_no_end:
        parts.append("This file has no end mark: part of it may be missing.")
    return " ".join(parts)


def _unread_seconds(container: av.container.InputContainer, heard: Heard) -> float:
    """Seconds in bytes that gave no sound. Only for formats without times: FFmpeg skips damage in
    them, and its times go on as if nothing had been there."""
    if not heard.good_bytes:
        return 0.0
    unread = 0
    if container.format.name == "mp3":
        unread = heard.damaged_bytes
    elif container.format.name == "aac":  # a tag after the sound has 128 bytes
        unread = container.size - heard.good_bytes
    return unread * heard.seconds / heard.good_bytes


def _stated_seconds(
    container: av.container.InputContainer, stream: av.AudioStream, facts: Facts
) -> float | None:
    """Return the audio length in seconds that the container states, or None if it states none."""
    name = container.format.name
    states_length = name in _STATE_TRACK_LENGTH or (name == "mp3" and facts.counts_frames)
    if states_length or (name == "ogg" and not facts.has_no_end):  # ogg: the time of its last page
        return float(stream.duration * (stream.time_base or 0)) if stream.duration else None
    if name == "asf":
        return facts.asf_s
    if name == "caf" and stream.codec_context.name.startswith("pcm_"):
        return stream.frames / stream.codec_context.sample_rate if stream.frames else None
    # Matroska states one length for all tracks, possibly the picture's. A live file states none,
    # but FFmpeg guesses one if it knows the bit rate.
    is_stated = len(container.streams) == 1 and not stream.codec_context.bit_rate
    if name == "matroska,webm" and is_stated and container.duration:
        return container.duration / av.time_base
    return None


def _cut_share(file: BinaryIO, size: int, at: int, data: bytes) -> float:
    """The share of the data chunk that the file does not have, 0..1: FFmpeg hides it. `at`: the
    first chunk. Raises `AudioError` if it is large."""
    is_wav = len(data) == 4
    layout, alignment = ("<4sI", 2) if is_wav else ("<16sQ", 8)
    n_header = struct.calcsize(layout)
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        if at + n_header > size:
            break
        name, n_bytes = struct.unpack(layout, file.read(n_header))
        n_bytes -= 0 if is_wav else _W64_HEADER
        at += n_header
        if name == data:
            if n_bytes <= 0 or (is_wav and n_bytes >= _WAV_UNKNOWN_SIZE):
                break
            _check_complete(n_bytes, size - at, "bytes", _SHORT_SHARE * n_bytes)
            return max(0.0, 1 - (size - at) / n_bytes)
        at += max(0, n_bytes)
        at += -at % alignment  # chunks begin at even places, in w64 at multiples of 8
    return 0.0


def _asf_seconds(file: BinaryIO) -> float | None:
    """The length that the header of an asf file states; None if it states none."""
    file.seek(0)
    head = file.read(_ASF_HEAD)
    at = head.find(_ASF_PROPERTIES)
    if not head.startswith(b"0&\xb2u") or at < 0 or len(head) < at + 92:
        return None
    play, _, preroll_ms, flags = struct.unpack_from("<QQQI", head, at + 64)
    return None if flags & _ASF_LIVE else float(play) / 1e7 - preroll_ms / 1000


def _counts_frames(file: BinaryIO, head: bytes) -> bool:
    """True for an mp3 file whose first frame has the number of frames (Xing, or Info if the bit
    rate is constant)."""
    at = 0
    if head[:3] == b"ID3" and len(head) >= 10:
        sizes = head[6:10]  # seven bits a byte
        at = 10 + (sizes[0] << 21 | sizes[1] << 14 | sizes[2] << 7 | sizes[3])
    file.seek(at)
    frame = file.read(_MP3_HEAD)
    if len(frame) < 2 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return False
    for mark in (b"Xing", b"Info"):
        found = frame.find(mark)
        if found >= 0 and len(frame) >= found + 8:
            return bool(frame[found + 7] & 1)
    return False


def _has_no_end(file: BinaryIO, size: int) -> bool:
    """True if the last page of an ogg file is cut, or does not say that it is the last."""
    file.seek(max(0, size - _OGG_TAIL))
    tail = file.read()
    at = tail.rfind(b"OggS")
    page = tail[at:] if at >= 0 else b""
    if len(page) < _OGG_HEADER or not page[5] & _OGG_LAST_PAGE:
        return True
    sizes = page[_OGG_HEADER : _OGG_HEADER + page[_OGG_HEADER - 1]]
    return len(page) < _OGG_HEADER + len(sizes) + sum(sizes)


def _check_complete(stated: float, found: float, unit: str, tolerance: float) -> None:
    if stated - found > tolerance:
        digits = 0 if unit == "bytes" else 1
        raise AudioError(
            "no_samples" if found <= 0 else "truncated",
            f"This file is truncated: it states {stated:.{digits}f} {unit} of audio but contains "
            f"{max(found, 0):.{digits}f}. Copy or export it again.",
        )
