"""The look of the page: system fonts, quiet surfaces, light and dark. Needs no network."""

import gradio as gr

from maxwhisper.palette import THEME, TONES
from maxwhisper.web.ui.templates import page_source, render, stylesheets

_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace")


def head() -> str:
    """Part of the document, from its first paint on: Gradio adds `style()` later, and draws one
    component after the other. The page is shown once page.js has run, after 3 s at the latest. On a
    phone, Run lies over the end of the page."""
    return render("head.html", tones=TONES)


def style() -> str:
    """The CSS of all tabs."""
    return page_source(*stylesheets())


def theme() -> gr.themes.Base:
    """Dark text on paper by day, light text on black by night, one accent colour."""
    colours = {name: light for name, (light, _) in THEME.items()}
    colours |= {f"{name}_dark": dark for name, (_, dark) in THEME.items()}
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        text_size=gr.themes.sizes.text_lg,
        spacing_size=gr.themes.sizes.spacing_md,
        radius_size=gr.themes.sizes.radius_md,
        font=_SANS,
        font_mono=_MONO,
    ).set(color_accent=THEME["button_primary_background_fill"][0], block_shadow="none", **colours)
