"""Signatures: other files are recognised, and no recording is mistaken for one of them."""

import pytest

from maxwhisper.audio.signatures import HEAD_BYTES, is_audio, non_audio_kind
from tests.fakes.audio_files import encode, tone, wav

OTHERS = {
    b"%PDF-1.7\n%\xe2\xe3\xcf\xd3": "a PDF document",
    b"PK\x03\x04\x14\0\x06\0": "a ZIP archive or an office document",
    b"\0\0\0\x18ftypheic\0\0\0\0": "a HEIC picture",
    b"MThd\0\0\0\6": "a MIDI file (notes without sound)",
    b"\xef\xbb\xbfWEBVTT\n\n00:00.000 --> 00:01.000\nhello": "a text file",
    ("grüß " * 200).encode()[:HEAD_BYTES]: "a text file",  # ends within a character
}


@pytest.mark.parametrize(("head", "kind"), OTHERS.items(), ids=OTHERS.values())
def test_other_files_are_recognised(head, kind):
    assert non_audio_kind(head) == kind


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        *(("flac", "flac"), ("mp3", "libmp3lame"), ("ogg", "libopus"), ("webm", "libopus")),
        *(("ipod", "aac"), ("adts", "aac"), ("aiff", "pcm_s16be"), ("asf", "wmav2")),
    ],
)
def test_no_recording_is_mistaken_for_another_file(container, codec):
    head = encode(container, codec, seconds=1)[:HEAD_BYTES]
    assert non_audio_kind(head) is None
    assert is_audio(head) or container in ("mp3", "adts")


def test_silent_and_loud_wav_are_audio():
    for data in (wav(0 * tone(16_000, 1.0)), wav()):
        assert non_audio_kind(data[:HEAD_BYTES]) is None
        assert is_audio(data[:HEAD_BYTES])


@pytest.mark.parametrize("head", [b"", b"  \n", bytes(range(256))])
def test_unknown_signatures_are_left_to_the_decoder(head):
    assert non_audio_kind(head) is None
    assert not is_audio(head)
