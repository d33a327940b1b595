"""How the page looks: system fonts, quiet surfaces, light and dark; nothing from a network."""

from pathlib import Path

import gradio as gr

# page.css for everything, and one file for each tab that needs much of its own.
CSS = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.css"))
)

_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace")


def theme() -> gr.themes.Base:
    """Ink on paper by day, paper on ink by night; one accent."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        text_size=gr.themes.sizes.text_lg,
        spacing_size=gr.themes.sizes.spacing_md,
        radius_size=gr.themes.sizes.radius_md,
        font=_SANS,
        font_mono=_MONO,
    ).set(
        color_accent="#0b5d51",
        body_background_fill="#faf9f7",
        body_background_fill_dark="#14130f",
        body_text_color="#1c1a17",
        body_text_color_dark="#f2efe9",
        body_text_color_subdued="#57534b",
        body_text_color_subdued_dark="#b9b3a7",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1d1b17",
        background_fill_secondary="#f3f1ec",
        background_fill_secondary_dark="#262319",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1d1b17",
        block_border_color="#dcd7cc",
        block_border_color_dark="#3a362d",
        border_color_primary="#dcd7cc",
        border_color_primary_dark="#3a362d",
        block_label_text_color="#57534b",
        block_label_text_color_dark="#b9b3a7",
        block_title_text_color="#3a362d",
        block_title_text_color_dark="#d8d2c6",
        block_shadow="none",
        input_background_fill="#ffffff",
        input_background_fill_dark="#14130f",
        input_placeholder_color="#6e695f",
        input_placeholder_color_dark="#9a9488",
        button_primary_background_fill="#0b5d51",
        button_primary_background_fill_dark="#5fd0bb",
        button_primary_background_fill_hover="#08463d",
        button_primary_background_fill_hover_dark="#7fe0ce",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#0c1f1b",
        button_secondary_background_fill="#efece5",
        button_secondary_background_fill_dark="#2b2820",
        button_secondary_background_fill_hover="#e4dfd4",
        button_secondary_background_fill_hover_dark="#37332a",
        button_secondary_text_color="#1c1a17",
        button_secondary_text_color_dark="#f2efe9",
        button_cancel_background_fill="#efece5",
        button_cancel_background_fill_dark="#2b2820",
        button_cancel_background_fill_hover="#f5d9d4",
        button_cancel_background_fill_hover_dark="#4a2620",
        button_cancel_text_color="#8c2314",
        button_cancel_text_color_dark="#ffb4a6",
    )
