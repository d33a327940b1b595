"""Transcript files: equal to openai-whisper byte for byte, for handmade and random transcripts.

The oracle is `whisper.utils.get_writer`, given the same transcript.
"""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from maxwhisper.errors import OptionError
from maxwhisper.options import LineOptions, TranscribeOptions
from maxwhisper.text.writers import ALL, extension, reference_json, render, verbose_json
from maxwhisper.transcript import Segment, Transcript, Word

PLAIN = TranscribeOptions()
WITH_WORDS = TranscribeOptions(word_timestamps=True)
LONG = " Incomprehensibilities " + "x" * 50 + " and then some more words that need a second line."


def segment(number, start, text, words=(), length_s=2.5):
    return Segment(
        number, 0, start, start + length_s, text, (1, 50_257), 0.0, -0.25, 1.5, 0.125, tuple(words)
    )


def transcript(*segments, language="en"):
    text = "".join(s.text for s in segments)
    return Transcript(text, language, segments, 9_000.0, {"total": 1.0})


def spoken(start, text, word_s=0.31, pause_s=0.0):
    """Return a segment of consecutive words with the leading spaces of the tokenizer."""
    words, at = [], start
    for word in filter(None, text.replace(" ", "\0 ").split("\0")):
        words.append(Word(word, round(at, 2), round(at + word_s, 2), 0.75))
        at += word_s + pause_s
    return segment(0, start, text, words)


def random_transcript(seed):
    """Return random segments: words of any length, some blank; pauses of 0 to 6 s."""
    rng = np.random.default_rng(seed)
    alphabet = [*"abcdefgh", "é", "語", "-->", "<b>", "\t", "\n", " "]
    at, segments = 0.0, []
    for number in range(rng.integers(0, 7)):
        words = []
        for _ in range(rng.integers(0, 9)):
            at += rng.choice([0.0, 0.0, 0.2, 3.0, 6.0])
            length_s = round(float(rng.choice([0.0, 0.1, 1.3])), 2)
            text = "".join(rng.choice(alphabet, rng.integers(0, 12)))
            words.append(Word(" " * rng.integers(0, 2) + text, at, at + length_s, 0.5))
            at += length_s
        text = "".join(word.word for word in words)
        start = words[0].start if words else at
        segments.append(replace(segment(number, start, text, words), end=at))
    return transcript(*segments)


WITHOUT_TIMES = {
    "nothing": transcript(),
    "one": transcript(segment(0, 0.0, " Hello.")),
    "arrows, tabs, line breaks": transcript(
        segment(0, 0.0, " a --> b\tc\n--> d "), segment(1, 2, "")
    ),
    "over an hour": transcript(segment(0, 3599.9996, " late"), segment(1, 360_000.5, " later")),
    "halves of a millisecond": transcript(segment(0, 0.0005, "a"), segment(1, 0.0015, "b")),
    "other scripts": transcript(segment(0, 1.0, " Grüße, 世界 🎧 ‏مرحبا"), language="de"),
}
WITH_TIMES = {
    "one": transcript(spoken(0.0, " Hello there.")),
    "two segments": transcript(
        spoken(0.0, " And so my fellow"), spoken(2.0, " Americans, ask not.")
    ),
    "long words": transcript(spoken(0.0, LONG), spoken(20.0, LONG)),
    "long pauses": transcript(spoken(0.0, " one two three four five six", pause_s=2.7)),
    "arrows stay": transcript(spoken(0.0, " a --> b")),
    "empty segments between": transcript(
        segment(0, 0.0, ""), spoken(1.0, " here"), segment(1, 2.0, ""), spoken(3.0, " there")
    ),
    "no words at all": transcript(segment(0, 0.0, "")),
    "over an hour": transcript(spoken(3599.0, " from hour to hour", word_s=0.5)),
    "nothing": transcript(),
}
LINES = [
    LineOptions(highlight, width, count, words)
    for highlight, width, count, words in itertools.product(
        (False, True), (None, 1, 12, 42), (None, 1, 2), (None, 1, 3)
    )
]


def reference_bytes(made, output_format, options, lines, folder):
    from whisper.utils import get_writer

    writer = get_writer(output_format, str(folder))
    result = reference_json(made, options)
    writer(result, "some/talk.en.mp3", **vars(lines))
    return (folder / f"talk.en.{output_format}").read_bytes()


def our_bytes(made, output_format, options, lines):
    return render(made, output_format, options, lines).encode()


@pytest.mark.parametrize("output_format", ALL)
@pytest.mark.parametrize("name", WITHOUT_TIMES)
def test_bytes_without_word_times(name, output_format, tmp_path):
    made = WITHOUT_TIMES[name]
    want = reference_bytes(made, output_format, PLAIN, LineOptions(), tmp_path)
    assert our_bytes(made, output_format, PLAIN, LineOptions()) == want


