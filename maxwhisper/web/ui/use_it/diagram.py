"""A diagram of the data flow: every MAX graph by name, and the Python steps between them.

A test compares the names, files and shapes below with `maxwhisper/graphs` and `maxwhisper/runtime`.
Out: SVG whose colours come from the page's CSS.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from maxwhisper.web.ui.templates import render

# In SVG units; the whole is about as wide as a phone, so that text keeps its size there.
_WIDTH = 400
_LEFT, _RIGHT = 30, 376  # edges of a box
_BACK_X, _OUT_X = 388, 8  # of the lines back to a loop's first step, and out of the search
_HEIGHT, _GAP = 66, 22  # of a box, and between two boxes


@dataclass(frozen=True)
class Step:
    """One box: a MAX graph or a Python step."""

    name: str
    file: str  # of its source, from the package's folder
    does: str
    gives: str
    is_graph: bool = True
    loop: str = ""  # "search" or "greedy": the loop over tokens that contains it

    @property
    def kind(self) -> str:
        return "MAX graph" if self.is_graph else "Python"


STEPS = (
    Step(
        "decode the recording",
        "audio/load.py",
        "any common format, in a process of its own",
        "samples (n,), 16 kHz",
        is_graph=False,
    ),
    Step(
        "log_mel",
        "graphs/mel.py",
        "windowed DFT and mel filters, two matrix products",
        "log10 mel power (T, M)",
    ),
    Step(
        "normalize_log_mel",
        "graphs/mel.py",
        "floor eight decades below the loudest bin",
        "model input (T, M)",
    ),
    Step(
        "encoder",
        "graphs/encoder.py",
        "two convolutions, then self-attention blocks",
        "audio features (B, S, C)",
    ),
    Step(
        "cross_kv",
        "graphs/encoder.py",
        "for every decoder layer, once per window",
        "key, value (B, H, S, D)",
    ),
    Step(
        "decoder_prefill",
        "graphs/decoder.py",
        "the whole prompt at once, into the cache",
        "logits (B, R, V)",
    ),
    Step(
        "rules and search",
        "decoding/rules.py",
        "suppress tokens, then choose the next one",
        "tokens (B,)",
        is_graph=False,
        loop="search",
    ),
    Step(
        "gather_rows",
        "graphs/rows.py",
        "reorder beams, drop finished rows",
        "(R, H, L, D)",
        loop="search",
    ),
    Step(
        "decoder_step",
        "graphs/decoder.py",
        "one more token, with the cache",
        "logits (B, 1, V)",
        loop="search",
    ),
    Step(
        "greedy_step",
        "graphs/greedy.py",
        "rules, choice and next token, all on the device",
        "tokens written (B, n_text_ctx)",
        loop="greedy",
    ),
    Step(
        "segments with times",
        "transcribe/sequential.py",
        "text, and the start of the next window",
        "transcript",
        is_graph=False,
    ),
)


def diagram_svg(steps: Sequence[Step] = STEPS) -> str:
    """The steps from top to bottom. Loops go back on the right; the way out of the search is on the
    left."""
    tops = [1 + i * (_HEIGHT + _GAP) for i in range(len(steps))]
    x = (_LEFT + _RIGHT) // 2
    arrows = [
        top
        for top, previous, step in zip(tops[1:], steps, steps[1:], strict=False)
        if previous.loop != "search" or step.loop == "search"  # the search ends at its first step
    ]
    middles = [top + _HEIGHT // 2 for top in tops]
    search, greedy = (
        [middle for step, middle in zip(steps, middles, strict=True) if step.loop == loop]
        for loop in ("search", "greedy")
    )
    half_loop = _HEIGHT // 3  # the greedy step is a loop of its own
    loops = [(search[0], search[-1]), (greedy[0] - half_loop, greedy[0] + half_loop)]
    end = middles[-1]
    return render(
        "use_it/diagram.html",
        description="; ".join(
            f"{step.name} ({step.kind}): {step.does}, gives {step.gives}" for step in steps
        ),
        width=_WIDTH,
        height=tops[-1] + _HEIGHT + 1,
        left=_LEFT,
        right=_RIGHT,
        box_height=_HEIGHT,
        boxes=list(zip(steps, tops, strict=True)),
        lines=[
            *(f"M{x} {top - _GAP}V{top - 6}" for top in arrows),
            *(f"M{_RIGHT} {last}H{_BACK_X}V{first}H{_RIGHT + 6}" for first, last in loops),
            f"M{_LEFT} {search[0]}H{_OUT_X}V{end}H{_LEFT - 6}",
            f"M{_OUT_X} {greedy[0]}H{_LEFT - 6}",
        ],
        tips=[
            *(f"M{x} {top}l-5 -8h10z" for top in arrows),
            *(f"M{_RIGHT} {first}l8 -5v10z" for first, _ in loops),
            *(f"M{_LEFT} {y}l-8 -5v10z" for y in (greedy[0], end)),
        ],
        labels=[
            *(("per token", _BACK_X + 10, (first + last) // 2) for first, last in loops),
            ("greedy, or end of text", _OUT_X + 11, (search[0] + greedy[0]) // 2),
        ],
    )
