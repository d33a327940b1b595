"""A recording read in pieces, in any order: how far each is read, and what was heard so far.

In: windows with their segments. Out: the next window of a piece, and the recording's segments in
order. Times are seconds from the recording's start, seeks mel frames of 10 ms. Knows no network.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from maxwhisper.decoding.language import SpokenLanguage
from maxwhisper.decoding.protocols import LogMelFrames
from maxwhisper.dims import FRAMES_PER_SECOND
from maxwhisper.errors import NumericError
from maxwhisper.tokenizer import Tokenizer
from maxwhisper.transcribe.clips import Stretch
from maxwhisper.transcribe.packing import window_end, within
from maxwhisper.transcribe.segments import Window, without_empty
from maxwhisper.transcript import Segment

# Speech after the end of the text was missed if it is longer than this: a phrase of its own, or the
# rest of one. A shorter rest may be a word that was heard, with a timestamp that came too soon.
MISSED_PHRASE_FRAMES = 2 * FRAMES_PER_SECOND // 10
MISSED_REST_FRAMES = FRAMES_PER_SECOND // 2
NOTHING = np.empty((0, 0), np.float32)  # the log-mel of a recording that is read
LEAD_FRAMES = 2 * FRAMES_PER_SECOND // 10  # of silence, before a phrase that is read again


@dataclass
class Piece:
    """A stretch of a recording, read up to `seek`. `prompt` goes before its next window."""

    recording: "Recording"
    stretch: Stretch
    prompt: tuple[int, ...]
    seek: int
    segments: list[Segment] = field(default_factory=list)

    @property
    def is_read(self) -> bool:
        return self.seek >= self.stretch.end

    @property
    def heard_until_s(self) -> float:
        """End of the text so far, or where the piece begins."""
        return self.segments[-1].end if self.segments else self.stretch.start / FRAMES_PER_SECOND

    def next_window(self) -> Window:
        end = window_end(self.recording.mel, self.seek, self.stretch.end)
        return Window(self.seek, end - self.seek)

    def missed_from(self, window: Window, segments: Sequence[Segment]) -> int | None:
        """The frame to read on from if the segments end before the window's speech does.

        None if they do not, or if it lies so early that reading the same again is no progress.
        """
        end = round(segments[-1].end * FRAMES_PER_SECOND)
        for part in within(self.recording.speech, end, window.end):
            least = MISSED_REST_FRAMES if part.start == end else MISSED_PHRASE_FRAMES
            seek = max(end, part.start - LEAD_FRAMES)
            if part.end - part.start > least and seek - window.seek > MISSED_REST_FRAMES:
                return seek
        return None

    def add(self, window: Window, segments: Sequence[Segment], seek: int) -> None:
        """Keep the text that begins in the window; read on at `seek`, or where the window ends.

        Text that begins later was heard in the padding. A `seek` that is no progress is not taken.
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
    """A recording and what was heard in it. `speech` is empty where nobody looked for it."""

    mel: LogMelFrames
    duration_s: float
    speech: Sequence[Stretch]
    language: SpokenLanguage
    tokenizer: Tokenizer
    pieces: list[Piece] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    n_settled: int = 0  # pieces whose segments are among them
    failure: NumericError | None = None  # why no more of it is read

    def settle(self) -> list[Segment]:
        """Number the segments up to the first piece that is not read; return the new ones. The
        log-mel is let go of after the last."""
        n_before = len(self.segments)
        while self.n_settled < len(self.pieces) and self.pieces[self.n_settled].is_read:
            for segment in self.pieces[self.n_settled].segments:
                self.segments.append(replace(segment, id=len(self.segments)))
            self.n_settled += 1
        if self.n_settled == len(self.pieces):
            self.mel = NOTHING
        return self.segments[n_before:]

    def give_up(self, failure: NumericError) -> None:
        """Read no more of it, and settle none of what was read further on."""
        self.failure, self.n_settled = failure, len(self.pieces)
        for piece in self.pieces:
            piece.seek = piece.stretch.end


def _until(end_s: float, segment: Segment) -> Segment:
    """The segment with no time after `end_s`, where the next piece may begin. Times are whole
    frames: rounding them undoes the noise of adding them up, which could put one before another."""
    words = tuple(
        replace(word, start=min(word.start, end_s), end=min(word.end, end_s))
        for word in segment.words
    )
    start, end = round(segment.start, 2), min(round(segment.end, 2), end_s)
    return replace(segment, start=start, end=end, words=words)
