"""All slides in one HTML document that loads nothing: styles, script and figures are inside."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.slides import results, story

_HERE = Path(__file__).parent
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>maxwhisper</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
{css}</style></head><body><main>
{slides}
</main>
<nav aria-label="Slides"><button type="button" data-by="-1" aria-label="Back">‹</button>
<output></output>
<button type="button" data-by="1" aria-label="On">›</button>
<span>← → to turn · F full screen · T light or dark · print for a PDF</span></nav>
<script>
{script}</script></body></html>
"""


def deck(records: Sequence[dict[str, Any]], evaluation: Mapping[str, Any]) -> str:
    """The document: problem, architecture, method, results, what we lost, what next."""
    slides = [
        story.title(records),
        story.problem(),
        story.architecture(),
        story.method(records),
        *results.results(records),
        results.heard(evaluation),
        results.lost(records, evaluation),
        results.after(records, evaluation),
    ]
    return _PAGE.format(
        css=(_HERE / "deck.css").read_text(encoding="utf-8"),
        script=(_HERE / "deck.js").read_text(encoding="utf-8"),
        slides="\n".join(slides),
    )
