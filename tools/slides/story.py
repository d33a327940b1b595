"""The slides that are the same for every record: what this is, why, how it is built and measured.

No number stands here: the few there are come from the description of the graphs and from records.
"""

from collections.abc import Sequence
from typing import Any

from maxwhisper.bench_report import NOISY, UNCHECKED
from maxwhisper.records import machine_line
from maxwhisper.ui.diagram import STEPS, Step
from tools.slides.markup import command, count, percent, points, slide, text

BENCH = "python -m maxwhisper bench --modes greedy,beam5,batched --output results/NAME.json"


def title(records: Sequence[dict[str, Any]]) -> str:
    sources = [f"{text(r['when'][:10])} · {text(machine_line(r['machine']))}" for r in records]
    return (
        '<section class="title"><h1>maxwhisper</h1>'
        "<p>Whisper, whole, in MAX graphs: log-mel, encoder and decoder.</p>"
        '<p class="claim">Same weights. Same audio. Same settings.<br>'
        "Three engines: the text, the clock and the proof.</p>"
        f"{points(sources or ['Nothing has been measured yet.'], 'sources')}</section>"
    )


def problem() -> str:
    return slide(
        "Which Whisper is faster, and is it still Whisper?",
        points(
            [
                "<b>Times that cannot be compared.</b> Other weights, other settings, other "
                "machines, warm against cold.",
                "<b>Speed without text.</b> A fast engine that drops a sentence looks like a fast "
                "engine.",
                "<b>Ports that drift.</b> A rule that is lost in a port is lost silently: the text "
                "stays plausible.",
                "<b>Numbers without a source.</b> No commit, no versions, no range: nobody can "
                "repeat them.",
            ]
        ),
        "<p>So: one checkpoint, read once and converted for every engine; one array of samples; "
        "one set of options; and every number from a record that says where it comes from.</p>",
    )


def architecture() -> str:
    first = next(i for i, step in enumerate(STEPS) if step.loop)
    loops = dict.fromkeys(step.loop for step in STEPS if step.loop)
    turns = "".join(
        _turn(f"once a token: {loop}", [step for step in STEPS if step.loop == loop])
        for loop in loops
    )
    return slide(
        "Every heavy step is a MAX graph",
        _turn("once a window", STEPS[:first]),
        f'<div class="loops">{turns}</div>',
        _boxes([step for step in STEPS[first:] if not step.loop]),
        "<p><b>Solid: a MAX graph. Dashed: Python.</b> One compilation serves every checkpoint of "
        "its dimensions.</p>",
        kind="tight",
    )


def _turn(title: str, steps: Sequence[Step]) -> str:
    return (
        f'<div class="turn" style="flex-grow:{len(steps)}"><h3>{text(title)}</h3>'
        f"{_boxes(steps)}</div>"
    )


def _boxes(steps: Sequence[Step]) -> str:
    boxes = "".join(
        f'<li class="{"graph" if step.is_graph else "python"}"><b>{text(step.name)}</b>'
        f"<code>{text(step.gives)}</code><p>{text(step.does)}</p></li>"
        for step in steps
    )
    return f'<ol class="steps">{boxes}</ol>'


def method(records: Sequence[dict[str, Any]]) -> str:
    rules = [
        "Every engine in a process of its own, one at a time, in turns.",
        "The same samples, the same weights, the same options; one that an engine has not got is "
        "said, never ignored.",
        "Warmed up with real inference; loading and compiling are timed apart.",
        "The median, with the range of the rounds; the word error rate beside every time.",
        "No text for speech counts as a failure.",
        "The same engine twice: if its own two medians lie apart, no difference is believed.",
    ]
    if not records:
        return slide("How it is measured", points(rules), command(BENCH, "Not measured yet:"))
    return slide("How it is measured", points(rules), points(map(_settings, records), "sources"))


def _settings(record: dict[str, Any]) -> str:
    settings, aa = record["settings"], record["aa"]
    if aa["verdict"] == UNCHECKED:
        noise = "its noise was not checked"
    else:
        noise = f"the same engine twice: {percent(aa['worst'])} apart"
        if aa["verdict"] == NOISY:
            noise += ", <strong>too noisy to compare</strong>"
    return (
        f"{text(machine_line(record['machine']))}: {count(settings['rounds'])} rounds after "
        f"{count(settings['warmups'])} warm-ups, {text(settings['order'])}; {noise}"
    )
