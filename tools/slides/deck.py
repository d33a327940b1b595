"""All slides in one HTML document that loads nothing: styles, script and figures are inside."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from maxwhisper.evaluation.bench.record import BenchRecord
from tools.slides import results, story
from tools.slides.markup import document
from tools.train_demo.record import Evaluation

_HERE = Path(__file__).parent


def deck(records: Sequence[BenchRecord], evaluation: Evaluation) -> str:
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
    return document(
        "deck.html",
        css=Markup((_HERE / "deck.css").read_text(encoding="utf-8")),
        script=Markup((_HERE / "deck.js").read_text(encoding="utf-8")),
        slides=slides,
    )
