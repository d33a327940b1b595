"""evaluation.json: what the bundled network can do, as a record."""

from typing import Any, ClassVar

from maxwhisper.evaluation.records import Part, Record


class GoalVerdict(Part):
    group: str
    figure: str
    goal: str  # for example "≤ 0.08"
    engine: str
    value: float | None
    met: bool | None  # None: not measured


class Agreement(Part):
    items: int
    differ: int  # texts that are not the same through all engines


class TextDifference(Part):
    group: str
    item: str
    same_words: bool  # but for case and punctuation
    from_s: float | None  # start of the first segment that differs; None: one text is longer
    texts: dict[str, str]  # {engine: text}


class Evaluation(Record):
    KIND: ClassVar[str] = "evaluation"
    REMEDY: ClassVar[str] = "evaluate again with `python -m tools.train_demo.evaluate`"

    checkpoint: str  # digest
    machine: dict[str, Any]
    sets: dict[str, str]  # {group: what it is, and whether training aimed at it}
    word_error_rates: dict[str, float]  # {where, for people: rate}
    goals: list[GoalVerdict]
    engines: dict[str, dict[str, dict[str, int | float]]]  # {engine: {group: {figure: value}}}
    agreement: dict[str, Agreement]  # by group
    differences: list[TextDifference]
