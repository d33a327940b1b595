"""Errors layer by layer: all small on the default model, and a broken block is where they begin."""

from dataclasses import replace

import numpy as np
import pytest

from maxwhisper.errors import OptionError
from maxwhisper.evaluation.selftest.layers import N_COLUMNS, N_TOKENS, layer_errors
from maxwhisper.runtime.probe import probe_waveform
from maxwhisper.whisper import Whisper

THREE_SECONDS = 48_000
UNBOUNDED_S = 3600.0  # a busy machine is no reason to fail


@pytest.fixture(scope="module")
def waveform(engine):
    return probe_waveform(engine.dims)[:THREE_SECONDS]


def test_every_layer_is_within_tolerance(engine, waveform, figure):
    rows = {row.layer: row for row in layer_errors(engine, waveform, budget_s=UNBOUNDED_S)}
    audio, text = engine.dims.n_audio_layer, engine.dims.n_text_layer
    assert len(rows) == 1 + audio + 3 * text + 1  # log-mel; encoder; keys, values, queries; logits
    for row in rows.values():
        assert len(row.errors) == len(row.positions)
        assert len(row.positions) <= (N_COLUMNS if row.axis == "audio" else N_TOKENS)
        figure(max(row.errors), row.tolerance, f"layer {row.layer}")
    assert rows["logits"].positions[0] == "<|startoftranscript|>"
    assert float(rows["log-mel"].positions[-1].removesuffix(" s")) < 3.0


def test_errors_begin_where_a_block_is_broken(engine, waveform):
    weights = dict(engine.checkpoint.weights)
    name = "encoder.blocks.1.attn.value.weight"
    weights[name] = weights[name] * np.float32(-3)
    judged = Whisper(replace(engine.checkpoint, weights=weights), engine.network, engine.cache_dir)
    rows = {row.layer: row for row in layer_errors(judged, waveform, budget_s=UNBOUNDED_S)}
    assert max(rows["encoder block 1"].errors) <= rows["encoder block 1"].tolerance
    assert max(rows["encoder output"].errors) > rows["encoder output"].tolerance


def test_out_of_time_is_not_measured(engine, waveform):
    rows = {row.layer: row for row in layer_errors(engine, waveform, budget_s=-1.0)}
    assert rows["encoder block 1"].errors == ()
    assert rows["encoder output"].errors


def test_another_engine_is_refused(waveform):
    class Other:
        info = type("Info", (), {"name": "faster-whisper"})

    with pytest.raises(OptionError, match="not from faster-whisper"):
        list(layer_errors(Other(), waveform))
