"""A recording in chunks that are decoded in any order: the progress and the segments of each.

In: windows with their segments. Out: the next window of a chunk, and the recording's segments in
order. Times are seconds from the recording's start, seeks are mel frames of 10 ms. Knows no
network.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from maxwhisper.decoding.language import SpokenLanguage
from maxwhisper.decoding.protocols import LogMelFrames
from maxwhisper.errors import NumericError
from maxwhisper.network.dims import FRAMES_PER_SECOND
from maxwhisper.text.tokenizer import Tokenizer
from maxwhisper.transcribe.clips import Stretch
from maxwhisper.transcribe.packing import window_end, within
from maxwhisper.transcribe.segments import Window, without_empty
from maxwhisper.transcript import Segment

# Speech after the end of the text was missed if it is longer than this: a separate phrase, or the
# rest of one. A shorter rest may be a transcribed word whose timestamp is too early.
MISSED_PHRASE_FRAMES = 2 * FRAMES_PER_SECOND // 10
MISSED_REST_FRAMES = FRAMES_PER_SECOND // 2
NO_MEL = np.empty((0, 0), np.float32)  # the log-mel of a recording that is done
LEAD_FRAMES = 2 * FRAMES_PER_SECOND // 10  # of silence, before a phrase that is decoded again


@dataclass
class Chunk:
    """A stretch of a recording, decoded up to `seek`. `prompt` is the prompt of its next window."""

    recording: "Recording"
    stretch: Stretch
    prompt: tuple[int, ...]
    seek: int
    segments: list[Segment] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        return self.seek >= self.stretch.end

    @property
    def speech_end_s(self) -> float:
        """End of the text so far, or the chunk's start."""
        return self.segments[-1].end if self.segments else self.stretch.start / FRAMES_PER_SECOND

    def next_window(self) -> Window:
        end = window_end(self.recording.mel, self.seek, self.stretch.end)
        return Window(self.seek, end - self.seek)

    def missed_from(self, window: Window, segments: Sequence[Segment]) -> int | None:
        """The frame to seek to if the segments end before the window's speech does.

        None if they do not, or if that frame is so early that seeking there is no progress.
        """
        end = round(segments[-1].end * FRAMES_PER_SECOND)
        for part in within(self.recording.speech, end, window.end):
            min_frames = MISSED_REST_FRAMES if part.start == end else MISSED_PHRASE_FRAMES
            seek = max(end, part.start - LEAD_FRAMES)
            if part.end - part.start > min_frames and seek - window.seek > MISSED_REST_FRAMES:
                return seek
        return None

    def add(self, window: Window, segments: Sequence[Segment], seek: int) -> None:
        """Keep the segments that begin in the window; continue at `seek`, or at the window's end.

        Text that begins later comes from the padding. A `seek` that is no progress is ignored.
        """
        end_s = window.end / FRAMES_PER_SECOND
        self.segments += [
            _until(end_s, segment)
            for segment in without_empty(segments)
            if segment.text and segment.start < end_s
        ]
        self.seek = seek if window.seek < seek < window.end else window.end


@dataclass
class Recording:
    """A recording and its transcript so far. `speech` is empty without speech detection."""

    mel: LogMelFrames
    duration_s: float
    speech: Sequence[Stretch]
    language: SpokenLanguage
    tokenizer: Tokenizer
    chunks: list[Chunk] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    n_settled: int = 0  # chunks whose segments are in `segments`
    failure: NumericError | None = None  # why the rest is not decoded

    @property
    def done_s(self) -> float:
        """Seconds that are transcribed; all of them, silence included, after the last chunk."""
        if all(chunk.is_done for chunk in self.chunks):
            return self.duration_s
        frames = sum(chunk.seek - chunk.stretch.start for chunk in self.chunks)
        return min(frames / FRAMES_PER_SECOND, self.duration_s)

    @property
    def is_settled(self) -> bool:
        """True if nothing more of it will be found."""
        return self.n_settled == len(self.chunks)

    def settle(self) -> list[Segment]:
        """Number the segments up to the first chunk that is not done, and return the new ones.

        The log-mel is released after the last chunk.
        """
        n_before = len(self.segments)
        while self.n_settled < len(self.chunks) and self.chunks[self.n_settled].is_done:
            for segment in self.chunks[self.n_settled].segments:
                self.segments.append(replace(segment, id=len(self.segments)))
            self.n_settled += 1
        if self.is_settled:
            self.mel = NO_MEL
        return self.segments[n_before:]

    def give_up(self, failure: NumericError) -> None:
        """Stop decoding the recording, and drop the segments that are not settled yet."""
        self.failure, self.n_settled = failure, len(self.chunks)
        for chunk in self.chunks:
            chunk.seek = chunk.stretch.end


def _until(end_s: float, segment: Segment) -> Segment:
    """Limit the times of a segment to `end_s`, where the next chunk may begin.

    Times are whole frames. Rounding removes the floating-point error of sums, which could change
    the order of times.
    """
    words = tuple(
        replace(word, start=min(word.start, end_s), end=min(word.end, end_s))
        for word in segment.words
    )
    start, end = round(segment.start, 2), min(round(segment.end, 2), end_s)
    return replace(segment, start=start, end=end, words=words)
