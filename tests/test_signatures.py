"""By first bytes: other files get their names, and no recording is taken for one of them."""

import pytest
from audio_files import encode, tone, wav

from maxwhisper.signatures import HEAD_BYTES, is_sound, other_kind

OTHERS = {
    b"%PDF-1.7\n%\xe2\xe3\xcf\xd3": "a PDF document",
    b"PK\x03\x04\x14\0\x06\0": "a ZIP archive or an office document",
    b"\0\0\0\x18ftypheic\0\0\0\0": "a HEIC picture",
    b"MThd\0\0\0\6": "a MIDI file, which has notes and no sound",
    b"\xef\xbb\xbfWEBVTT\n\n00:00.000 --> 00:01.000\nhello": "text",
    ("grüß " * 200).encode()[:HEAD_BYTES]: "text",  # cut within a character
}


@pytest.mark.parametrize(("head", "kind"), OTHERS.items(), ids=OTHERS.values())
def test_other_files_are_named(head, kind):
    assert other_kind(head) == kind


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        *(("flac", "flac"), ("mp3", "libmp3lame"), ("ogg", "libopus"), ("webm", "libopus")),
        *(("ipod", "aac"), ("adts", "aac"), ("aiff", "pcm_s16be"), ("asf", "wmav2")),
    ],
)
def test_no_recording_is_taken_for_another_file(container, codec):
    head = encode(container, codec, seconds=1)[:HEAD_BYTES]
    assert other_kind(head) is None
    assert is_sound(head) or container in ("mp3", "adts")


def test_a_silent_wav_and_a_loud_one_are_sound():
    for data in (wav(0 * tone(16_000, 1.0)), wav()):
        assert other_kind(data[:HEAD_BYTES]) is None
        assert is_sound(data[:HEAD_BYTES])


@pytest.mark.parametrize("head", [b"", b"  \n", bytes(range(256))])
def test_what_has_no_name_is_left_to_the_decoder(head):
    assert other_kind(head) is None
    assert not is_sound(head)
