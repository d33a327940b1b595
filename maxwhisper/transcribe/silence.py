"""Silence: where to seek after words, and which segments are hallucinated in silence.

In: the segments of a window with their words. Out: the segments to keep and the frame to seek to.
Times are seconds from the recording's start, seeks are mel frames of 10 ms. Source: openai/whisper
transcribe.py:309-336, 411-472.
"""

from collections.abc import Sequence

from maxwhisper.network.dims import FRAMES_PER_SECOND, N_FRAMES
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcribe.segments import Window
from maxwhisper.transcribe.word_times import last_word_end
from maxwhisper.transcript import Segment, Word

# The marks that are joined to words by default, whatever the options say.
PUNCTUATION = TranscribeOptions.prepend_punctuations + TranscribeOptions.append_punctuations
UNLIKELY = 0.15  # a word with a lower probability is suspicious
MIN_WORD_S, MAX_WORD_S = 0.133, 2.0  # outside, a word is suspicious in proportion to the excess
WORDS_JUDGED = 8  # at the beginning of a segment
NEAR_BORDER_S = 2.0  # a segment this close to the window's border has silence on that side


def seek_after_words(
    segments: Sequence[Segment], window: Window, seek: int, threshold_s: float | None
) -> int:
    """The frame to seek to after a window that does not end in a single timestamp: the end of its
    last word. With a threshold, the window's end if at most that much is left of 30 s."""
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
    """The frame to decode again from if silence precedes a first segment that looks hallucinated;
    None otherwise."""
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
    """Drop everything from the first segment on that looks hallucinated and has silence, or another
    such segment, on both sides.

    Returns the segments before it and the frame to seek to: that segment's start, or the end of the
    recording if only silence is left.
    """
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
                start_s = max(window.start_s + 1, segment.start)  # advance by at least 1 s
                return segments[:i], round(start_s * FRAMES_PER_SECOND)
        last_speech_s = segment.end
    return segments, seek


def is_anomaly(segment: Segment | None) -> bool:
    """True if the anomaly scores of the first words add up to 3, or to the number of words."""
    if segment is None or not segment.words:
        return False
    # A substring test, as in the reference: a segment of punctuation alone is an anomaly.
    words = [word for word in segment.words if word.word not in PUNCTUATION][:WORDS_JUDGED]
    score = sum(word_anomaly(word) for word in words)
    return score >= 3 or score + 0.01 >= len(words)


def word_anomaly(word: Word) -> float:
    """Anomaly score of a word: 0 for a normal one, more if unlikely, very short or very long."""
    duration_s = word.end - word.start
    score = 1.0 if word.probability < UNLIKELY else 0.0
    if duration_s < MIN_WORD_S:
        score += (MIN_WORD_S - duration_s) * 15  # 2 for no duration at all
    if duration_s > MAX_WORD_S:
        score += duration_s - MAX_WORD_S
    return score


def _first_with_words(segments: Sequence[Segment]) -> Segment | None:
    return next((segment for segment in segments if segment.words), None)
