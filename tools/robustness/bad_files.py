"""The list of files of the suite `bad_inputs`: which damage, which lie, and what must come of it.

`recordings` makes the bytes. Each function here yields the `Recipe`s of one kind of trouble.
"""

import struct
from collections.abc import Iterator
from functools import partial

import numpy as np

from tools.robustness import recordings as make
from tools.robustness.recordings import (
    KINDS,
    RATE,
    REFUSALS,
    SECONDS,
    Expected,
    Recipe,
    encode,
    encoded,
    pcm16,
    sentence,
    wav,
)

CUTS = (0.002, 0.02, 0.1, 0.3, 0.5, 0.8, 0.95, 0.999)
ZEROS = ((0.1, 0.2), (0.3, 0.6), (0.45, 0.55), (0.6, 0.62), (0.8, 0.9))
WHOLE = Expected(seconds=SECONDS, has_text=True)
DAMAGED = Expected(codes=frozenset(REFUSALS), seconds=SECONDS, may_lack=True)


def refused(*codes: str) -> Expected:
    return Expected(codes=frozenset(codes))


def recipes() -> Iterator[Recipe]:
    """Every file, in a fixed order."""
    for kind in KINDS:
        yield from of_kind(kind)
    for others in (headers, channels, not_numbers, lengths, not_audio, playlists, bombs, names):
        yield from others()


def of_kind(kind: str) -> Iterator[Recipe]:
    """One container: whole, under another name, cut, overwritten, with a part cut out."""
    states_length = KINDS[kind][4]
    yield Recipe("whole", kind, kind, partial(encoded, kind), WHOLE)
    yield Recipe("wrong ending", kind, f"{kind}.txt.wav", partial(encoded, kind), WHOLE)
    for share in CUTS:
        # A file that states no length is what is left of it, and nobody can tell.
        expected = DAMAGED if states_length else Expected(frozenset(REFUSALS), share * SECONDS)

        def cut(share: float = share) -> bytes:
            data = encoded(kind)
            return data[: round(share * len(data))]

        yield Recipe("cut", f"{kind} at {share:.1%}", kind, cut, expected)
    for start, stop in ZEROS:
        for noise in (False, True):
            what = "noise" if noise else "zeros"

            def damaged(start: float = start, stop: float = stop, noise: bool = noise) -> bytes:
                return make.overwritten(encoded(kind), start, stop, noise=noise)

            name = f"{kind} {what} {start:.0%} to {stop:.0%}"
            yield Recipe("damaged", name, kind, damaged, DAMAGED)
    if states_length:
        hole = partial(lambda kind: make.without(encoded(kind), 0.4, 0.6), kind)
        yield Recipe("part cut out", kind, kind, hole, DAMAGED)


