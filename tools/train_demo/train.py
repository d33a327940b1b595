"""Train the network: phases, pace, log, checkpoints for resuming.

In: the shards of `speech` and the sentences of `text`. Out, in the run's folder: checkpoint.pt,
replaced atomically every few minutes, and log.jsonl. With --steps a resumed run gives the same
numbers; with --minutes the schedule follows the clock, so the run ends on time on any machine.

`python -m tools.train_demo.train sentences.jsonl speech run --minutes 600`
"""

import argparse
import itertools
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from maxwhisper.text.tokenizer import Tokenizer, get_tokenizer
from tools.train_demo import text
from tools.train_demo.batches import Batch, Part, batches
from tools.train_demo.corpus import Corpus
from tools.train_demo.listen import held_out_wer
from tools.train_demo.settings import PRESETS, Phase
from tools.train_demo.trainer import Trainer
from tools.train_demo.vocabulary import Vocabulary, used_tokens
from tools.train_demo.warm_start import CHECKPOINT
from tools.train_demo.windows import Composer

LOG = "log.jsonl"


@dataclass(frozen=True)
class Budget:
    """The amount of training: a number of steps, or minutes over all sessions."""

    steps: int | None
    minutes: float

    def progress(self, step: int, spent_s: float) -> float:
        """Return 0 at the start and 1 at the end."""
        done = step / self.steps if self.steps else spent_s / 60 / self.minutes
        return min(1.0, done)


def phase_at(phases: tuple[Phase, ...], progress: float) -> tuple[int, float]:
    """Return the phase's number at `progress` of the run, and the progress within it, 0..1."""
    before = 0.0
    total = sum(phase.share for phase in phases)
    for number, phase in enumerate(phases):
        share = phase.share / total
        if progress < before + share or number == len(phases) - 1:
            return number, min(1.0, (progress - before) / share)
        before += share
    raise ValueError("expected at least one phase")


def learning_rate(phase: Phase, progress: float, phase_step: int, warm_up_steps: int) -> float:
    """Return the rate: linear warm-up, then half a cosine from the phase's peak to its final
    rate."""
    warm = min(1.0, (phase_step + 1) / warm_up_steps)
    fall = 0.5 * (1 + math.cos(math.pi * progress))
    return warm * (phase.final_rate + (phase.peak_rate - phase.final_rate) * fall)


