"""From the words of a window to words with times in its segments.

Attention tells when a word begins, not when it ends, so a pause is counted as part of the word
beside it. The functions here shorten such words using sentence marks, segment bounds and the end of
the speech before. Source: openai/whisper timing.py:244-388.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from maxwhisper.decoding.alignment import WordTiming
from maxwhisper.decoding.window import WindowDecoder
from maxwhisper.network.dims import FRAMES_PER_SECOND
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.tokenizer import Tokenizer
from maxwhisper.transcribe.segments import Window
from maxwhisper.transcript import Segment, Word

SENTENCE_END_MARKS = ".。!！?？"
MAX_MEDIAN_S = 0.7  # longer medians come from pauses, not from slow speech
# A word can exceed its segment's bound by this much before the bound is preferred.
SEGMENT_SLACK_S = 0.5
MAX_MEDIANS = 2  # a longer word is shortened if one of the rules below applies


def text_tokens(segments: Sequence[Segment], tokenizer: Tokenizer) -> list[int]:
    """Tokens of all segments without timestamps: the text to align with the audio."""
    return [token for s in segments for token in s.tokens if token < tokenizer.eot]


def with_words(
    decoder: WindowDecoder,
    encoded: Any,
    segments: Sequence[Segment],
    window: Window,
    last_speech_s: float,
) -> list[Segment]:
    """The segments of one encoded window with their words; see `add_word_times`."""
    with decoder.clock.stage("words"):
        text = text_tokens(segments, decoder.tokenizer)
        (words,) = decoder.align(encoded, [text], [window.size])
        return add_word_times(segments, words, last_speech_s, decoder.tokenizer, decoder.options)


def add_word_times(
    segments: Sequence[Segment],
    timings: list[WordTiming],
    last_speech_s: float,
    tokenizer: Tokenizer,
    options: TranscribeOptions,
) -> list[Segment]:
    """Add words to the segments of one window, and move segment bounds to the first and last word.

    `timings` are the words of `text_tokens(segments)` in seconds from the window's start; they are
    modified. `last_speech_s` is the end of the speech before the window, in seconds from the
    recording's start.
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
            if timing.word:  # empty if merged into a neighbour
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
    """End of the last word in seconds; of the last segment if there are no words."""
    for segment in reversed(segments):
        if segment.words:
            return segment.words[-1].end
    return segments[-1].end if segments else None


def median_duration(timings: Sequence[WordTiming]) -> float:
    """Median duration in seconds of the words with a duration, at most 0.7; 0 if there are none."""
    durations = [t.end - t.start for t in timings if t.end != t.start]
    return min(MAX_MEDIAN_S, float(np.median(durations))) if durations else 0.0


def shorten_at_sentence_ends(timings: Sequence[WordTiming], median_s: float) -> None:
    """Shorten marks at sentence ends and the words after them: they contain the pause."""
    if median_s == 0:  # no word has a duration
        return
    max_s = MAX_MEDIANS * median_s
    for before, timing in pairwise(timings):
        if timing.end - timing.start <= max_s:
            continue
        # Substring tests, as in the reference: "" counts as a mark, "..." does not.
        if timing.word in SENTENCE_END_MARKS:
            timing.end = timing.start + max_s
        elif before.word in SENTENCE_END_MARKS:
            timing.start = timing.end - max_s


def merge_punctuations(timings: Sequence[WordTiming], prepended: str, appended: str) -> None:
    """Join marks to the word they belong to, in place. A joined mark keeps no text and no tokens.

    A mark is any substring of `prepended` or `appended`: "" counts, "..." does not.
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
    """Shorten the first two words after a pause: their times include the pause.

    They end more than 4 medians after the pause begins, so no word moves before the start of the
    recording; the reference's guards against that (timing.py:360, 362) have no effect.
    """
    max_s = MAX_MEDIANS * median_s
    first, second = words[0], words[1] if len(words) > 1 else None
    if first.end - last_speech_s <= median_s * 4:
        return
    pair_too_long = second is not None and second.end - first.start > max_s * 2
    if first.end - first.start <= max_s and not pair_too_long:
        return
    if second is not None and second.end - second.start > max_s:
        boundary = second.end - max_s
        first, words[1] = replace(first, end=boundary), replace(second, start=boundary)
    words[0] = replace(first, start=first.end - max_s)


def fit_together(segment: Segment, words: list[Word], median_s: float) -> Segment:
    """Move the segment's bounds to its words, or a word's if it exceeds the segment by far."""
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
