"""Options of a transcription, its windows, speech detection, live transcription and subtitles.

Each field carries its description (`info`): help, range, unit, and the engines that do not honour
it. `validate` refuses impossible values; `require_supported` refuses an option that an engine does
not honour. No option is ever ignored.
"""

from maxwhisper.options.changes import TranscribeChanges
from maxwhisper.options.info import AT_LEAST_1, check_value
from maxwhisper.options.speech import MIN_HOP_S, PAUSES, StreamOptions, VadOptions
from maxwhisper.options.subtitles import SUBTITLES, LineOptions
from maxwhisper.options.transcription import (
    BATCHES,
    FALLBACK,
    FASTER,
    FASTER_BATCHES,
    GREEDY,
    LIVE,
    OPENAI,
    WORDLESS,
    TranscribeOptions,
)
from maxwhisper.options.windows import WindowOptions

__all__ = [
    "AT_LEAST_1",
    "BATCHES",
    "FALLBACK",
    "FASTER",
    "FASTER_BATCHES",
    "GREEDY",
    "LIVE",
    "MIN_HOP_S",
    "OPENAI",
    "PAUSES",
    "SUBTITLES",
    "WORDLESS",
    "LineOptions",
    "StreamOptions",
    "TranscribeChanges",
    "TranscribeOptions",
    "VadOptions",
    "WindowOptions",
    "check_value",
]
