"""Window tokens to segments and the next seek: every ending the timestamp rules allow."""

import pytest

from maxwhisper.decoding.window import WindowQuality, WindowResult
from maxwhisper.network.dims import Dims
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcribe.segments import Window, window_segments, without_empty

TOKENIZER = get_tokenizer(Dims(80, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1))
HELLO = TOKENIZER.encode(" hello")[0]
WORLD = TOKENIZER.encode(" world")[0]


def at(seconds):
    return TOKENIZER.timestamp_begin + round(seconds / 0.02)


def segments_of(tokens, seek=1000, size=3000, first_id=0):
    result = WindowResult(tuple(tokens), "", WindowQuality(-0.5, 0.1, 1.2, 0.0))
    return window_segments(result, Window(seek, size), TOKENIZER, first_id)


def spans(segments):
    return [(round(s.start, 2), round(s.end, 2), s.text) for s in segments]


@pytest.mark.parametrize(
    ("tokens", "expected", "next_seek"),
    [
        # closed, and a second one left open: decode the second again from its start
        (
            [at(0), HELLO, at(2), at(2), WORLD],
            [(10.0, 12.0, " hello")],
            1000 + 200,
        ),
        # two closed and one opened: seek to the last timestamp
        (
            [at(0), HELLO, at(2), at(3), WORLD, at(5), at(6)],
            [(10.0, 12.0, " hello"), (13.0, 15.0, " world")],
            1000 + 500,
        ),
        # single timestamp at the end: nothing follows, so the next window begins at the end
        (
            [at(0), HELLO, at(2), at(2), WORLD, at(5)],
            [(10.0, 12.0, " hello"), (12.0, 15.0, " world")],
            4000,
        ),
        # one segment, closed by a single timestamp
        ([at(1), HELLO, at(4)], [(10.0, 14.0, " hello")], 4000),
        # no closing timestamp: the segment fills the window
        ([at(0), HELLO], [(10.0, 40.0, " hello")], 4000),
        # an opening timestamp other than 0.00 counts as the last one, as in the reference
        ([at(1), HELLO], [(10.0, 11.0, " hello")], 4000),
        # without timestamps
        ([HELLO, WORLD], [(10.0, 40.0, " hello world")], 4000),
        # no tokens at all
        ([], [(10.0, 40.0, "")], 4000),
    ],
)
def test_endings(tokens, expected, next_seek):
    segments, seek = segments_of(tokens)
    assert spans(segments) == expected
    assert seek == next_seek


def test_last_window_is_as_long_as_the_recording():
    segments, seek = segments_of([at(0), HELLO], seek=600, size=150)
    assert spans(segments) == [(6.0, 7.5, " hello")]
    assert seek == 750


def test_empty_segments_stay_in_the_list_without_text():
    segments, _ = segments_of([at(2), HELLO, at(2), at(3), WORLD, at(4)])
    assert [s.text for s in segments] == [" hello", " world"]
    assert [(s.text, s.tokens) for s in without_empty(segments)] == [
        ("", ()),
        (" world", (at(3), WORLD, at(4))),
    ]


def test_fields_of_a_segment():
    segment = segments_of([at(0), HELLO, at(2)], first_id=7)[0][0]
    assert (segment.id, segment.seek, segment.temperature) == (7, 1000, 0.0)
    assert (segment.avg_logprob, segment.no_speech_prob, segment.compression_ratio) == (
        -0.5,
        0.1,
        1.2,
    )