@pytest.mark.parametrize("output_format", ["srt", "vtt"])
@pytest.mark.parametrize("name", WITH_TIMES)
def test_bytes_of_subtitles_for_every_line_option(name, output_format, tmp_path):
    made = WITH_TIMES[name]
    for lines in LINES:
        want = reference_bytes(made, output_format, WITH_WORDS, lines, tmp_path)
        assert our_bytes(made, output_format, WITH_WORDS, lines) == want, lines


@pytest.mark.parametrize("output_format", ["txt", "tsv", "json"])
@pytest.mark.parametrize("name", WITH_TIMES)
def test_bytes_of_other_formats_with_word_times(name, output_format, tmp_path):
    made = WITH_TIMES[name]
    want = reference_bytes(made, output_format, WITH_WORDS, LineOptions(), tmp_path)
    assert our_bytes(made, output_format, WITH_WORDS, LineOptions()) == want


def test_bytes_of_200_random_transcripts(tmp_path):
    for seed in range(200):
        made, lines = random_transcript(seed), LINES[seed * 7 % len(LINES)]
        for output_format in ALL:
            want = reference_bytes(made, output_format, WITH_WORDS, lines, tmp_path)
            got = our_bytes(made, output_format, WITH_WORDS, lines)
            assert got == want, (seed, output_format, lines)


def test_reference_json_has_the_fields_of_the_reference():
    made = transcript(spoken(0.0, " Hello there."))
    assert list(reference_json(made, WITH_WORDS)) == ["text", "segments", "language"]
    (entry,) = reference_json(made, WITH_WORDS)["segments"]
    # fmt: off
    assert list(entry) == [
        "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob",
        "compression_ratio", "no_speech_prob", "words",
    ]
    # fmt: on
    assert list(entry["words"][0]) == ["word", "start", "end", "probability"]
    assert "words" not in reference_json(made, PLAIN)["segments"][0]


def test_verbose_json():
    made = transcript(spoken(0.0, " Guten Tag."), language="de")
    options = replace(WITH_WORDS, task="translate")
    document = json.loads(render(made, "verbose_json", options))
    assert document == json.loads(json.dumps(verbose_json(made, options)))
    assert {name: document[name] for name in ("task", "language", "duration", "text")} == {
        "task": "translate",
        "language": "german",
        "duration": 9_000.0,
        "text": "Guten Tag.",
    }
    assert [word["word"] for word in document["words"]] == ["Guten", "Tag."]
    assert document["words"][1]["start"] == 0.31
    (entry,) = document["segments"]
    assert entry["tokens"] == [1, 50_257]
    assert (entry["avg_logprob"], entry["no_speech_prob"], entry["seek"]) == (-0.25, 0.125, 0)
    assert "words" not in verbose_json(made, PLAIN)


@pytest.mark.parametrize(
    ("lines", "formats", "options", "complaint"),
    [
        (LineOptions(highlight_words=True), ["srt"], PLAIN, "highlight_words needs word times"),
        (LineOptions(max_line_width=40), ["txt", "json"], WITH_WORDS, "is for subtitles"),
        (LineOptions(max_line_width=40), [], WITH_WORDS, "got none"),
        (LineOptions(max_line_count=2), ["srt"], WITH_WORDS, "needs max_line_width"),
        (LineOptions(False, 40, 2, 3), ["srt"], WITH_WORDS, "no effect beside max_line_count"),
        (LineOptions(max_line_width=0), ["srt"], WITH_WORDS, "at least 1, got 0"),
        (LineOptions(max_line_width="40"), ["srt"], WITH_WORDS, "must be of type int"),
        (LineOptions(highlight_words=1), ["srt"], WITH_WORDS, "must be of type bool"),
        (LineOptions(max_words_per_line=-1), ["srt"], WITH_WORDS, "at least 1, got -1"),
    ],
)
def test_line_options_without_effect_are_refused(lines, formats, options, complaint):
    with pytest.raises(OptionError, match=complaint):
        lines.validate(formats, options)


def test_line_options_with_effect_are_kept():
    for lines in (LineOptions(), LineOptions(True, 40, 2), LineOptions(False, 40, None, 3)):
        assert lines.validate(["txt", "srt"], WITH_WORDS) is lines
    assert LineOptions().validate([], PLAIN) == LineOptions()


def test_an_unknown_format_is_refused():
    with pytest.raises(OptionError, match=r"unknown output format 'doc'.*verbose_json"):
        render(transcript(), "doc", PLAIN)
    assert [extension(name) for name in ("srt", "verbose_json")] == ["srt", "json"]
