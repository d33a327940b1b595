"""From the words of a window to words with times in its segments.

Attention says when a word begins, not when it ends: a pause belongs to a word beside it. What
follows cuts such words short where the text gives a hint: sentence marks, segment bounds, the end
of the speech before. Pure functions of words and segments.
Source: openai/whisper timing.py:244-388.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from maxwhisper.decoding.alignment import WordTiming
from maxwhisper.dims import FRAMES_PER_SECOND
from maxwhisper.options import TranscribeOptions
from maxwhisper.tokenizer import Tokenizer
from maxwhisper.transcript import Segment, Word

SENTENCE_END_MARKS = ".。!！?？"
MOST_MEDIAN_S = 0.7  # longer medians come from pauses, not from slow speech
# A word may reach this far over its segment's bound before the bound is preferred.
SEGMENT_SLACK_S = 0.5
LONGEST_MEDIANS = 2  # a word longer than so many medians is cut where a rule below allows it


def text_tokens(segments: Sequence[Segment], tokenizer: Tokenizer) -> list[int]:
    """Tokens of all segments without timestamps: what is aligned with the audio."""
    return [token for s in segments for token in s.tokens if token < tokenizer.eot]


def add_word_times(
    segments: Sequence[Segment],
    timings: list[WordTiming],
    last_speech_s: float,
    tokenizer: Tokenizer,
    options: TranscribeOptions,
) -> list[Segment]:
    """Segments of one window with their words, and with bounds moved to their first and last word.

    `timings` are the words of `text_tokens(segments)`, seconds from the window's start; they are
    changed. `last_speech_s` is the end of the speech before the window, from the recording's start.
    """
    median_s = median_duration(timings)
    shorten_at_sentence_ends(timings, median_s)
    merge_punctuations(timings, options.prepend_punctuations, options.append_punctuations)
    finished: list[Segment] = []
    next_word = 0
    for segment in segments:
        n_tokens = len(text_tokens([segment], tokenizer))
        offset_s = segment.seek / FRAMES_PER_SECOND
        words: list[Word] = []
        while n_tokens > 0 and next_word < len(timings):
            timing = timings[next_word]
            if timing.word:  # merged punctuation left nothing behind
                start, end = round(offset_s + timing.start, 2), round(offset_s + timing.end, 2)
                words.append(Word(timing.word, start, end, timing.probability))
            n_tokens -= len(timing.tokens)
            next_word += 1
        if words:
            shorten_after_pause(words, last_speech_s, median_s)
            segment = fit_together(segment, words, median_s)
            last_speech_s = segment.end
        finished.append(replace(segment, words=tuple(words)))
    return finished


def last_word_end(segments: Sequence[Segment]) -> float | None:
    """End of the last word in seconds; of the last segment if none has words."""
    for segment in reversed(segments):
        if segment.words:
            return segment.words[-1].end
    return segments[-1].end if segments else None


def median_duration(timings: Sequence[WordTiming]) -> float:
    """Seconds; over the words that last at all, 0 if none does."""
    durations = [t.end - t.start for t in timings if t.end != t.start]
    return min(MOST_MEDIAN_S, float(np.median(durations))) if durations else 0.0


def shorten_at_sentence_ends(timings: Sequence[WordTiming], median_s: float) -> None:
    """A pause between sentences is given to the mark or to the word after it: cut both short."""
    if median_s == 0:  # no word lasts: nothing to compare with
        return
    longest = LONGEST_MEDIANS * median_s
    for before, timing in pairwise(timings):
        if timing.end - timing.start <= longest:
            continue
        # Substring tests, as in the reference: "" is a mark, "..." is none.
        if timing.word in SENTENCE_END_MARKS:
            timing.end = timing.start + longest
        elif before.word in SENTENCE_END_MARKS:
            timing.start = timing.end - longest


def merge_punctuations(timings: Sequence[WordTiming], prepended: str, appended: str) -> None:
    """Join marks to the word they belong to, in place; what was joined keeps no text, no tokens.

    A mark is any substring of `prepended` or `appended`: "" and "!?" may be, "..." is not.
    """
    following = len(timings) - 1
    for i in range(len(timings) - 2, -1, -1):
        mark, word = timings[i], timings[following]
        if mark.word.startswith(" ") and mark.word.strip() in prepended:
            word.word, word.tokens = mark.word + word.word, mark.tokens + word.tokens
            mark.word, mark.tokens = "", []
        else:
            following = i

    previous = 0
    for i in range(1, len(timings)):
        word, mark = timings[previous], timings[i]
        if not word.word.endswith(" ") and mark.word in appended:
            word.word, word.tokens = word.word + mark.word, word.tokens + mark.tokens
            mark.word, mark.tokens = "", []
        else:
            previous = i


def shorten_after_pause(words: list[Word], last_speech_s: float, median_s: float) -> None:
    """The first words after a pause have swallowed it: give them ordinary lengths.

    They end more than 4 medians after it, so none moves before the start of the recording: the
    reference's guards against that (timing.py:360, 362) change nothing.
    """
    longest = LONGEST_MEDIANS * median_s
    first, second = words[0], words[1] if len(words) > 1 else None
    if first.end - last_speech_s <= median_s * 4:
        return
    pair_too_long = second is not None and second.end - first.start > longest * 2
    if first.end - first.start <= longest and not pair_too_long:
        return
    if second is not None and second.end - second.start > longest:
        boundary = second.end - longest
        first, words[1] = replace(first, end=boundary), replace(second, start=boundary)
    words[0] = replace(first, start=first.end - longest)


def fit_together(segment: Segment, words: list[Word], median_s: float) -> Segment:
    """Move the segment's bounds to its words; or, where a word reaches far beyond, the word's."""
    first = words[0]
    if segment.start < first.end and segment.start - SEGMENT_SLACK_S > first.start:
        start = max(0.0, min(first.end - median_s, segment.start))
        words[0] = replace(first, start=start)
    else:
        segment = replace(segment, start=first.start)
    last = words[-1]
    if segment.end > last.start and segment.end + SEGMENT_SLACK_S < last.end:
        words[-1] = replace(last, end=max(last.start + median_s, segment.end))
    else:
        segment = replace(segment, end=last.end)
    return segment
