"""Report openai-whisper's segments as soon as they are final, by reading what it prints.

The library has no callback. In: a function to call. Out: a stream for `contextlib.redirect_stdout`
while `transcribe` runs with `verbose=True`. Source of the line: openai/whisper
transcribe.py:478-482.
"""

import io
import math
import re

from maxwhisper.transcript import OnSegment, Segment

_LINE = re.compile(r"\[((?:\d+:)+\d+\.\d+) --> ((?:\d+:)+\d+\.\d+)\] (.*)", re.DOTALL)


class SegmentLines(io.TextIOBase):
    """Calls `on_segment` for every printed segment and drops other lines (the detected language).

    A line has text and times in milliseconds, so segments have no tokens, and NaN for probabilities
    and ratios.
    """

    def __init__(self, on_segment: OnSegment) -> None:
        super().__init__()
        self._on_segment = on_segment
        self._count = 0

    def write(self, text: str) -> int:
        """`print` calls this with the whole line, then with the line break."""
        if match := _LINE.fullmatch(text):
            start, end, said = match.groups()
            unknown = (math.nan,) * 4
            segment = Segment(self._count, 0, _seconds(start), _seconds(end), said, (), *unknown)
            self._count += 1
            self._on_segment(segment)
        return len(text)


def _seconds(clock: str) -> float:
    """ "01:02:03.500" or "02:03.500" in seconds."""
    seconds = 0.0
    for part in clock.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds
