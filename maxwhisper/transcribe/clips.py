"""Which parts of a recording are transcribed: `clip_timestamps` as stretches of mel frames.

Source: openai/whisper transcribe.py:167-177.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from maxwhisper.errors import OptionError, quoted
from maxwhisper.network.dims import FRAMES_PER_SECOND


class Stretch(NamedTuple):
    """Mel frames of 10 ms, from `start` up to, not including, `end`."""

    start: int
    end: int


def seek_clips(clip_timestamps: str | Sequence[float], content_frames: int) -> list[Stretch]:
    """Clips from "start,end,start,end,…" or from numbers, in seconds.

    A last start without an end means: to the end of the recording. No times at all mean everything.
    A clip ends with the recording at the latest (the reference never ends if it does not). A clip
    that ends before it starts is empty. Raises `OptionError` for anything but times.
    """
    frames = [round(s * FRAMES_PER_SECOND) for s in _seconds(clip_timestamps)] or [0]
    if len(frames) % 2 == 1:
        frames.append(content_frames)
    pairs = zip(frames[::2], frames[1::2], strict=True)
    return [Stretch(start, min(end, content_frames)) for start, end in pairs]


def _seconds(clip_timestamps: str | Sequence[float]) -> list[float]:
    parts: Sequence[str | float]
    if isinstance(clip_timestamps, str):
        parts = clip_timestamps.split(",") if clip_timestamps else []
    else:
        parts = clip_timestamps
    try:
        seconds = [float(part) for part in parts]
    except (ValueError, OverflowError):
        seconds = [math.nan]
    if not all(0 <= s * FRAMES_PER_SECOND < math.inf for s in seconds):
        raise OptionError(
            "clip_timestamps must be seconds from the start, such as '0,10.5,20,30', "
            f"got {quoted(clip_timestamps)}"
        )
    return seconds
