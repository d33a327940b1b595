"""The slides that are the same for every record: what this is, why, how it is built and measured.

They contain no number of their own: the few there are come from the description of the graphs and
from records.
"""

from collections.abc import Sequence

from markupsafe import Markup

from maxwhisper.evaluation.bench.record import BenchRecord
from maxwhisper.web.ui.use_it.diagram import STEPS
from tools.slides.markup import render

BENCH = "python -m maxwhisper bench --modes greedy,beam5,batched --output results/NAME.json"


def title(records: Sequence[BenchRecord]) -> Markup:
    return render("title.html", records=records)


def problem() -> Markup:
    return render("problem.html")


def architecture() -> Markup:
    first = next(i for i, step in enumerate(STEPS) if step.loop)
    loops = {
        name: [step for step in STEPS if step.loop == name]
        for name in dict.fromkeys(step.loop for step in STEPS if step.loop)
    }
    after = [step for step in STEPS[first:] if not step.loop]
    return render("architecture.html", before=STEPS[:first], loops=loops, after=after)


def method(records: Sequence[BenchRecord]) -> Markup:
    return render("method.html", records=records, bench=BENCH)
