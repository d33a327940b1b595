"""Options of the lines of subtitles."""

from collections.abc import Collection
from dataclasses import dataclass, fields

from maxwhisper.errors import OptionError
from maxwhisper.options.info import AT_LEAST_1, check_options, option
from maxwhisper.options.transcription import TranscribeOptions

SUBTITLES = ("vtt", "srt")  # output formats that have lines to break


@dataclass(frozen=True)
class LineOptions:
    """Line breaks of subtitles. Every option needs word times."""

    highlight_words: bool = option(False, "underline each word while it is spoken")
    max_line_width: int | None = option(
        None, "maximum width of a line", AT_LEAST_1, unit="characters"
    )
    max_line_count: int | None = option(
        None, "maximum lines of a subtitle; needs max_line_width", AT_LEAST_1, unit="lines"
    )
    max_words_per_line: int | None = option(
        None, "maximum words of a subtitle", AT_LEAST_1, unit="words"
    )

    def validate(
        self, output_formats: Collection[str], options: TranscribeOptions
    ) -> "LineOptions":
        """Return self, or raise `OptionError` for a setting that would have no effect."""
        check_options(self)
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
