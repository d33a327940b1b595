"""Where to cut a recording into chunks that can be decoded independently.

In: spans of speech, or only the log-mel. Out: stretches of about 30 s that hold all of the speech,
or the whole recording. The time base is the mel frame, 10 ms. Knows no network and no text.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from numpy.lib.stride_tricks import sliding_window_view

from maxwhisper.audio.vad import Span, speech_spans
from maxwhisper.audio.waveform import Waveform
from maxwhisper.decoding.protocols import LogMelFrames
from maxwhisper.network.dims import FRAMES_PER_SECOND, HOP_LENGTH, N_FRAMES
from maxwhisper.options import VadOptions
from maxwhisper.transcribe.clips import Stretch, seek_clips

LONG_PAUSE_FRAMES = FRAMES_PER_SECOND  # a longer pause is no better place for a cut
FULL_FRAMES = 20 * FRAMES_PER_SECOND  # without known pauses, no cut before this
# 0.1 s of quiet is between words; a shorter quiet may be the closure of a p, t or k.
QUIET_FRAMES = FRAMES_PER_SECOND // 10


def to_frames(spans: Sequence[Span]) -> list[Stretch]:
    """The frames that spans of samples touch. Spans without a frame between them are joined."""
    frames: list[Stretch] = []
    for span in spans:
        start, end = span.start // HOP_LENGTH, -(-span.end // HOP_LENGTH)
        if frames and start <= frames[-1].end:
            start = frames.pop().start
        frames.append(Stretch(start, end))
    return frames


def within(speech: Sequence[Stretch], start: int, end: int) -> Iterator[Stretch]:
    """The parts of sorted `speech` in start..end; none if `end` is before `start`."""
    first = bisect_right(speech, start, key=lambda stretch: stretch.end)
    for stretch in speech[first:]:
        if max(stretch.start, start) >= end:
            return
        yield Stretch(max(stretch.start, start), min(stretch.end, end))


def speech_clips(
    waveform: Waveform, clip_timestamps: str | Sequence[float], vad: VadOptions
) -> tuple[float, ...]:
    """The speech in the clips of a recording, in the form of `clip_timestamps`: pairs of seconds.

    Without speech, the result is one empty pair, because no pair at all would mean everything.
    """
    speech = to_frames(speech_spans(waveform, vad))
    clips = seek_clips(clip_timestamps, content_frames=len(waveform) // HOP_LENGTH)
    frames = [
        frame for clip in clips for part in within(speech, clip.start, clip.end) for frame in part
    ]
    return tuple(frame / FRAMES_PER_SECOND for frame in frames) or (0.0, 0.0)


def pack(speech: Sequence[Stretch], padding: int, clip: Stretch) -> list[Stretch]:
    """Group the speech of a clip into as few stretches of 30 s as possible, cut at the longest
    pauses that allow this.

    A stretch is contiguous, pauses included, so its times are those of the recording. It keeps up
    to `padding` frames of the pauses at both ends, at most to their middle. A stretch is longer
    only if speech lasts more than 30 s without a pause.
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
    """First and last part of every group: the fewest groups, then the longest pauses between them.

    Dynamic programming: the best grouping up to each part follows from the best groupings before.
    """
    best = [(0, 0)]  # of the parts before each part: number of groups, minus pauses between
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
    """Cut a clip at its quietest points, without speech detection."""
    stretches: list[Stretch] = []
    start, end = clip
    while start < end:
        stretches.append(Stretch(start, window_end(mel, start, end)))
        start = stretches[-1].end
    return stretches


def window_end(mel: LogMelFrames, start: int, end: int) -> int:
    """`end` if it is at most 30 s away, else the quietest point between 20 and 30 s from `start`.

    Quietest means: the middle of the 0.1 s whose loudest frame is the quietest; the last on a tie.
    """
    if end - start <= N_FRAMES:
        return end
    loudness = mel[start + FULL_FRAMES : start + N_FRAMES].mean(axis=1)
    loudest = sliding_window_view(loudness, QUIET_FRAMES).max(axis=1)
    quietest = len(loudest) - 1 - int(loudest[::-1].argmin())
    return start + FULL_FRAMES + quietest + QUIET_FRAMES // 2
