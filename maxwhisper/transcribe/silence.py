"""Silence: windows without speech, and text that was heard in silence.

In: a decoded window, or its segments with their words. Out: what to keep and where to read on.
Times are seconds from the recording's start, seeks mel frames of 10 ms. Source: openai/whisper
transcribe.py:296-336, 411-472.
"""

from collections.abc import Sequence

from maxwhisper.decoding.window import WindowResult
from maxwhisper.dims import FRAMES_PER_SECOND, N_FRAMES
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcribe.segments import Window
from maxwhisper.transcribe.word_times import last_word_end
from maxwhisper.transcript import Segment, Word

# The marks that are joined to words by default, whatever was asked for.
PUNCTUATION = TranscribeOptions.prepend_punctuations + TranscribeOptions.append_punctuations
UNLIKELY = 0.15  # a word less probable than this is suspicious
SHORTEST_S, LONGEST_S = 0.133, 2.0  # words outside are suspicious by how far they are outside
WORDS_JUDGED = 8  # at the beginning of a segment
NEAR_BORDER_S = 2.0  # this near to the border of its window, a segment has silence on that side


def is_silence(result: WindowResult, options: TranscribeOptions) -> bool:
    """Probably no speech, and the text is not confident enough to say otherwise."""
    if options.no_speech_threshold is None:
        return False
    confident = (
        options.logprob_threshold is not None and result.avg_logprob > options.logprob_threshold
    )
    return result.no_speech_prob > options.no_speech_threshold and not confident


def seek_after_words(
    segments: Sequence[Segment], window: Window, seek: int, threshold_s: float | None
) -> int:
    """Read on where the last word ends; with a threshold, only if more than that is left of 30 s,
    else take the next window whole. For a window that does not end in a single timestamp."""
    end_s = last_word_end(segments)
    if end_s is None or end_s <= window.start_s:
        return seek
    window_end_s = (window.seek + N_FRAMES) / FRAMES_PER_SECOND  # 30 s even if the window is short
    if threshold_s is not None and window_end_s - end_s <= threshold_s:
        return window.end
    return round(end_s * FRAMES_PER_SECOND)


def seek_past_leading_silence(
    segments: Sequence[Segment], window: Window, threshold_s: float
) -> int | None:
    """Where to read the window again if its first segment looks made up and silence precedes it."""
    first = _first_with_words(segments)
    if first is None or not is_anomaly(first):
        return None
    gap_s = first.start - window.start_s
    return window.seek + round(gap_s * FRAMES_PER_SECOND) if gap_s > threshold_s else None


def drop_hallucinations(
    segments: list[Segment],
    window: Window,
    seek: int,
    last_speech_s: float,
    content_frames: int,
    threshold_s: float,
) -> tuple[list[Segment], int]:
    """Segments before the first that looks made up with silence, or more of its kind, around it;
    and the frame to read on from: that segment's start, or the end if only silence is left."""
    window_end_s = window.start_s + window.size / FRAMES_PER_SECOND
    full_window_end_s = (window.seek + N_FRAMES) / FRAMES_PER_SECOND
    for i, segment in enumerate(segments):
        if not segment.words:
            continue
        if is_anomaly(segment):
            following = _first_with_words(segments[i + 1 :])
            next_start_s = following.words[0].start if following else window_end_s
            silence_before = (
                segment.start - last_speech_s > threshold_s
                or segment.start < threshold_s
                or segment.start - window.start_s < NEAR_BORDER_S
            )
            silence_after = (
                next_start_s - segment.end > threshold_s
                or is_anomaly(following)
                or full_window_end_s - segment.end < NEAR_BORDER_S
            )
            if silence_before and silence_after:
                if content_frames / FRAMES_PER_SECOND - segment.end < threshold_s:
                    return segments[:i], content_frames
                start_s = max(window.start_s + 1, segment.start)  # 1 s on at least
                return segments[:i], round(start_s * FRAMES_PER_SECOND)
        last_speech_s = segment.end
    return segments, seek


def is_anomaly(segment: Segment | None) -> bool:
    """True if the first words are suspicious three times over, or each of them is."""
    if segment is None or not segment.words:
        return False
    # A substring test, as in the reference; a segment of nothing but marks is an anomaly.
    words = [word for word in segment.words if word.word not in PUNCTUATION][:WORDS_JUDGED]
    score = sum(word_anomaly(word) for word in words)
    return score >= 3 or score + 0.01 >= len(words)


def word_anomaly(word: Word) -> float:
    """How suspicious a word is: unlikely, very short or very long."""
    duration_s = word.end - word.start
    score = 1.0 if word.probability < UNLIKELY else 0.0
    if duration_s < SHORTEST_S:
        score += (SHORTEST_S - duration_s) * 15  # 2 for no duration at all
    if duration_s > LONGEST_S:
        score += duration_s - LONGEST_S
    return score


def _first_with_words(segments: Sequence[Segment]) -> Segment | None:
    return next((segment for segment in segments if segment.words), None)
