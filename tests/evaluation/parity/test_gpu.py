"""On a GPU: every component check in every precision, and the CPU's text."""

import pytest
from max.driver import accelerator_count

import maxwhisper
from maxwhisper.evaluation.selftest.checks import run_checks
from maxwhisper.options import GREEDY

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(accelerator_count() == 0, reason="MAX sees no GPU on this machine"),
]


@pytest.fixture(scope="module", params=["float32", "float16", "bfloat16"])
def gpu_engine(request):
    return maxwhisper.load(device="gpu", dtype=request.param)


def test_component_checks(gpu_engine, figure):
    for result in run_checks(gpu_engine):
        assert result.status == "passed", result
        figure(result.error, max(result.tolerance, 1e-30), f"{result.device} {result.name}")


def test_text_equals_that_of_the_cpu(gpu_engine, engine, clip):
    if gpu_engine.info.dtype != "float32":
        pytest.skip("only float32 must agree token by token; the checks hold the other precisions")
    waveform = clip("plain")
    options = GREEDY.changed({"sample_len": 60})
    assert (
        gpu_engine.transcribe(waveform, options).text == engine.transcribe(waveform, options).text
    )
