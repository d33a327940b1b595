"""openai-whisper's segments as soon as it has them: it prints each one, and has no other way.

In: a function to tell. Out: a stream for `contextlib.redirect_stdout` while `transcribe` runs with
`verbose=True`. Source of the line: openai/whisper transcribe.py:478-482.
"""

import io
import math
import re

from maxwhisper.engine import OnSegment
from maxwhisper.transcript import Segment

_LINE = re.compile(r"\[((?:\d+:)+\d+\.\d+) --> ((?:\d+:)+\d+\.\d+)\] (.*)", re.DOTALL)


class SegmentLines(io.TextIOBase):
    """Tells `on_segment` of every segment printed; other lines, of the language heard, are dropped.

    A line has times, to the millisecond, and text: `on_segment` gets no tokens, and NaN for figures
    that are known only at the end.
    """

    def __init__(self, on_segment: OnSegment) -> None:
        super().__init__()
        self._on_segment = on_segment
        self._count = 0

    def write(self, text: str) -> int:
        """One call of `print` arrives as its whole line, then the line break."""
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
