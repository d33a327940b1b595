"""Render a transcript as txt, srt, vtt, tsv or json, byte for byte as openai-whisper writes them,
or as the verbose JSON of the OpenAI API.

In: a `Transcript`, the options of the transcription, and the rules for subtitle lines. Out: text.
Source of the formats: openai/whisper utils.py:84-318.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from maxwhisper.errors import OptionError
from maxwhisper.options import LineOptions, TranscribeOptions
from maxwhisper.text.languages import LANGUAGES
from maxwhisper.transcript import Segment, Transcript, Word

ALL = ("txt", "vtt", "srt", "tsv", "json")  # the formats of openai-whisper's "all"
FORMATS = (*ALL, "verbose_json")

Cue = tuple[str, str, str]  # start, end, text

LONG_PAUSE_S = 3.0  # between the starts of two words: begins a new subtitle (utils.py:152)
UNLIMITED = 1000  # default for characters per line and words per subtitle (utils.py:125-126)


def extension(output_format: str) -> str:
    """Return the file name extension of a format, without the dot."""
    return "json" if output_format == "verbose_json" else output_format


def render(
    transcript: Transcript,
    output_format: str,
    options: TranscribeOptions,
    lines: LineOptions | None = None,
) -> str:
    """Return the content of a file in one of `FORMATS`. Raises `OptionError` for another format."""
    lines = lines or LineOptions()
    match output_format:
        case "txt":
            return "".join(f"{segment.text.strip()}\n" for segment in transcript.segments)
        case "vtt":
            cues = _cues(transcript, options, lines, clock_time)
            return "WEBVTT\n\n" + "".join(f"{a} --> {b}\n{text}\n\n" for a, b, text in cues)
        case "srt":
            cues = _cues(transcript, options, lines, _srt_time)
            return "".join(
                f"{number}\n{a} --> {b}\n{text}\n\n"
                for number, (a, b, text) in enumerate(cues, start=1)
            )
        case "tsv":
            return "start\tend\ttext\n" + "".join(map(_tsv_row, transcript.segments))
        case "json":
            return json.dumps(reference_json(transcript, options))
        case "verbose_json":
            return json.dumps(verbose_json(transcript, options), ensure_ascii=False)
    raise OptionError(f"unknown output format {output_format!r}: choose from {', '.join(FORMATS)}")


def reference_json(transcript: Transcript, options: TranscribeOptions) -> dict[str, Any]:
    """Return the result of openai-whisper's `transcribe()`, with its fields in its order.

    Without word times a segment has no `words`, except an emptied segment, whose `words` is empty
    (transcribe.py:484-488).
    """
    segments = [asdict(segment) for segment in transcript.segments]
    for segment in segments:
        if segment["text"] and not options.word_timestamps:
            del segment["words"]
    return {"text": transcript.text, "segments": segments, "language": transcript.language}


def verbose_json(transcript: Transcript, options: TranscribeOptions) -> dict[str, Any]:
    """Return `response_format=verbose_json` of the OpenAI API.

    It has the language's name, the duration in seconds, the segments, and all words in one list if
    the options request word times.
    """
    segments = [asdict(segment) for segment in transcript.segments]
    for segment in segments:
        del segment["words"]
    document = {
        "task": options.task,
        "language": LANGUAGES.get(transcript.language, transcript.language),
        "duration": transcript.duration,
        "text": transcript.text.strip(),
        "segments": segments,
    }
    if options.word_timestamps:
        words = [asdict(word) | {"word": word.word.strip()} for word in transcript.words]
        document["words"] = words
    return document


def clock_time(seconds: float, hours_always: bool = False, decimal_marker: str = ".") -> str:
    """Format seconds: 83.5 -> "01:23.500". Hours are omitted if zero, unless `hours_always`."""
    minutes, ms = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02d}:{ms // 1000:02d}{decimal_marker}{ms % 1000:03d}"
    return f"{hours:02d}:{text}" if hours or hours_always else text


def _srt_time(seconds: float) -> str:
    return clock_time(seconds, hours_always=True, decimal_marker=",")


def _tsv_row(segment: Segment) -> str:
    text = segment.text.strip().replace("\t", " ")
    return f"{round(1000 * segment.start)}\t{round(1000 * segment.end)}\t{text}\n"


def _cues(
    transcript: Transcript,
    options: TranscribeOptions,
    lines: LineOptions,
    time_text: Callable[[float], str],
) -> Iterator[Cue]:
    """Yield subtitles in order: made of words if there are word times, else one per segment."""
    if not options.word_timestamps:
        for segment in transcript.segments:
            # An arrow in the text would be parsed as a time line.
            text = segment.text.strip().replace("-->", "->")
            yield time_text(segment.start), time_text(segment.end), text
        return
    for words in _subtitles(transcript.segments, lines):
        if lines.highlight_words:
            yield from _highlighted(words, time_text)
        else:
            text = "".join(word.word for word in words)
            yield time_text(words[0].start), time_text(words[-1].end), text


def _highlighted(words: list[Word], time_text: Callable[[float], str]) -> Iterator[Cue]:
    """Yield the whole subtitle once per word with that word underlined, and plain in each pause."""
    texts = [word.word for word in words]
    shown_until = time_text(words[0].start)
    for i, word in enumerate(words):
        start, end = time_text(word.start), time_text(word.end)
        if shown_until != start:
            yield shown_until, start, "".join(texts)
        yield start, end, "".join([*texts[:i], _underlined(texts[i]), *texts[i + 1 :]])
        shown_until = end


def _underlined(text: str) -> str:
    """Underline `text`, but not the spaces and line breaks before it."""
    return re.sub(r"^(\s*)(.*)$", r"\1<u>\2</u>", text)


def _subtitles(segments: Sequence[Segment], lines: LineOptions) -> Iterator[list[Word]]:
    """Yield the words of each subtitle. A word that begins a further line starts with a line break.

    Unless both a line width and a line count are given, no subtitle crosses the end of a segment.
    """
    width = lines.max_line_width or UNLIMITED
    keep_groups = lines.max_line_count is None or lines.max_line_width is None
    subtitle: list[Word] = []
    line_length, n_lines = 0, 1  # of the current line, of the current subtitle
    last_start: float | None = None
    for word, begins_group in _grouped(segments, lines.max_words_per_line or UNLIMITED):
        pause = last_start is not None and word.start - last_start > LONG_PAUSE_S
        last_start = word.start
        ends_subtitle = bool(subtitle) and (begins_group if keep_groups else pause)
        if 0 < line_length <= width - len(word.word) and not ends_subtitle:
            line_length += len(word.word)
            subtitle.append(word)
            continue
        text = word.word.strip()
        is_full = lines.max_line_count is not None and n_lines >= lines.max_line_count
        if subtitle and (ends_subtitle or is_full):
            yield subtitle
            subtitle, n_lines = [], 1
        elif line_length > 0:
            n_lines += 1
            text = "\n" + text
        line_length = len(text.strip())
        subtitle.append(replace(word, word=text))
    if subtitle:
        yield subtitle


def _grouped(segments: Sequence[Segment], max_words: int) -> Iterator[tuple[Word, bool]]:
    """Yield (word, whether it begins a group) for groups of at most `max_words` words of one
    segment."""
    for segment in segments:
        for i, word in enumerate(segment.words):
            yield word, i % max_words == 0
