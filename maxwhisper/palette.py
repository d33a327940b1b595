"""One colour per engine, told apart by every common colour vision, on light and on dark.

Source: Okabe and Ito, "Color Universal Design" (2008): blue, orange, bluish green, reddish purple.
Colour never stands alone on the page: a name is always beside it.
"""

_ENGINE_COLOURS = {
    "openai-whisper": "#0072b2",
    "faster-whisper": "#e69f00",
    "maxwhisper": "#009e73",
}
_OTHER = "#cc79a7"


def colour(engine: str) -> str:
    return _ENGINE_COLOURS.get(engine, _OTHER)
