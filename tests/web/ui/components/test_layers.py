"""Heat maps of errors: unmeasured layers are empty, errors beyond the tolerance stand out."""

import math

import pytest

from maxwhisper.evaluation.selftest.result import LayerErrors
from maxwhisper.web.ui.components.layers import heat_map, summary_html

EVIL = "<img src=x onerror=alert(1)>"


def row(layer, *errors, axis="audio", positions=("0.0 s", "0.5 s")):
    return LayerErrors(layer, axis, positions, errors, 1e-4)


def test_cells_are_logarithmic_and_first_layers_on_top():
    figure = heat_map([row("log-mel", 1e-6, 1e-5), row("encoder output", 0.0, math.inf)])
    trace = figure.data[0]
    assert list(trace.y) == ["log-mel", "encoder output"]
    assert figure.layout.yaxis.autorange == "reversed"
    assert trace.z[0] == pytest.approx((-6, -5))
    assert trace.z[1] == pytest.approx((-9, -3))  # within the scale, whatever the error
    assert list(trace.customdata[1]) == ["0.0e+00", "inf"]
    assert figure.layout.height > 100


def test_the_colour_changes_at_the_tolerance():
    scale = heat_map([row("log-mel", 1e-6, 1e-5)]).data[0].colorscale
    at = (math.log10(1e-4) + 9) / (math.log10(1e-3) + 9)
    assert [colour for place, colour in scale if place == pytest.approx(at)] == [
        "#fee838",
        "#d55e00",
    ]


def test_an_unmeasured_layer_is_empty_and_labelled():
    trace = heat_map([row("log-mel", 1e-6, 1e-5), row("encoder block 1")]).data[0]
    assert trace.y[1] == "encoder block 1 (not measured)"
    assert set(trace.z[1]) == {None}


def test_tokens_are_escaped():
    figure = heat_map([row("logits", 1e-6, 2e-6, axis="text", positions=(EVIL, " "))])
    assert "<img" not in figure.to_json()
    assert figure.layout.xaxis.ticktext[1] == "␣"


def test_summary_names_the_worst_layer_and_judges_it():
    rows = [row("log-mel", 1e-6, 1e-5), row("encoder block 1"), row("logits", 2e-5, 1e-6)]
    page = summary_html(rows, is_over=True)
    assert "2 layers compared · largest error 2.0e-05, in logits · ✓ within" in page
    assert "1 not measured (time limit)" in page
    assert "✕ beyond" in summary_html([row("logits", 1.0, 0.0)], is_over=True)
    assert "so far" in summary_html(rows, is_over=False)
    assert "&lt;img" in summary_html([], is_over=True, note=EVIL)
