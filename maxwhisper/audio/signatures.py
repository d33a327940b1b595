"""Recognise a file by its first bytes: audio, or another kind that was sent by mistake.

In: the first `HEAD_BYTES` bytes. Out: a description for people. Knows no decoder and does not
decide what is decoded: mp3 and aac have no signature, so an unrecognised file may still be audio.
"""

from codecs import getincrementaldecoder

HEAD_BYTES = 512

_AUDIO = (  # (offset, bytes) of audio formats
    (8, b"WAVE"),
    (8, b"AIFF"),
    (4, b"ftyp"),
    (0, b"fLaC"),
    (0, b"OggS"),
    (0, b"ID3"),
    (0, b"caff"),
    (0, b"#!AMR"),
    (0, b"\x1aE\xdf\xa3"),  # Matroska, WebM
    (0, b"0&\xb2u\x8ef\xcf\x11"),  # ASF: wma, wmv
)
_NOT_AUDIO = (  # (offset, bytes, description)
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive or an office document"),
    (0, b"\x1f\x8b\x08", "a gzip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (8, b"WEBP", "a WebP picture"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIC picture"),
    (4, b"ftypavif", "an AVIF picture"),
    (0, b"MThd", "a MIDI file (notes without sound)"),
)


def is_audio(head: bytes) -> bool:
    """Return True if the file begins with the signature of an audio format."""
    return any(_is_at(head, at, mark) for at, mark in _AUDIO)


def non_audio_kind(head: bytes) -> str | None:
    """Describe a file that is certainly not audio, as in "a PDF document"; else return None."""
    for at, mark, kind in _NOT_AUDIO:
        if _is_at(head, at, mark):
            return kind
    return "a text file" if _is_text(head) else None


def _is_at(head: bytes, at: int, mark: bytes) -> bool:
    return head[at : at + len(mark)] == mark


def _is_text(head: bytes) -> bool:
    """Return True for UTF-8 without control characters; the last character may be incomplete."""
    try:
        text = getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text.strip()) and all(c.isprintable() or c in "\t\n\r\f" for c in text)
