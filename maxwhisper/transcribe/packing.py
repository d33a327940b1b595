"""Where a recording may be cut, so that its pieces can be read independently of each other.

In: spans of speech, or the log-mel alone. Out: stretches of the recording of about 30 s that hold
all of it. The time base is the mel frame, 10 ms. Knows no network and no text.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from numpy.lib.stride_tricks import sliding_window_view

from maxwhisper.decoding.protocols import LogMelFrames
from maxwhisper.dims import FRAMES_PER_SECOND, HOP_LENGTH, N_FRAMES
from maxwhisper.engine import Waveform
from maxwhisper.transcribe.clips import Stretch, seek_clips
from maxwhisper.vad import Span, VadOptions, speech_spans

LONG_PAUSE_FRAMES = FRAMES_PER_SECOND  # a longer one is no better place for a cut
FULL_FRAMES = 20 * FRAMES_PER_SECOND  # without known pauses, no stretch is cut before
# A quiet 0.1 s lies between words; a shorter one may be the closure of a p, t or k.
QUIET_FRAMES = FRAMES_PER_SECOND // 10


def to_frames(spans: Sequence[Span]) -> list[Stretch]:
    """Spans of samples as the frames they touch; spans without a frame between them are joined."""
    frames: list[Stretch] = []
    for span in spans:
        start, end = span.start // HOP_LENGTH, -(-span.end // HOP_LENGTH)
        if frames and start <= frames[-1].end:
            start = frames.pop().start
        frames.append(Stretch(start, end))
    return frames


def within(speech: Sequence[Stretch], start: int, end: int) -> Iterator[Stretch]:
    """The parts of sorted `speech` in start..end; none where that ends before it starts."""
    first = bisect_right(speech, start, key=lambda stretch: stretch.end)
    for stretch in speech[first:]:
        if max(stretch.start, start) >= end:
            return
        yield Stretch(max(stretch.start, start), min(stretch.end, end))


def speech_clips(
    waveform: Waveform, clip_timestamps: str | Sequence[float], vad: VadOptions
) -> tuple[float, ...]:
    """What is speech in the clips of a recording, itself as `clip_timestamps`: seconds, in pairs.

    Without any speech, one pair without duration: no pair at all would mean everything.
    """
    speech = to_frames(speech_spans(waveform, vad))
    clips = seek_clips(clip_timestamps, content_frames=len(waveform) // HOP_LENGTH)
    frames = [
        frame for clip in clips for part in within(speech, clip.start, clip.end) for frame in part
    ]
    return tuple(frame / FRAMES_PER_SECOND for frame in frames) or (0.0, 0.0)


def pack(speech: Sequence[Stretch], padding: int, clip: Stretch) -> list[Stretch]:
    """Group the speech of a clip into as few stretches of 30 s as can be, cut in the longest pauses
    that allow it.

    A stretch is contiguous, pauses included, so that its times are the recording's. It keeps up to
    `padding` frames of the pauses at both ends, to their middle at most. Only speech of more than
    30 s without a pause makes a longer stretch.
    """
    speech = list(within(speech, *clip))
    pauses = [after.start - before.end for before, after in pairwise(speech)]
    halves = [pause // 2 for pause in pauses]
    padded: list[Stretch] = []
    for part, before, after in zip(
        speech,
        [part.start - clip.start for part in speech[:1]] + halves,
        halves + [clip.end - part.end for part in speech[-1:]],
        strict=True,
    ):
        room = max(0, N_FRAMES - (part.end - part.start)) // 2
        start = part.start - min(padding, before, room)
        padded.append(Stretch(start, part.end + min(padding, after, room)))
    return [
        Stretch(padded[first].start, padded[last].end)
        for first, last in _grouped(padded, [min(pause, LONG_PAUSE_FRAMES) for pause in pauses])
    ]


def _grouped(parts: Sequence[Stretch], pauses: Sequence[int]) -> list[tuple[int, int]]:
    """First and last part of every group: the fewest groups, of those the longest pauses between.

    Dynamic programming: the best way to group the parts up to each, from the best ways before it.
    """
    best = [(0, 0)]  # of the parts before each: number of groups, minus the pauses between them
    begins: list[int] = []  # the first part of the group that each part would end
    for last, part in enumerate(parts):
        ways = []
        first = last
        while first >= 0 and (first == last or part.end - parts[first].start <= N_FRAMES):
            n_groups, pause = best[first]
            ways.append((n_groups + 1, pause - (pauses[first - 1] if first else 0), first))
            first -= 1
        *cost, first = min(ways)
        best.append((cost[0], cost[1]))
        begins.append(first)
    groups: list[tuple[int, int]] = []
    last = len(parts) - 1
    while last >= 0:
        groups.append((begins[last], last))
        last = begins[last] - 1
    return groups[::-1]


def quiet_stretches(mel: LogMelFrames, clip: Stretch) -> list[Stretch]:
    """A clip cut at its quietest points: for want of anything that tells speech from noise."""
    stretches: list[Stretch] = []
    start, end = clip
    while start < end:
        stretches.append(Stretch(start, window_end(mel, start, end)))
        start = stretches[-1].end
    return stretches


def window_end(mel: LogMelFrames, start: int, end: int) -> int:
    """`end` if it is at most 30 s away, else the quietest point between 20 and 30 s from `start`.

    Quietest: the middle of the 0.1 s whose loudest frame is the least loud; the last of equals.
    """
    if end - start <= N_FRAMES:
        return end
    loudness = mel[start + FULL_FRAMES : start + N_FRAMES].mean(axis=1)
    loudest = sliding_window_view(loudness, QUIET_FRAMES).max(axis=1)
    quietest = len(loudest) - 1 - int(loudest[::-1].argmin())
    return start + FULL_FRAMES + quietest + QUIET_FRAMES // 2
