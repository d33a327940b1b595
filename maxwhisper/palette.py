"""All colours, and the layout that all figures share.

Colours of engines and stages are distinct for every common colour vision, on light and dark
backgrounds. A name always stands beside a colour. Source: Okabe and Ito, "Color Universal Design"
(2008): blue, orange, bluish green, reddish purple.
"""

INK, PAPER, WHITE = "#1c1a17", "#faf9f7", "#ffffff"
GOOD = "#0b7a55"  # passed, ready, played
OURS = "#009e73"
GREY = "#9a9488"  # 4.5:1 on the dark background
MID_GREY = "#808080"  # error bars and keys of figures, on light and dark backgrounds
TRANSPARENT = "rgba(0,0,0,0)"
GRID = "rgba(128, 128, 128, 0.25)"
PLOT = "rgba(128, 128, 128, 0.12)"  # a heat map without values
# Cividis, which looks alike to every common colour vision; beyond a tolerance, vermillion.
WITHIN = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838")
BEYOND = "#d55e00"

# Gradio's theme variables: light and dark.
THEME = {
    "body_background_fill": (PAPER, "#14130f"),
    "body_text_color": (INK, "#f2efe9"),
    "body_text_color_subdued": ("#57534b", "#b9b3a7"),
    "background_fill_primary": (WHITE, "#1d1b17"),
    "background_fill_secondary": ("#f3f1ec", "#262319"),
    "block_background_fill": (WHITE, "#1d1b17"),
    "block_border_color": ("#dcd7cc", "#3a362d"),
    "border_color_primary": ("#dcd7cc", "#3a362d"),
    "block_label_text_color": ("#57534b", "#b9b3a7"),
    "block_title_text_color": ("#3a362d", "#d8d2c6"),
    "input_background_fill": (WHITE, "#14130f"),
    "input_placeholder_color": ("#6e695f", GREY),
    "button_primary_background_fill": ("#0b5d51", "#5fd0bb"),
    "button_primary_background_fill_hover": ("#08463d", "#7fe0ce"),
    "button_primary_text_color": (WHITE, "#0c1f1b"),
    "button_secondary_background_fill": ("#efece5", "#2b2820"),
    "button_secondary_background_fill_hover": ("#e4dfd4", "#37332a"),
    "button_secondary_text_color": (INK, "#f2efe9"),
    "button_cancel_background_fill": ("#efece5", "#2b2820"),
    "button_cancel_background_fill_hover": ("#f5d9d4", "#4a2620"),
    "button_cancel_text_color": ("#8c2314", "#ffb4a6"),
}

# Variables of our own CSS, such as var(--good): light and dark. A "paper" lies below its "ink".
TONES = {
    "good": (GOOD, "#3fbf8f"),
    "good-paper": ("#cdeedd", "#12392b"),
    "good-ink": ("#0a4a33", "#a6e8cb"),
    "bad": ("#b3402e", "#ff9d8a"),
    "bad-paper": ("#fae0da", "#4a1f17"),
    "bad-ink": ("#6d1a0d", "#ffc9bd"),
    "info": ("#17508a", "#9cc8f5"),
    "info-paper": ("#d8e7f7", "#172a3f"),
    "info-ink": ("#123f6b", "#cfe3fa"),
    "caution-paper": ("#fff0c9", "#3b2f0d"),
    "caution-ink": ("#4a3700", "#ffe9ae"),
    "plain-paper": ("#e6e2d9", "#37332a"),
    "plain-ink": ("#4b463d", "#e6e2d9"),
    "stripe": ("#d9d4c8", "#474237"),
    "stripe-paper": ("#eae6dd", "#3a362d"),
    "ours": (OURS, OURS),
    "not-run": (GREY, GREY),
    "grid": (GRID, GRID),
    "playhead": (BEYOND, BEYOND),
    "recording": ("#ff5a4d", "#ff5a4d"),  # on the primary button
    "level": ("#7fe0b0", "#7fe0b0"),
    "ink": (INK, INK),  # on the colours of stages, which are light in both themes
}

# Plotly's layout of every figure: no background, and the page's CSS sets the colour of text.
FIGURE_LAYOUT = {
    "template": "none",
    "paper_bgcolor": TRANSPARENT,
    "plot_bgcolor": TRANSPARENT,
    "font": {"family": "system-ui, sans-serif", "size": 14},
    "dragmode": False,
}

_ENGINE_COLOURS = {
    "openai-whisper": "#0072b2",
    "faster-whisper": "#e69f00",
    "maxwhisper": OURS,
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
    """The colour of an engine, "#rrggbb"."""
    return _ENGINE_COLOURS.get(engine, _OTHER)


def stage_colour(stage: str) -> str:
    """A light colour for a stage, unlike any engine's; grey for an unknown stage.

    Source: Tol, "Colour Schemes" (2021), the scheme "light".
    """
    return _STAGE_COLOURS.get(stage, "#bbbbbb")
