"""How it works, as a drawing: every MAX graph by its name, and what Python does between them.

The steps below are the description; a test holds the names, files and shapes against
`maxwhisper/graphs` and `maxwhisper/runtime`. Out: SVG that takes its ink from the page.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH = 400  # of the drawing, about a phone's width: text keeps its size there
_LEFT, _RIGHT = 30, 376  # of a box; beside it are the ways back and out
_BACK_X, _OUT_X = 388, 8
_HEIGHT, _GAP = 66, 22  # of a box, and between two


@dataclass(frozen=True)
class Step:
    """One box: a MAX graph by its name, or a part in Python (`graph` is None)."""

    name: str
    file: str  # where to read on
    does: str
    gives: str
    is_graph: bool = True
    loop: str = ""  # which of the two loops it is in: one turn a token


STEPS = (
    Step(
        "decode the recording",
        "maxwhisper/audio.py",
        "any common file, in a process of its own",
        "samples (n,), 16 kHz",
        is_graph=False,
    ),
    Step(
        "log_mel",
        "maxwhisper/graphs/mel.py",
        "windowed DFT and mel filters, two matrix products",
        "log10 mel power (T, M)",
    ),
    Step(
        "normalize_log_mel",
        "maxwhisper/graphs/mel.py",
        "floor eight decades below the loudest bin",
        "model input (T, M)",
    ),
    Step(
        "encoder",
        "maxwhisper/graphs/encoder.py",
        "two convolutions, then self-attention blocks",
        "audio features (B, S, C)",
    ),
    Step(
        "cross_kv",
        "maxwhisper/graphs/encoder.py",
        "for every decoder layer, once a window",
        "key, value (B, H, S, D)",
    ),
    Step(
        "decoder_prefill",
        "maxwhisper/graphs/decoder.py",
        "the whole prompt at once, into the cache",
        "logits (B, R, V)",
    ),
    Step(
        "rules and search",
        "maxwhisper/decoding/rules.py",
        "what may be said next; which token it is",
        "tokens (B,)",
        is_graph=False,
        loop="search",
    ),
    Step(
        "gather_rows",
        "maxwhisper/graphs/rows.py",
        "beams change places, finished rows leave",
        "(R, H, L, D)",
        loop="search",
    ),
    Step(
        "decoder_step",
        "maxwhisper/graphs/decoder.py",
        "one more token over the cache",
        "logits (B, 1, V)",
        loop="search",
    ),
    Step(
        "greedy_step",
        "maxwhisper/graphs/greedy.py",
        "rules, choice and next token: all on the device",
        "tokens written (B, n_text_ctx)",
        loop="greedy",
    ),
    Step(
        "segments with times",
        "maxwhisper/transcribe/sequential.py",
        "text, and where the next window begins",
        "transcript",
        is_graph=False,
    ),
)


def diagram_svg(steps: Sequence[Step] = STEPS) -> str:
    """The steps from top to bottom, Python dashed; loops back on the right, out on the left."""
    tops = [1 + i * (_HEIGHT + _GAP) for i in range(len(steps))]
    boxes = "".join(_box(step, top) for step, top in zip(steps, tops, strict=True))
    arrows = "".join(
        _arrow(top - _GAP, top)
        for top, before, step in zip(tops[1:], steps, steps[1:], strict=False)
        if before.loop != "search" or step.loop == "search"  # it is left where it begins
    )
    text = "; ".join(
        f"{step.name} ({'MAX graph' if step.is_graph else 'Python'}): {step.does}, "
        f"gives {step.gives}"
        for step in steps
    )
    height = tops[-1] + _HEIGHT + 1
    return (
        f'<svg class="diagram" role="img" aria-label="{html.escape(text)}" '
        f'viewBox="0 0 {_WIDTH} {height}">{arrows}{boxes}{_loops(steps, tops)}</svg>'
    )


def _box(step: Step, top: int) -> str:
    kind = "graph" if step.is_graph else "python"
    label = "MAX graph" if step.is_graph else "Python"
    inner = _RIGHT - 12
    return (
        f'<g class="{kind}"><rect x="{_LEFT}" y="{top}" width="{_RIGHT - _LEFT}" '
        f'height="{_HEIGHT}" rx="8"/>'
        f'<text class="name" x="{_LEFT + 12}" y="{top + 22}">{html.escape(step.name)}</text>'
        f'<text class="kind" x="{inner}" y="{top + 22}" text-anchor="end">{label}</text>'
        f'<text x="{_LEFT + 12}" y="{top + 40}">{html.escape(step.does)}</text>'
        f'<text class="gives" x="{_LEFT + 12}" y="{top + 57}">→ {html.escape(step.gives)}</text>'
        f'<text class="gives" x="{inner}" y="{top + 57}" text-anchor="end">'
        f"{html.escape(step.file.removeprefix('maxwhisper/'))}</text></g>"
    )


def _arrow(top: int, bottom: int) -> str:
    x = (_LEFT + _RIGHT) // 2
    return (
        f'<path class="line" d="M{x} {top}V{bottom - 6}"/>'
        f'<path class="tip" d="M{x} {bottom}l-5 -8h10z"/>'
    )


def _loops(steps: Sequence[Step], tops: Sequence[int]) -> str:
    """Back from the last step of each loop to its first; and out of the search, where its first
    token is chosen: on to the greedy step if nothing forbids it, or to the segments at the end."""
    middles = [top + _HEIGHT // 2 for top in tops]
    search, greedy = (
        [middle for step, middle in zip(steps, middles, strict=True) if step.loop == loop]
        for loop in ("search", "greedy")
    )
    start, end = search[0], middles[-1]
    turn = _HEIGHT // 3  # the greedy step is a loop of its own
    return (
        _back(search[0], search[-1])
        + _back(greedy[0] - turn, greedy[0] + turn)
        + f'<path class="line" d="M{_LEFT} {start}H{_OUT_X}V{end}H{_LEFT - 6}"/>'
        + f'<path class="line" d="M{_OUT_X} {greedy[0]}H{_LEFT - 6}"/>'
        + "".join(f'<path class="tip" d="M{_LEFT} {y}l-8 -5v10z"/>' for y in (greedy[0], end))
        + _sideways("greedy, or the text ends", _OUT_X + 11, (search[0] + greedy[0]) // 2)
    )


def _back(first: int, last: int) -> str:
    return (
        f'<path class="line" d="M{_RIGHT} {last}H{_BACK_X}V{first}H{_RIGHT + 6}"/>'
        f'<path class="tip" d="M{_RIGHT} {first}l8 -5v10z"/>'
        f"{_sideways('a token', _BACK_X + 10, (first + last) // 2)}"
    )


def _sideways(text: str, x: int, y: int) -> str:
    return (
        f'<text class="kind" transform="translate({x} {y}) rotate(-90)" '
        f'text-anchor="middle">{text}</text>'
    )
