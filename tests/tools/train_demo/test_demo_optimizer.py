"""The optimiser: equal weight of directions, AdamW's update size, unused towers unchanged."""

import pytest
import torch
from torch import nn

from tools.train_demo.optimizer import Optimizer, orthogonal


class Towers(nn.Module):
    """Two towers with one block each, and a row outside of blocks."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.encoder = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(8, 24)])})
        self.decoder = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(24, 8)])})
        self.row = nn.Parameter(torch.randn(6))

    def loss(self, towers=("encoder", "decoder")):
        weights = [self.get_submodule(f"{tower}.blocks.0").weight for tower in towers]
        return sum((weight - 1).square().sum() for weight in weights) + self.row.square().sum()


def optimizer_of(towers):
    return Optimizer(towers, betas=(0.9, 0.98), weight_decay=0.01)


@pytest.mark.parametrize(("is_bfloat16", "off"), [(False, 1e-4), (True, 0.03)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_an_orthogonal_move_keeps_directions_and_evens_their_sizes(
    scale, is_bfloat16, off, monkeypatch
):
    monkeypatch.setattr("tools.train_demo.optimizer.is_bfloat16_fast", lambda _: is_bfloat16)
    left, _ = torch.linalg.qr(torch.randn(3, 8, 8, generator=torch.manual_seed(1)))
    right, _ = torch.linalg.qr(torch.randn(3, 24, 8))
    sizes = torch.linspace(0.05, 1, 8)
    even = orthogonal(scale * left * sizes @ right.mT)
    found = left.mT @ even @ right
    diagonal = found.diagonal(dim1=1, dim2=2)
    assert diagonal.min() > 0.6
    assert diagonal.max() < 1.3
    assert (found - torch.diag_embed(diagonal)).abs().max() < off


def test_an_update_is_as_large_as_one_of_adamw():
    towers = Towers()
    before = towers.encoder["blocks"][0].weight.detach().clone()
    towers.loss().backward()
    optimizer_of(towers).step(1e-3)
    moved = towers.encoder["blocks"][0].weight - before
    assert 0.1e-3 < moved.square().mean().sqrt() < 0.3e-3


def test_the_loss_falls_and_a_tower_without_gradients_stays():
    towers = Towers()
    optimizer = optimizer_of(towers)
    weight = towers.decoder["blocks"][0].weight
    first, before = towers.loss().item(), weight.detach().clone()
    for _ in range(20):
        towers.zero_grad()
        towers.loss(["encoder"]).backward()
        optimizer.step(0.2)
    assert torch.equal(weight, before)
    for _ in range(100):
        towers.zero_grad()
        towers.loss().backward()
        optimizer.step(0.2)
    assert float(towers.loss()) < first / 4


def test_saved_momenta_go_on_as_if_nothing_had_been():
    states = []
    for is_saved in (False, True):
        towers = Towers()
        optimizer = optimizer_of(towers)
        for step in range(6):
            if is_saved and step == 3:
                state, optimizer = optimizer.state_dict(), optimizer_of(towers)
                optimizer.load_state_dict(state)
            towers.zero_grad()
            towers.loss().backward()
            optimizer.step(0.05)
        states.append(towers.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
