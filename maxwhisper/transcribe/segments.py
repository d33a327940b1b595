"""From the tokens of one window to segments with times, and to where the next window begins.

Source: openai/whisper transcribe.py:339-399, 484-492. Pure functions of tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from maxwhisper.decoding.window import WindowResult
from maxwhisper.dims import FRAMES_PER_SECOND, INPUT_STRIDE, TIME_PRECISION_S
from maxwhisper.tokenizer import Tokenizer
from maxwhisper.transcript import Segment


@dataclass(frozen=True)
class Window:
    """A stretch of the recording, in mel frames of 10 ms: at most 3000 from `seek`."""

    seek: int
    size: int

    @property
    def start_s(self) -> float:
        return self.seek / FRAMES_PER_SECOND

    @property
    def end(self) -> int:
        """Frame after the last one."""
        return self.seek + self.size


def window_segments(
    result: WindowResult, window: Window, tokenizer: Tokenizer, first_id: int
) -> tuple[list[Segment], int]:
    """Segments of a decoded window and the frame to seek to.

    Two adjacent timestamps close one segment and open the next. A window that ends in a single
    timestamp has nothing after it; otherwise the last unclosed segment is dropped and read again
    from its start. Segments without duration or text are among them: `without_empty` comes later,
    because word times may still give them a duration.
    """
    tokens = result.tokens
    is_timestamp = [token >= tokenizer.timestamp_begin for token in tokens]
    single_ending = ends_in_single_timestamp(tokens, tokenizer)
    spans: list[tuple[int, int | None]]
    cuts = [i for i in range(1, len(tokens)) if is_timestamp[i - 1] and is_timestamp[i]]

    if cuts:
        if single_ending:
            cuts.append(len(tokens))
        starts = [0, *cuts[:-1]]
        pieces = [tokens[start:cut] for start, cut in zip(starts, cuts, strict=True)]
        spans = [_positions(piece, tokenizer) for piece in pieces]
        closed = pieces[-1][-1] - tokenizer.timestamp_begin
        advance = window.size if single_ending else closed * INPUT_STRIDE
    else:
        pieces = [tokens]
        spans = [(0, _last_position(tokens, tokenizer))]
        advance = window.size

    segments: list[Segment] = []
    for piece, (first, last) in zip(pieces, spans, strict=True):
        start = window.start_s + first * TIME_PRECISION_S
        # `last` is None where no timestamp says so: the segment fills the window.
        length_s = window.size / FRAMES_PER_SECOND if last is None else last * TIME_PRECISION_S
        end = window.start_s + length_s
        segments.append(
            _segment(piece, start, end, first_id + len(segments), result, window, tokenizer)
        )
    return segments, window.seek + advance


def ends_in_single_timestamp(tokens: Sequence[int], tokenizer: Tokenizer) -> bool:
    """True if the window closed its last segment and opened no other: no speech follows."""
    return [token >= tokenizer.timestamp_begin for token in tokens[-2:]] == [False, True]


def without_empty(segments: Sequence[Segment]) -> list[Segment]:
    """The same segments; one that has no duration or no text stays, with nothing in it."""
    return [
        replace(segment, text="", tokens=(), words=())
        if segment.start == segment.end or not segment.text.strip()
        else segment
        for segment in segments
    ]


def _positions(piece: Sequence[int], tokenizer: Tokenizer) -> tuple[int, int]:
    """Timestamp positions (0.02 s each) at both ends of a closed segment. Without timestamp rules
    it may begin with text: at the window's start (the reference takes the text for a time)."""
    begin = tokenizer.timestamp_begin
    return max(0, piece[0] - begin), piece[-1] - begin


def _last_position(tokens: Sequence[int], tokenizer: Tokenizer) -> int | None:
    """Position of the last timestamp, or None if there is none after <|0.00|>."""
    positions = [token - tokenizer.timestamp_begin for token in tokens]
    timestamps = [position for position in positions if position >= 0]
    return timestamps[-1] if timestamps and timestamps[-1] != 0 else None


def _segment(
    tokens: Sequence[int],
    start: float,
    end: float,
    segment_id: int,
    result: WindowResult,
    window: Window,
    tokenizer: Tokenizer,
) -> Segment:
    return Segment(
        id=segment_id,
        seek=window.seek,
        start=start,
        end=end,
        text=tokenizer.decode([token for token in tokens if token < tokenizer.eot]),
        tokens=tuple(tokens),
        temperature=result.temperature,
        avg_logprob=result.avg_logprob,
        compression_ratio=result.compression_ratio,
        no_speech_prob=result.no_speech_prob,
    )
