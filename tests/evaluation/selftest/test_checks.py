"""The component checks: all pass on the default model, and a broken part fails its own check."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maxwhisper.errors import DeviceError, OptionError
from maxwhisper.evaluation.selftest import checks
from maxwhisper.evaluation.selftest.catalog import CATALOG, DAMAGES
from maxwhisper.evaluation.selftest.checks import FUNCTIONS, run_checks
from maxwhisper.options import GREEDY
from maxwhisper.whisper import Whisper

CLIP = Path(__file__).parents[3] / "examples" / "clips" / "plain.flac"
NAMES = [check.name for check in CATALOG]
REQUIRED = {
    "log-mel",
    "tokenizer",
    "checkpoint",
    "encoder",
    "multi-head attention",
    "cross attention",
    "KV cache",
    "decoder logits",
    "batch rows",
    "timestamp rules",
    "encoder-decoder",
    "complete pipeline",
}


def test_the_catalogue_and_the_functions_are_the_same():
    assert list(FUNCTIONS) == NAMES
    assert set(NAMES) >= REQUIRED


@pytest.mark.parametrize("name", NAMES)
def test_component(engine, name, figure):
    (result,) = run_checks(engine, [name])
    assert result.status == "passed", result
    assert result.ms > 0
    figure(result.error, max(result.tolerance, 1e-30), f"selftest {name}: {result.detail}")


def broken(engine, tensor, factor=1.5):
    """The same compiled network, judged against weights of which one tensor differs."""
    weights = dict(engine.checkpoint.weights)
    weights[tensor] = weights[tensor] * np.float32(factor)
    return Whisper(replace(engine.checkpoint, weights=weights), engine.network)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("encoder", "encoder.blocks.0.attn.value.weight"),
        ("decoder logits", "decoder.blocks.0.mlp.0.weight"),
        ("encoder-decoder", "decoder.blocks.0.cross_attn.value.weight"),
        ("complete pipeline", "decoder.blocks.0.attn.value.weight"),
    ],
)
def test_a_broken_part_fails(engine, name, tensor):
    (result,) = run_checks(broken(engine, tensor, factor=-3.0), [name])
    assert result.status == "failed"
    assert result.error > result.tolerance


@pytest.mark.parametrize("name", ["multi-head attention", "cross attention"])
def test_a_broken_attention_fails(engine, name, monkeypatch):
    original = checks.load_network

    def other_weights(checkpoint, *arguments):
        weights = dict(checkpoint.weights)
        for part in ("attn", "cross_attn"):
            tensor = f"decoder.blocks.0.{part}.value.weight"
            weights[tensor] = -weights[tensor]
        return original(replace(checkpoint, weights=weights), *arguments)

    monkeypatch.setattr(checks, "load_network", other_weights)
    (result,) = run_checks(engine, [name])
    assert result.status == "failed"


# What each injected error is to be found by; the other checks pass, so they say where it is.
FOUND_BY = {"weight": {"encoder", "encoder-decoder"}, "filter": {"log-mel"}}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_injected_error_is_found_where_it_is_and_nowhere_else(engine, damage):
    results = {result.name: result for result in run_checks(engine, None, "", damage)}
    failed = {name for name, result in results.items() if result.status != "passed"}
    assert failed >= FOUND_BY[damage]
    assert failed <= FOUND_BY[damage] | {"complete pipeline"}, "which depends on all of them"
    for name in FOUND_BY[damage]:
        assert results[name].error > 3 * results[name].tolerance, "not by a hair"
    (healed,) = run_checks(engine, [min(FOUND_BY[damage])])
    assert healed.status == "passed"


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_transcribed_beside_an_injected_error_does_not_change(engine, damage):
    before = engine.transcribe(CLIP, GREEDY)
    running = run_checks(engine, ["log-mel", "encoder"], "", damage)
    first = next(running)  # the copy is in use
    beside = engine.transcribe(CLIP, GREEDY)
    second = next(running)
    assert "failed" in (first.status, second.status)
    assert said(beside) == said(before) != []


def said(transcript):
    """Every token and its probability, as one comparable value."""
    return [(segment.tokens, segment.avg_logprob) for segment in transcript.segments]


def test_an_unknown_error_is_refused(engine):
    with pytest.raises(OptionError, match="no error called 'flood'"):
        list(run_checks(engine, None, "", "flood"))


def test_a_damaged_checkpoint_is_an_error_with_its_reason(engine):
    weights = dict(engine.checkpoint.weights)
    del weights["decoder.ln.bias"]
    damaged = Whisper(replace(engine.checkpoint, weights=weights), engine.network)
    (result,) = run_checks(damaged, ["checkpoint"])
    assert result.status == "error"
    assert "decoder.ln.bias" in result.detail


def test_another_device_gets_a_network_of_its_own(engine, monkeypatch):
    asked = []

    def elsewhere(checkpoint, *, device):
        asked.append((checkpoint is engine.checkpoint, device))
        return broken(engine, "decoder.blocks.0.mlp.0.weight", factor=-3.0)

    monkeypatch.setattr(checks, "create_engine", elsewhere)
    (here,) = run_checks(engine, ["decoder logits"])
    (there,) = run_checks(engine, ["decoder logits"], "cpu")
    assert (here.status, there.status, asked) == ("passed", "failed", [(True, "cpu")])


def test_a_device_that_is_not_here_is_told(engine):
    with pytest.raises(DeviceError, match="gpu:7"):
        list(run_checks(engine, ["tokenizer"], "gpu:7"))


def test_unknown_names_are_refused(engine):
    with pytest.raises(OptionError, match="no check called dance"):
        list(run_checks(engine, ["dance"]))
