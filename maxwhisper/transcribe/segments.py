"""From the tokens of one window to segments with times, and to the start of the next window.

Source: openai/whisper transcribe.py:339-399, 484-492. Pure functions of tokens.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from maxwhisper.decoding.window import WindowResult
from maxwhisper.network.dims import FRAMES_PER_SECOND, INPUT_STRIDE, TIME_PRECISION_S
from maxwhisper.text.tokenizer import Tokenizer
from maxwhisper.transcript import Segment


@dataclass(frozen=True)
class Window:
    """Part of the recording in mel frames of 10 ms: at most 3000 from `seek`."""

    seek: int
    size: int

    @property
    def start_s(self) -> float:
        return self.seek / FRAMES_PER_SECOND

    @property
    def end(self) -> int:
        """The frame after the last one."""
        return self.seek + self.size


def window_segments(
    result: WindowResult, window: Window, tokenizer: Tokenizer, first_id: int
) -> tuple[list[Segment], int]:
    """Segments of a decoded window, and the frame to seek to.

    Two adjacent timestamps close one segment and open the next. If the window ends in a single
    timestamp, nothing follows it; otherwise the last unclosed segment is dropped and decoded again
    from its start. Segments without duration or text are included, because word times may still
    give them a duration: `without_empty` blanks them later.
    """
    tokens = result.tokens
    is_timestamp = [token >= tokenizer.timestamp_begin for token in tokens]
    cuts = [i for i in range(1, len(tokens)) if is_timestamp[i - 1] and is_timestamp[i]]
    advance = window.size
    parts: list[tuple[Sequence[int], int, int | None]]  # tokens, first and last position
    if cuts:
        if ends_in_single_timestamp(tokens, tokenizer):
            cuts.append(len(tokens))
        else:
            advance = (tokens[cuts[-1] - 1] - tokenizer.timestamp_begin) * INPUT_STRIDE
        starts = [0, *cuts[:-1]]
        groups = [tokens[start:cut] for start, cut in zip(starts, cuts, strict=True)]
        parts = [(group, *_positions(group, tokenizer)) for group in groups]
    else:
        parts = [(tokens, 0, _last_position(tokens, tokenizer))]

    segments: list[Segment] = []
    for group, first, last in parts:
        # `last` is None if no timestamp gives it: the segment fills the window.
        length_s = window.size / FRAMES_PER_SECOND if last is None else last * TIME_PRECISION_S
        segments.append(
            Segment(
                id=first_id + len(segments),
                seek=window.seek,
                start=window.start_s + first * TIME_PRECISION_S,
                end=window.start_s + length_s,
                text=tokenizer.decode([token for token in group if token < tokenizer.eot]),
                tokens=tuple(group),
                **asdict(result.quality),
            )
        )
    return segments, window.seek + advance


def ends_in_single_timestamp(tokens: Sequence[int], tokenizer: Tokenizer) -> bool:
    """True if the tokens close the last segment and open no other: no speech follows."""
    return [token >= tokenizer.timestamp_begin for token in tokens[-2:]] == [False, True]


def without_empty(segments: Sequence[Segment]) -> list[Segment]:
    """The same segments; those without duration or text keep their place but are blanked."""
    return [
        replace(segment, text="", tokens=(), words=())
        if segment.start == segment.end or not segment.text.strip()
        else segment
        for segment in segments
    ]


def _positions(tokens: Sequence[int], tokenizer: Tokenizer) -> tuple[int, int]:
    """Timestamp positions (0.02 s each) at both ends of a closed segment.

    Without timestamp rules a segment may begin with text: it then starts with the window. (The
    reference reads the text token as a time.)
    """
    begin = tokenizer.timestamp_begin
    return max(0, tokens[0] - begin), tokens[-1] - begin


def _last_position(tokens: Sequence[int], tokenizer: Tokenizer) -> int | None:
    """Position of the last timestamp, or None if there is none after <|0.00|>."""
    positions = [token - tokenizer.timestamp_begin for token in tokens]
    timestamps = [position for position in positions if position >= 0]
    return timestamps[-1] if timestamps and timestamps[-1] != 0 else None
