"""Colours of engines and stages, told apart by every common colour vision, on light and on dark.

Source: Okabe and Ito, "Color Universal Design" (2008): blue, orange, bluish green, reddish purple.
Colour never stands alone on the page: a name is always beside it.
"""

_ENGINE_COLOURS = {
    "openai-whisper": "#0072b2",
    "faster-whisper": "#e69f00",
    "maxwhisper": "#009e73",
}
_OTHER = "#cc79a7"
_STAGE_COLOURS = {
    "audio": "#aaaa00",
    "vad": "#99ddff",
    "mel": "#77aadd",
    "encoder": "#44bb99",
    "language": "#dddddd",
    "prefill": "#eedd88",
    "decode": "#ee8866",
    "text": "#ffaabb",
    "words": "#bbcc33",
}


def colour(engine: str) -> str:
    return _ENGINE_COLOURS.get(engine, _OTHER)


def stage_colour(stage: str) -> str:
    """A light colour for a stage, unlike any engine's; grey for one without a name here.

    Source: Tol, "Colour Schemes" (2021), the scheme "light".
    """
    return _STAGE_COLOURS.get(stage, "#bbbbbb")