@dataclass
class Run:
    """A trainer with its data, its folder and its budget."""

    trainer: Trainer
    tokenizer: Tokenizer
    train: Corpus
    held_out: dict[str, Corpus]
    folder: Path
    budget: Budget
    evaluate_utterances: int

    def go(self, session_minutes: float) -> None:
        """Train to the end of the budget or of the session, and write a checkpoint in both
        cases."""
        trainer, settings = self.trainer, self.trainer.settings
        started, spent_before = time.monotonic(), trainer.spent_s
        saved = evaluated = started
        source: Iterator[Batch] | None = None
        sums: list[dict[str, torch.Tensor]] = []
        while (progress := self.budget.progress(trainer.step, trainer.spent_s)) < 1:
            number, phase_progress = phase_at(settings.phases, progress)
            phase = settings.phases[number]
            if number != trainer.phase:
                trainer.phase, trainer.phase_step, source = number, 0, None
            source = source or self._batches(phase)
            rate = learning_rate(phase, phase_progress, trainer.phase_step, settings.warm_up_steps)
            sums.append(trainer.train_on(next(source), phase, rate))
            now = time.monotonic()
            trainer.spent_s = spent_before + now - started
            if len(sums) == settings.log_steps:
                self._log(phase, progress, rate, sums)
                sums = []
            if now - evaluated > 60 * settings.evaluate_minutes:
                self._evaluate(phase)
                evaluated = time.monotonic()
            if now - saved > 60 * settings.checkpoint_minutes:
                trainer.save(self.folder / CHECKPOINT)
                saved = time.monotonic()
            if now - started > 60 * session_minutes:
                break
        trainer.save(self.folder / CHECKPOINT)
        self._evaluate(settings.phases[trainer.phase])

    def _batches(self, phase: Phase) -> Iterator[Batch]:
        trainer = self.trainer
        seed, workers = trainer.settings.seed, trainer.settings.workers
        parts = [
            Part(mix.share, Composer(self.train, self.tokenizer, mix.style), mix.batch)
            for mix in phase.mixes
        ]
        first = trainer.first_batch + trainer.step
        return batches(parts, trainer.vocabulary, seed, first, workers)

    def _log(
        self, phase: Phase, progress: float, rate: float, sums: list[dict[str, torch.Tensor]]
    ) -> None:
        means = {
            name: round(float(torch.stack([losses[name] for losses in sums]).mean()), 4)
            for name in sums[0]
            if all(name in losses for losses in sums)
        }
        self._write({"phase": phase.name, "progress": round(progress, 4), "rate": rate, **means})

    def _evaluate(self, phase: Phase) -> None:
        """Log the word error rates once the decoder has started to learn."""
        if not phase.text_weight:
            return
        trainer = self.trainer
        for name, in_windows in itertools.product(self.held_out, (False, True)):
            wer, heard = held_out_wer(
                trainer.learner,
                trainer.vocabulary,
                self.tokenizer,
                self.held_out[name],
                self.evaluate_utterances,
                in_windows,
            )
            where = {"set": name, "in_windows": in_windows}
            self._write({"phase": phase.name, **where, "wer": round(wer, 4), "heard": heard})

    def _write(self, entry: dict[str, Any]) -> None:
        trainer = self.trainer
        common = {"step": trainer.step, "spent_s": round(trainer.spent_s, 1)}
        common |= {"examples": trainer.examples, "audio_h": round(trainer.audio_s / 3600, 2)}
        line = json.dumps({**common, **entry})
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(line + "\n")
        print(line, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sentences", type=Path)
    parser.add_argument("speech", type=Path, help="folder that `speech` wrote")
    parser.add_argument("run", type=Path, help="folder of checkpoint and log; continued if there")
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), default=None, help="default: by device"
    )
    parser.add_argument("--minutes", type=float, default=600.0, help="of training, all sessions")
    parser.add_argument("--steps", type=int, default=None, help="instead of --minutes")
    parser.add_argument("--phase", help="this one alone", choices=("mix", "window"))
    parser.add_argument("--rate", type=float, default=1.0, help="times the peak rate of --phase")
    parser.add_argument("--plain", action="store_true", help="--phase with voices as recorded")
    parser.add_argument("--session-minutes", type=float, default=math.inf, help="then stop, saved")
    parser.add_argument("--workers", type=int, default=None, help="processes that make batches")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--init", type=Path, default=None, help="an exported folder or an earlier run to begin with"
    )
    options = parser.parse_args()
    if options.phase is None and (options.plain or options.rate != 1):
        parser.error("expected --phase with --plain or --rate: which one is to run alone?")
    return options


def main() -> None:
    options = _arguments()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = PRESETS[options.preset or ("gpu" if device.type == "cuda" else "cpu")]
    workers = settings.workers if options.workers is None else options.workers
    settings = replace(settings, seed=options.seed, workers=workers)
    if options.phase:
        settings = settings.only(options.phase, options.rate, options.plain)
    torch.set_float32_matmul_precision("high")

    tokenizer = get_tokenizer(settings.dims)
    texts = [s.text for s in text.read(options.sentences) if not s.held_out]
    vocabulary = Vocabulary(settings.dims.n_vocab, used_tokens(tokenizer, texts))
    trainer = Trainer(settings, vocabulary, device)
    options.run.mkdir(parents=True, exist_ok=True)
    if (options.run / CHECKPOINT).is_file():
        trainer.resume(options.run / CHECKPOINT)
    elif options.init is not None:
        trainer.begin_from(options.init)
    held_out = {
        name: Corpus(options.speech / name) for name in ("validation_seen", "validation_unseen")
    }
    run = Run(
        trainer,
        tokenizer,
        Corpus(options.speech / "train", set(texts)),
        held_out,
        options.run,
        Budget(options.steps, options.minutes),
        evaluate_utterances=settings.evaluate_utterances,
    )
    run.go(options.session_minutes)


if __name__ == "__main__":
    main()
