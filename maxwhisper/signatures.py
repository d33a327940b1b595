"""What a file is by its first bytes: sound, or something else that is sent by mistake.

In: the first `HEAD_BYTES` bytes. Out: words for people. Knows no decoder, and does not decide what
is decoded: mp3 and aac begin with nothing of their own, what has no name here may still be sound.
"""

from codecs import getincrementaldecoder

HEAD_BYTES = 512

_SOUND = (  # (offset, bytes) with which recordings begin
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
_OTHER = (  # (offset, bytes, what it is)
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
    (0, b"MThd", "a MIDI file, which has notes and no sound"),
)


def is_sound(head: bytes) -> bool:
    """Does it begin as a recording that names its format?"""
    return any(_is_at(head, at, mark) for at, mark in _SOUND)


def other_kind(head: bytes) -> str | None:
    """What it is, where that is surely no recording; else None."""
    for at, mark, kind in _OTHER:
        if _is_at(head, at, mark):
            return kind
    return "text" if _is_text(head) else None


def _is_at(head: bytes, at: int, mark: bytes) -> bool:
    return head[at : at + len(mark)] == mark


def _is_text(head: bytes) -> bool:
    """UTF-8 without control characters; the last character may be cut."""
    try:
        text = getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text.strip()) and all(c.isprintable() or c in "\t\n\r\f" for c in text)
