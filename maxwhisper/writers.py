"""A transcript as a file: txt, srt, vtt, tsv and json byte for byte as openai-whisper writes them,
and the OpenAI API's verbose JSON.

In: a `Transcript`, the options it was made with, and how subtitle lines are broken. Out: text.
Source of the formats: openai/whisper utils.py:84-318.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from maxwhisper.errors import OptionError
from maxwhisper.languages import LANGUAGES
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import Segment, Transcript, Word
from maxwhisper.validation import AT_LEAST_1, check_options

ALL = ("txt", "vtt", "srt", "tsv", "json")  # what openai-whisper means by "all"
FORMATS = (*ALL, "verbose_json")
SUBTITLES = ("vtt", "srt")

Cue = tuple[str, str, str]  # start, end, text

LONG_PAUSE_S = 3.0  # between the starts of two words: a new subtitle (utils.py:152)
UNLIMITED = 1000  # characters a line, words a subtitle, where no limit is given (utils.py:125-126)


@dataclass(frozen=True)
class LineOptions:
    """How words are set into the lines of a subtitle. All of it needs word times."""

    highlight_words: bool = False  # underline each word while it is spoken
    max_line_width: int | None = None  # characters
    max_line_count: int | None = None  # lines a subtitle
    max_words_per_line: int | None = None  # words a subtitle

    def validate(
        self, output_formats: Collection[str], options: TranscribeOptions
    ) -> "LineOptions":
        """Return self, or raise `OptionError` for a setting that could have no effect."""
        limits = ("max_line_width", "max_line_count", "max_words_per_line")
        check_options(self, dict.fromkeys(limits, AT_LEAST_1))
        given = {f.name: value for f in fields(self) if (value := getattr(self, f.name))}
        if given and not options.word_timestamps:
            raise OptionError(f"{', '.join(given)} needs word times: give word_timestamps=True")
        if given and not set(output_formats) & set(SUBTITLES):
            raise OptionError(
                f"{', '.join(given)} is for subtitles: expected an output format "
                f"of {' or '.join(SUBTITLES)}, got {', '.join(output_formats) or 'none'}"
            )
        if self.max_line_count and not self.max_line_width:
            raise OptionError("max_line_count needs max_line_width: give both or neither")
        if self.max_words_per_line and self.max_line_count:
            raise OptionError(
                "max_words_per_line has no effect beside max_line_count: leave one of them out"
            )
        return self


def extension(output_format: str) -> str:
    """Of the files of a format."""
    return "json" if output_format == "verbose_json" else output_format


def render(
    transcript: Transcript,
    output_format: str,
    options: TranscribeOptions,
    lines: LineOptions | None = None,
) -> str:
    """The text of a file in one of `FORMATS`; raises `OptionError` for another."""
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
    """What openai-whisper's `transcribe()` returns, its fields in its order. Without word times a
    segment has no `words`, but for one that was emptied: its are none (transcribe.py:484-488)."""
    segments = [asdict(segment) for segment in transcript.segments]
    for segment in segments:
        if segment["text"] and not options.word_timestamps:
            del segment["words"]
    return {"text": transcript.text, "segments": segments, "language": transcript.language}


def verbose_json(transcript: Transcript, options: TranscribeOptions) -> dict[str, Any]:
    """`response_format=verbose_json` of the OpenAI API: the language by its name, the duration in
    seconds, segments, and beside them all words where word times were asked for."""
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
    """83.5 -> "01:23.500"; hours only where there are any, unless `hours_always`."""
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
    """Subtitles in the order of time: by words where there are word times, else by segments."""
    if not options.word_timestamps:
        for segment in transcript.segments:
            # An arrow in the text would read as a time line.
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
    """The whole subtitle once for each word, that word underlined; once plain for each pause."""
    texts = [word.word for word in words]
    shown_until = time_text(words[0].start)
    for i, word in enumerate(words):
        start, end = time_text(word.start), time_text(word.end)
        if shown_until != start:
            yield shown_until, start, "".join(texts)
        yield start, end, "".join([*texts[:i], _underlined(texts[i]), *texts[i + 1 :]])
        shown_until = end


def _underlined(text: str) -> str:
    """Spaces and line breaks before a word are not underlined."""
    return re.sub(r"^(\s*)(.*)$", r"\1<u>\2</u>", text)


def _subtitles(segments: Sequence[Segment], lines: LineOptions) -> Iterator[list[Word]]:
    """The words of each subtitle; one that begins a later line begins with a line break.

    Without both a width and a count of lines, no subtitle reaches over the end of a segment.
    """
    width = lines.max_line_width or UNLIMITED
    keep_groups = lines.max_line_count is None or lines.max_line_width is None
    subtitle: list[Word] = []
    line_length, n_lines = 0, 1  # of the line being filled, of the subtitle so far
    last_start: float | None = None
    for word, opens_group in _grouped(segments, lines.max_words_per_line or UNLIMITED):
        pause = last_start is not None and word.start - last_start > LONG_PAUSE_S
        last_start = word.start
        ends_subtitle = bool(subtitle) and (opens_group if keep_groups else pause)
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


def _grouped(segments: Sequence[Segment], most: int) -> Iterator[tuple[Word, bool]]:
    """(word, whether it opens a group): groups of at most `most` words of one segment."""
    for segment in segments:
        for i, word in enumerate(segment.words):
            yield word, i % most == 0
