"""Every number of a training run: the network, the phases, the pace; one preset per machine.

Why these phases in this order: a Whisper trained only on text learnt nothing in half an hour on two
cores (WER 102 %), because a sentence says little about 150 frames. A synthesiser knows the time of
every phone, and with a phone label per frame the encoder learnt in minutes (82 % of frames after 6
minutes, WER 46.7 % after 40). So the encoder learns phones first, and the decoder then learns to
read it on single utterances.

The step to full windows is the hard one. A network that read about 60 % of the words of single
utterances recognised nothing in them padded to 30 s, because it had never met long silence. So
training alternates between all lengths, and a text may begin at any of the decoder's positions from
the start. A second of audio costs the same at every length.
"""

from dataclasses import dataclass, replace

from maxwhisper.checkpoint.bundled import DIMS
from maxwhisper.network.dims import Dims
from tools.train_demo.windows import Style


@dataclass(frozen=True)
class Mix:
    """A style, its number of examples per batch, and its share of the batches."""

    style: Style
    batch: int
    share: float = 1.0


@dataclass(frozen=True)
class Phase:
    """One phase: its `share` of the run, and the weights of the losses, which are added. A weight
    of 0 skips the work of that loss."""

    name: str
    share: float
    mixes: tuple[Mix, ...]
    phone_weight: float
    text_weight: float
    peak_rate: float  # learning rate after warm-up, which falls over the phase by a cosine
    final_rate: float
    place_weight: float = 0.1  # of the loss of the decoder's attention
    plain: bool = False  # no masked bands; voices and microphones unchanged
    for_beginners: bool = False  # skipped for a network that is already trained
    end_weight: float = 4.0  # of early ends, times text_weight


@dataclass(frozen=True)
class Settings:
    dims: Dims
    phases: tuple[Phase, ...]
    workers: int
    seed: int = 0
    warm_up_steps: int = 200  # at the start of each phase
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = 1.0
    checkpoint_minutes: float = 3.0
    evaluate_minutes: float = 20.0
    log_steps: int = 20
    evaluate_utterances: int = 40  # of each held-out set

    def only(self, phase: str, rate: float, plain: bool = False) -> "Settings":
        """Return settings with one phase at `rate` times its rates, to refine an earlier run."""
        chosen = tuple(
            replace(one, peak_rate=rate * one.peak_rate, plain=plain or one.plain)
            for one in self.phases
            if one.name == phase
        )
        return replace(self, phases=chosen)

    def warm(self) -> "Settings":
        """Return settings for a trained network: half the rates (at full rates it forgot much of
        what it knew), without the phases for beginners."""
        halved = tuple(
            replace(phase, peak_rate=phase.peak_rate / 2, final_rate=phase.final_rate / 2)
            for phase in self.phases
            if not phase.for_beginners
        )
        return replace(self, phases=halved)


def phases(batch_window: int, spell: float, rate: float) -> tuple[Phase, ...]:
    """Return the phases. hear: only phones. read: text of single utterances. mix: all lengths in
    turn. window: mostly 30 s, as in use.

    Every batch has about as much audio as `batch_window` windows.
    """
    hear = Mix(Style(None, 6, distorted=0.15), batch_window * 8)
    read = Mix(Style(None, 6, spell, distorted=0.15), batch_window * 8)
    short = Mix(Style(None, 6, distorted=0.6), batch_window * 8)
    join = Mix(Style(10, 9, distorted=0.6, full=0.7), batch_window * 3)
    window = Mix(Style(30, 15, distorted=0.6, full=0.7), batch_window)

    def turns(shorts: float, joins: float, windows: float) -> tuple[Mix, ...]:
        shares = ((short, shorts), (join, joins), (window, windows))
        return tuple(replace(mix, share=share) for mix, share in shares if share)

    return (
        Phase("hear", 0.05, (hear,), 1.0, 0.0, rate, rate, 0.0, plain=True, for_beginners=True),
        Phase("read", 0.25, (read,), 0.3, 1.0, rate, rate / 2, 0.5, plain=True, for_beginners=True),
        Phase("mix", 0.28, turns(0.2, 0.5, 0.3), 0.4, 1.0, 0.8 * rate, 0.7 * rate, 1.0),
        Phase("window", 0.42, turns(0.1, 0.3, 0.6), 0.4, 1.0, 0.7 * rate, rate / 100, 1.0),
    )


# cpu: three windows, or as much sound, a step. Of two, two cores with bfloat16 of AVX-512 took
# 0.44 s, in float32 0.97 s; one core 0.65 s and 1.52 s. gpu: not run yet; a core makes a window in
# 22 ms and an utterance in 1.7 ms, so 15 of them feed about ten steps of 64 windows a second.
PRESETS = {
    # Shows in a minute that everything runs end to end; learns almost nothing.
    "toy": Settings(
        Dims(80, 1500, 64, 2, 2, 51_864, 448, 64, 2, 2),
        phases(1, spell=0.5, rate=2e-3),
        workers=0,
        warm_up_steps=10,
        log_steps=10,
        evaluate_utterances=4,
    ),
    "cpu": Settings(DIMS, phases(3, spell=0.0, rate=2e-3), workers=1, evaluate_utterances=40),
    "gpu": Settings(DIMS, phases(64, spell=0.3, rate=2e-3), workers=15, evaluate_utterances=200),
}
