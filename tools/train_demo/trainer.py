"""The network in training with its optimiser: one step, saving, resuming, initial weights.

In: `Settings`, a `Vocabulary`, batches on the CPU. Out: losses, and checkpoint.pt with the whole
state. Knows neither schedule nor data; those are in `train`.
"""

import os
import sys
from pathlib import Path

import torch

from maxwhisper.network.dims import SAMPLE_RATE
from tools.train_demo import warm_start
from tools.train_demo.batches import Batch
from tools.train_demo.features import log_mel, mask_bands, other_voices
from tools.train_demo.model import Learner
from tools.train_demo.optimizer import Optimizer, is_bfloat16_fast
from tools.train_demo.settings import Phase, Settings
from tools.train_demo.vocabulary import Vocabulary

COUNTERS = ("step", "first_batch", "phase", "phase_step", "spent_s", "examples", "audio_s")


class Trainer:
    """The network, its optimiser, and their progress."""

    def __init__(self, settings: Settings, vocabulary: Vocabulary, device: torch.device) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.vocabulary, self.device = settings, vocabulary, device
        self.learner = Learner(settings.dims, vocabulary).to(device)
        self.optimizer = Optimizer(self.learner, settings.betas, settings.weight_decay)
        self.step, self.phase, self.phase_step = 0, 0, 0
        self.spent_s, self.examples, self.audio_s = 0.0, 0, 0.0
        self.first_batch = 0  # after the batches of the run that provided the initial weights
        self.began_with: str | None = None  # source of the initial weights; None: random

    def train_on(self, batch: Batch, phase: Phase, rate: float) -> dict[str, torch.Tensor]:
        """Run one step. Returns its losses, still on the device."""
        batch = batch.to(self.device)
        is_fast = is_bfloat16_fast(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=is_fast):
            losses = self._losses(batch, phase)
        loss = losses["loss"]
        self.learner.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(
            self.learner.parameters(), self.settings.clip_norm, error_if_nonfinite=True
        )
        self.optimizer.step(rate)
        self.step += 1
        self.phase_step += 1
        self.examples += len(batch.samples)
        self.audio_s += batch.samples.numel() / SAMPLE_RATE
        return {name: value.detach() for name, value in losses.items()}

    def _losses(self, batch: Batch, phase: Phase) -> dict[str, torch.Tensor]:
        features = self._features(batch, phase)
        phone_loss, phone_accuracy = self.learner.phone_loss(features, batch.phones)
        loss = phase.phone_weight * phone_loss
        losses = {"phone_loss": phone_loss, "phone_accuracy": phone_accuracy}
        if phase.text_weight:
            found = self.learner.text_losses(
                features, batch.rows, batch.targets, batch.heard_at, batch.first_token
            )
            loss = loss + phase.text_weight * (found.text + phase.end_weight * found.early)
            loss = loss + phase.place_weight * (found.next + found.last)
            losses |= {f"{name}_loss": value for name, value in found._asdict().items()}
        return {**losses, "loss": loss}

    def _features(self, batch: Batch, phase: Phase) -> torch.Tensor:
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            waveforms, loudest = batch.samples.float() / 32768, batch.loudest.float()
            generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.step)
            if phase.plain:
                mel = log_mel(waveforms, batch.content, loudest)
            else:
                voices = other_voices(len(waveforms), generator, self.device)
                mel = log_mel(waveforms, batch.content, loudest, heard_as=voices)
                mel = mask_bands(mel, generator)
        return self.learner.encode(mel, batch.first_position)

    def save(self, path: Path) -> None:
        """Write the whole state beside `path`, then rename it."""
        partial = path.with_suffix(".partial")
        torch.save(
            {
                "learner": self.learner.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "tokens": torch.from_numpy(self.vocabulary.tokens),
                "dims": self.settings.dims.to_dict(),
                "seed": self.settings.seed,
                "began_with": self.began_with,
                "counters": {name: getattr(self, name) for name in COUNTERS},
            },
            partial,
        )
        os.replace(partial, path)

    def resume(self, path: Path) -> None:
        """Continue from a state that `save` wrote. Exits for another network or seed."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        here = (self.settings.dims.to_dict(), self.settings.seed, self.vocabulary.tokens.tolist())
        there = (state["dims"], state["seed"], state["tokens"].tolist())
        if here != there:
            sys.exit(
                f"expected in {path} a run of the same dimensions, seed and sentences, got another:"
                " use its settings, or another folder"
            )
        self.learner.load_state_dict(state["learner"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, value in state["counters"].items():
            setattr(self, name, value)
        if state.get("began_with"):
            self._go_on_warm(state["began_with"])

    def begin_from(self, folder: Path) -> None:
        """Take the weights of an exported folder or an earlier run, possibly with other sentences.
        Optimiser, counters and schedule start anew. Exits for another network."""
        start = warm_start.read(folder)
        if start.dims != self.settings.dims:
            sys.exit(
                f"expected {self.settings.dims} in {folder}, got {start.dims}: another preset?"
            )
        self.learner.load(start.weights, self.vocabulary)
        if start.phone_head:
            self.learner.phone_head.load_state_dict(start.phone_head)
        self.first_batch = start.n_batches
        self._go_on_warm(start.name)

    def _go_on_warm(self, began_with: str) -> None:
        self.began_with, self.settings = began_with, self.settings.warm()