def headers() -> Iterator[Recipe]:
    """wav files whose header lies about rate, channels, width or size."""
    payload = pcm16(sentence()[None])
    for rate in (0, 1, 100, 3_999, 384_001, 1_000_000, 2_000_000_000, 0xFFFFFFFF):
        lie = partial(wav, payload, rate=rate)
        codes = refused("bad_sample_rate", "bad_audio", "truncated", "not_audio")
        yield Recipe("header lies", f"rate {rate}", "rate.wav", lie, codes)
    for channels in (0, 17, 32, 200, 4_096, 65_535):
        lie = partial(wav, payload, channels=channels)
        codes = refused("too_many_channels", "bad_audio", "truncated", "not_audio")
        yield Recipe("header lies", f"{channels} channels", "channels.wav", lie, codes)
    for bits in (0, 1, 7, 65, 255):
        lie = partial(wav, payload, bits=bits)
        expected = refused(*REFUSALS, "unknown_codec", "bad_sample_rate")
        if 0 < bits < 8:  # a sample has a byte: twice as many samples as there are
            expected = Expected(seconds=2 * SECONDS)
        yield Recipe("header lies", f"{bits} bits", "bits.wav", lie, expected)
    for tag in (0, 0x1234, 0xFFFF):
        lie = partial(wav, payload, tag=tag)
        codes = refused(*REFUSALS, "unknown_codec", "bad_sample_rate")
        yield Recipe("header lies", f"format {tag:#x}", "format.wav", lie, codes)
    for size in (len(payload) * 2, len(payload) * 100, 0x7FFE_0000):
        lie = partial(wav, payload, stated=size)
        yield Recipe("header lies", f"{size} bytes", "size.wav", lie, refused("truncated"))
    for size in (0, 0x7FFF_FFFF, 0xFFFF_FFFF):  # a writer that could not know
        lie = partial(wav, payload, stated=size)
        yield Recipe("header lies", f"streamed, {size} bytes", "size.wav", lie, WHOLE)
    half = partial(wav, payload, stated=len(payload) // 2)
    yield Recipe("header lies", "half the bytes", "size.wav", half, Expected(seconds=SECONDS / 2))


def channels() -> Iterator[Recipe]:
    """1 to 16 channels are averaged, more are refused; left = -right is heard too."""
    for count in (1, 2, 3, 4, 6, 8, 12, 16):
        samples = np.tile(sentence(), (count, 1))
        yield Recipe(
            "channels", f"{count}", "many.wav", partial(wav, pcm16(samples), channels=count), WHOLE
        )
    for count in (17, 24, 32):
        samples = np.tile(sentence(), (count, 1))
        lie = partial(wav, pcm16(samples), channels=count)
        yield Recipe("channels", f"{count}", "many.wav", lie, refused("too_many_channels"))
    opposite = np.stack([sentence(), -sentence()])
    yield Recipe(
        "channels", "opposite wav", "x.wav", partial(wav, pcm16(opposite), channels=2), WHOLE
    )
    yield Recipe(
        "channels",
        "opposite flac",
        "x.flac",
        partial(encode, "flac", "flac", RATE, opposite),
        WHOLE,
    )


def not_numbers() -> Iterator[Recipe]:
    """NaN, infinities and absurd values in files of floats."""
    for value in (np.nan, np.inf, -np.inf, 3e38, -1e30):
        for width, kind in ((32, "<f4"), (64, "<f8")):
            samples = sentence().astype(kind)
            samples[30_000] = value
            lie = partial(wav, samples.tobytes(), tag=3, bits=width)
            yield Recipe("no numbers", f"{value} {kind}", "f.wav", lie, refused("bad_audio"))
        for container, codec in (("w64", "pcm_f32le"), ("caf", "pcm_f32le"), ("aiff", "pcm_f32be")):
            broken = sentence().copy()
            broken[30_000] = value
            lie = partial(encode, container, codec, RATE, broken[None])
            name = f"{value} {container}"
            yield Recipe("no numbers", name, f"f.{container}", lie, refused("bad_audio"))
    loud = partial(wav, (sentence() * 1000).astype("<f4").tobytes(), tag=3, bits=32)
    yield Recipe("no numbers", "1000 times full scale", "f.wav", loud, Expected(seconds=SECONDS))


def lengths() -> Iterator[Recipe]:
    """From nothing to 10 ms. The page refuses less than 0.1 s, library and command line hear it."""
    for container, codec in (("wav", "pcm_s16le"), ("flac", "flac"), ("aiff", "pcm_s16be")):
        for count in (1, 16, 160, 800):
            lie = partial(encode, container, codec, RATE, sentence()[None, :count])
            expected = Expected(seconds=count / RATE)
            yield Recipe("short", f"{container} {count}", f"s.{container}", lie, expected)
    yield Recipe("short", "empty file", "s.wav", lambda: b"", refused("empty_file"))
    yield Recipe("short", "one byte", "s.wav", lambda: b"R", refused("not_audio", "truncated"))
    yield Recipe("short", "no samples", "s.wav", partial(wav, b""), refused("no_samples"))
    only_header = partial(wav, b"", stated=32_000)
    yield Recipe("short", "only a header", "s.wav", only_header, refused("no_samples", "truncated"))


def not_audio() -> Iterator[Recipe]:
    """Pictures, videos without sound, text, programs, archives, noise."""
    for kind in ("png", "jpeg", "gif", "webp", "bmp", "tiff", "ico"):
        lie = partial(make.picture, kind)
        yield Recipe("not audio", kind, f"x.{kind}", lie, refused("not_audio", "no_audio_stream"))
        yield Recipe(
            "not audio", f"{kind} as mp3", "x.mp3", lie, refused("not_audio", "no_audio_stream")
        )
    for container in ("mp4", "matroska", "mov"):
        lie = partial(make.video, container)
        yield Recipe("not audio", f"silent {container}", "x.mp4", lie, refused("no_audio_stream"))
    unknown = encoded("voice.webm").replace(b"A_OPUS", b"A_OPUZ")
    yield Recipe("not audio", "unknown codec", "x.webm", lambda: unknown, refused("unknown_codec"))
    others = {
        "text": b"hello, world. " * 500,
        "html": b"<!doctype html><script>alert(1)</script>" * 50,
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>" * 20,
        "json": b'{"a": [1, 2, 3]}' * 100,
        "python": b"import os\nos.system('id')\n" * 50,
        "zip": make.zipped(),
        "gzip": b"\x1f\x8b\x08" + bytes(500),
        "pdf": b"%PDF-1.7\n" + bytes(range(256)) * 4,
        "elf": b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 20,
        "midi": b"MThd" + bytes(200),
        "sqlite": b"SQLite format 3\0" + bytes(4_000),
        "pickle": b"\x80\x04cos\nsystem\n(S'id'\ntR." + bytes(300),
        "zeros": bytes(100_000),
        "ones": b"\xff" * 100_000,
        "noise": np.random.default_rng(1).bytes(100_000),
        "short noise": np.random.default_rng(2).bytes(300),
        "utf-16": "hello there ".encode("utf-16") * 300,
        "a riff of nothing": b"RIFF" + struct.pack("<I", 4) + b"WAVE",
        "an endless id3": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(1_000),
    }
    for name, data in others.items():
        yield Recipe("not audio", name, "x.wav", partial(bytes, data), refused(*REFUSALS))


def playlists() -> Iterator[Recipe]:
    """Files that name other files and addresses; none may be opened."""
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    lists = {
        "hls to an address": hls.format("http://127.0.0.1:9/x.mp3"),
        "hls to a file": hls.format("/etc/hostname"),
        "hls to itself": hls.format("x.m3u8"),
        "hls master": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://127.0.0.1:9/i.m3u8\n",
        "concat to a file": "ffconcat version 1.0\nfile /etc/hostname\n",
        "concat to itself": "ffconcat version 1.0\nfile x.wav\n",
        "concat protocol": hls.format("concat:/etc/hostname|/etc/passwd"),
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=audio 5004 RTP/AVP 0\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        "<BaseURL>http://127.0.0.1:9/</BaseURL></MPD>",
        "rtsp": "rtsp://127.0.0.1:9/x",
        "a url": "[InternetShortcut]\nURL=http://127.0.0.1:9/x.wav\n",
    }
    for name, content in lists.items():
        for ending in ("wav", "m3u8"):
            yield Recipe(
                "playlists",
                f"{name}, {ending}",
                f"x.{ending}",
                content.encode,
                refused("not_audio"),
            )


def bombs() -> Iterator[Recipe]:
    """Much sound in few bytes. Library and command line have no limit of their own: 600 s here."""
    for minutes in (11, 60):
        lie = partial(make.long_silence, minutes)
        yield Recipe("bombs", f"{minutes} min of silence", "x.flac", lie, refused("too_long"))
    many = np.zeros((16, 384_000 * 50), np.int16)  # 50 s are 1.2 GB as floats
    lie = partial(lambda: wav(many.T.tobytes()[: 20 << 20], channels=16, rate=384_000))
    few = Expected(seconds=(20 << 20) / (32 * 384_000))
    yield Recipe("bombs", "16 channels at 384 kHz", "x.wav", lie, few)


def names() -> Iterator[Recipe]:
    """A good recording under every name that a stranger can give it."""
    odd = {
        "spaces": "my voice .wav",
        "unicode": "Grüße 你好 🎙.wav",
        "right to left": "\u202egpj.wav",
        "a dash": "-i;really.wav",
        "quotes": "a'b\"c`d.wav",
        "markup": "<img src=x onerror=alert(1)>.wav",
        "format": "%s%n{0}{{x}}.wav",
        "long": "n" * 200 + ".wav",
        "no ending": "voice",
        "dots": "...wav",
        "new line": "a\nb.wav",
    }
    for name, file_name in odd.items():
        yield Recipe("names", name, file_name, partial(encoded, "pcm16.wav"), WHOLE)
