"""How near the hot graphs come to the device: counts against PyTorch's own, and against the weights
of openai-whisper's decoder; one run on the bundled network."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from whisper.model import ModelDimensions, Whisper, disable_sdpa

from maxwhisper.evaluation.profiling import roofline
from maxwhisper.evaluation.profiling.ceilings import measure_ceilings
from maxwhisper.evaluation.profiling.record import Against, Ceilings
from maxwhisper.network.dims import Dims
from maxwhisper.runtime.device import choose

SMALL = Dims(80, 1500, 64, 2, 2, 51_864, 448, 64, 2, 3)
CEILINGS = Ceilings(flops_per_s=1e12, bytes_per_s=1e12)


@pytest.fixture(scope="module")
def network():
    return Whisper(ModelDimensions(**SMALL.to_dict()))


def test_operations_are_those_that_torch_counts(network):
    mel = torch.zeros(1, SMALL.n_mels, SMALL.n_frames)
    counter = FlopCounterMode(display=False)
    with counter, disable_sdpa(), torch.no_grad():
        features = network.encoder(mel)
        for block in network.decoder.blocks:
            block.cross_attn.key(features)
            block.cross_attn.value(features)
    assert roofline.window_flops(SMALL) == counter.get_total_flops()


def test_a_step_reads_the_decoders_matrices_once_and_each_rows_keys_and_values(network):
    unread = ("cross_attn.key.weight", "cross_attn.value.weight", "positional_embedding")
    weights = sum(
        weight.numel()
        for name, weight in network.decoder.named_parameters()
        if weight.ndim == 2 and not name.endswith(unread)
    )
    kept = SMALL.n_text_layer * 2 * (10 + SMALL.n_audio_ctx) * SMALL.n_text_state
    assert roofline.step_bytes(SMALL, 4, 4, 1, 10) == 4 * (weights + kept)
    assert roofline.step_bytes(SMALL, 2, 4, 8, 10) == 2 * weights + 4 * 8 * kept


def test_the_bundled_network_stays_below_such_ceilings(engine, monkeypatch):
    monkeypatch.setattr(roofline, "N_STEPS", 8)
    monkeypatch.setattr(roofline, "ROUNDS", 1)
    entries = roofline.roofline(engine, CEILINGS, batch_sizes=(1, 2))
    assert [(e.graph, e.batch) for e in entries] == [
        ("encoder", 1),
        ("decoder step", 1),
        ("encoder", 2),
        ("decoder step", 2),
    ]
    for entry in entries:
        most = getattr(CEILINGS, f"{entry.bound_by}_per_s")
        assert entry.share == pytest.approx(entry.work / entry.seconds / most)
        assert 0 < entry.share < 1
    one, two = (e for e in entries if e.graph == "encoder")
    assert two.work == 2 * one.work
    text = "\n".join(roofline.lines(Against(CEILINGS, entries)))
    assert "decoder step" in text
    assert "1000 GFLOP and 1000.0 GB a second" in text


def test_ceilings_are_measured_on_the_device():
    """No core does less than 0.1 or more than 1000 GFLOP a second."""
    found = measure_ceilings(choose("cpu"), matrix=(512, 1024), rows=64)
    assert 1e8 < found.flops_per_s < 1e12
    assert 1e8 < found.bytes_per_s < 1e13
