"""Words in segments: equal to openai-whisper on the same random words, and every rule alone."""

from copy import deepcopy
from dataclasses import asdict, replace

import numpy as np
import pytest

from maxwhisper.decoding.alignment import WordTiming
from maxwhisper.network.dims import Dims
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcribe.word_times import (
    add_word_times,
    fit_together,
    last_word_end,
    median_duration,
    merge_punctuations,
    shorten_after_pause,
    shorten_at_sentence_ends,
    text_tokens,
)
from maxwhisper.transcript import Segment, Word

reference = pytest.importorskip("whisper.timing")

TOKENIZER = get_tokenizer(Dims(80, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1))
OPTIONS = TranscribeOptions()
PREPENDED, APPENDED = OPTIONS.prepend_punctuations, OPTIONS.append_punctuations
PIECES = (
    *(" one", " two", " three", "four", " (", '"', ' "', ".", ",", "!", "...", " ", "", "。", " -"),
)


def segment(start, end, tokens, seek=0):
    return Segment(0, seek, start, end, "", tuple(tokens), 0.0, 0.0, 0.0, 0.0)


def timing(word, start, end):
    return WordTiming(word, [1], start, end, 0.5)


def random_words(rng):
    """Words without gaps, as an alignment returns them: sometimes an empty one, or a pause."""
    n = int(rng.integers(0, 15))
    lengths = rng.choice(
        [0.0, 0.02, 0.1, 0.24, 0.4, 1.0, 3.0], n, p=[0.1, 0.1, 0.2, 0.2, 0.2, 0.1, 0.1]
    )
    ends = np.round(np.cumsum(lengths) * 50) / 50
    starts = np.concatenate([[0.0], ends[:-1]])[:n]
    return [
        WordTiming(str(rng.choice(PIECES)), [int(t) for t in rng.integers(0, 999, k)], s, e, p)
        for s, e, p, k in zip(
            starts.tolist(),
            ends.tolist(),
            rng.random(n).tolist(),
            rng.integers(1, 4, n),
            strict=True,
        )
    ]


def random_segments(rng, words, seek):
    """The words' tokens cut anywhere, with timestamps around them, and times that may not fit."""
    tokens = [token for word in words for token in word.tokens]
    cuts = sorted(rng.integers(0, len(tokens) + 1, rng.integers(0, 3)).tolist())
    offset = seek / 100
    begin, bounds = TOKENIZER.timestamp_begin, sorted(rng.integers(0, 600, 2 * len(cuts) + 2))
    return [
        segment(
            offset + bounds[2 * i] * 0.02,
            offset + bounds[2 * i + 1] * 0.02,
            (begin + bounds[2 * i], *tokens[first:end], begin + bounds[2 * i + 1]),
            seek,
        )
        for i, (first, end) in enumerate(zip([0, *cuts], [*cuts, len(tokens)], strict=True))
    ]


def test_random_words_equal_the_reference(monkeypatch):
    rng = np.random.default_rng(0)
    for _ in range(400):
        words, seek = random_words(rng), int(rng.integers(0, 3)) * 1234
        segments = random_segments(rng, words, seek)
        last_speech = seek / 100 * float(rng.random())
        theirs = [asdict(s) for s in segments]
        aligned = [reference.WordTiming(**asdict(word)) for word in words]
        monkeypatch.setattr(reference, "find_alignment", lambda *_, found=aligned, **__: found)
        reference.add_word_timestamps(
            segments=theirs,
            model=None,
            tokenizer=TOKENIZER,
            mel=None,
            num_frames=3000,
            last_speech_timestamp=last_speech,
        )
        ours = add_word_times(segments, words, last_speech, TOKENIZER, OPTIONS)
        assert len(ours) == len(theirs)
        for got, want in zip(ours, theirs, strict=True):
            assert (got.start, got.end) == (want["start"], want["end"])
            assert [asdict(word) for word in got.words] == want["words"]


def test_random_punctuation_is_merged_as_in_the_reference():
    rng = np.random.default_rng(1)
    for _ in range(400):
        ours = random_words(rng)
        theirs = deepcopy(ours)
        merge_punctuations(ours, PREPENDED, APPENDED)
        reference.merge_punctuations(theirs, PREPENDED, APPENDED)
        assert ours == theirs


def test_marks_join_the_word_they_belong_to():
    words = [timing(w, 0, 1) for w in (' "', " (", " Yes", "!", '"', " no", "...")]
    merge_punctuations(words, PREPENDED, APPENDED)
    assert [w.word for w in words if w.word] == [' " ( Yes!"', " no", "..."]
    assert sum(len(w.tokens) for w in words) == 7


def test_median_is_of_words_that_last_and_is_bounded():
    assert median_duration([timing("a", 0, 0), timing("b", 0, 0.2), timing("c", 1, 1.4)]) == (
        pytest.approx(0.3)
    )
    assert median_duration([timing("a", 0, 9)]) == 0.7
    assert median_duration([timing("a", 3, 3)]) == 0.0


def test_a_pause_at_a_sentence_end_belongs_to_no_word():
    words = [timing(" a", 0, 0.2), timing(".", 0.2, 3.0), timing(" b", 3.0, 8.0)]
    shorten_at_sentence_ends(words, 0.2)
    assert [(w.start, w.end) for w in words] == [(0, 0.2), (0.2, pytest.approx(0.6)), (7.6, 8.0)]


def test_first_words_after_a_pause_are_short():
    words = [Word("a", 5.0, 9.0, 1.0), Word("b", 9.0, 9.2, 1.0)]
    shorten_after_pause(words, last_speech_s=4.0, median_s=0.2)
    assert [(w.start, w.end) for w in words] == [(8.6, 9.0), (9.0, 9.2)]

    words = [Word("a", 5.0, 6.0, 1.0), Word("b", 6.0, 9.2, 1.0)]
    shorten_after_pause(words, last_speech_s=4.0, median_s=0.2)
    assert [(w.start, w.end) for w in words] == [
        (pytest.approx(8.4), pytest.approx(8.8)),
        (pytest.approx(8.8), 9.2),
    ]


def test_first_words_without_a_pause_keep_their_length():
    words = [Word("a", 5.0, 9.0, 1.0)]
    shorten_after_pause(words, last_speech_s=8.5, median_s=0.2)
    assert words == [Word("a", 5.0, 9.0, 1.0)]


def test_bounds_of_a_segment_are_those_of_its_words():
    words = [Word("a", 1.2, 1.5, 1.0), Word("b", 1.5, 2.4, 1.0)]
    fitted = fit_together(segment(1.0, 2.2, ()), words, 0.3)
    assert (fitted.start, fitted.end) == (1.2, 2.4)


def test_words_far_outside_a_segment_end_with_it():
    words = [Word("a", 0.2, 1.5, 1.0), Word("b", 1.5, 3.4, 1.0)]
    fitted = fit_together(segment(1.0, 2.2, ()), words, 0.3)
    assert (fitted.start, fitted.end) == (1.0, 2.2)
    assert [(w.start, w.end) for w in words] == [(1.0, 1.5), (1.5, 2.2)]


def test_the_last_word_ends_the_speech():
    empty = segment(4.0, 5.0, ())
    spoken = replace(empty, words=(Word("a", 1.0, 2.0, 1.0),))
    assert last_word_end([]) is None
    assert last_word_end([empty]) == 5.0
    assert last_word_end([spoken, empty]) == 2.0


def test_timestamps_are_not_aligned():
    begin = TOKENIZER.timestamp_begin
    assert text_tokens([segment(0, 1, (begin, 5, begin + 9, 6))], TOKENIZER) == [5, 6]
