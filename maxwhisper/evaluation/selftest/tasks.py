"""Component checks as tasks for an engine's process.

In: a loaded engine there. Out: one result after the other. The checks import MAX, so they are
imported where they run, not by the page that orders them.
"""

from collections.abc import Iterator, Sequence

from maxwhisper.audio.waveform import Waveform
from maxwhisper.engine import Engine
from maxwhisper.evaluation.selftest.result import CheckResult, LayerErrors


def component_checks(
    engine: Engine, names: Sequence[str], device: str = "", damage: str = ""
) -> Iterator[CheckResult]:
    """See `checks.run_checks`; no names: every check."""
    from maxwhisper.evaluation.selftest.checks import run_checks

    yield from run_checks(engine, names or None, device, damage)


def layer_comparison(engine: Engine, waveform: Waveform) -> Iterator[LayerErrors]:
    """See `layers.layer_errors`."""
    from maxwhisper.evaluation.selftest.layers import layer_errors

    yield from layer_errors(engine, waveform)
