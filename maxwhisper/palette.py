"""Colours of engines and stages, told apart by every common colour vision, on light and on dark;
and the look that all figures share.

Source: Okabe and Ito, "Color Universal Design" (2008): blue, orange, bluish green, reddish purple.
Colour never stands alone on the page: a name is always beside it.
"""

CLEAR = "rgba(0,0,0,0)"
GRID = "rgba(128, 128, 128, 0.25)"
# plotly's layout of every figure: no background, and text whose colour the page's CSS chooses.
FIGURE_LAYOUT = {
    "template": "none",
    "paper_bgcolor": CLEAR,
    "plot_bgcolor": CLEAR,
    "font": {"family": "system-ui, sans-serif", "size": 14},
    "dragmode": False,
}

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
