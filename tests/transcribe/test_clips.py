"""Clip times to frames: text or numbers, odd counts, ends past the end, invalid times."""

import pytest

from maxwhisper.errors import OptionError
from maxwhisper.transcribe.clips import seek_clips


@pytest.mark.parametrize(
    ("clips", "expected"),
    [
        ("0", [(0, 5000)]),
        ("", [(0, 5000)]),
        ((), [(0, 5000)]),
        ("10", [(1000, 5000)]),
        ("1,2.5", [(100, 250)]),
        ((1, 2.5, 30.0), [(100, 250), (3000, 5000)]),
        ("20,30,5,10", [(2000, 3000), (500, 1000)]),  # any order, as in the reference
        ("1,60", [(100, 5000)]),  # ends with the recording
        ("70,80", [(7000, 5000)]),  # empty: starts after it
        ("0.125", [(12, 5000)]),  # Python rounds half to even
    ],
)
def test_clips(clips, expected):
    assert [(clip.start, clip.end) for clip in seek_clips(clips, 5000)] == expected


@pytest.mark.parametrize("clips", ["a", "1,", "1,,2", "-1", (0.0, -2.0), "nan", "inf", "1e308"])
def test_what_is_no_time_is_refused(clips):
    with pytest.raises(OptionError, match="clip_timestamps"):
        seek_clips(clips, 5000)
