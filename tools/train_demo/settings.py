"""Every number of a training run: the network, the phases, the pace; one preset for each machine.

Why these phases, in this order: a Whisper trained on text alone learnt nothing in half an hour on
two cores (WER 102 %), because a sentence says nearly nothing about 150 frames. A synthesiser knows
every phone's time, and with a phone for each frame the encoder heard in minutes (82 % of frames
after 6, WER 46.7 % after 40). So the encoder learns phones first, and the decoder then learns to
read it on single utterances.

The step from there to windows is the hard one. A network that read about 60 % of the words of
single utterances heard nothing in them padded to 30 s: it had never met long silence. So it meets
every length in turns, and a text may begin at any of the decoder's positions from the start. A
second of sound costs the same in every length: windows full of speech are no dearer.
"""

from dataclasses import dataclass, replace

from maxwhisper.checkpoint.bundled import DIMS
from maxwhisper.dims import Dims
from tools.train_demo.windows import Style


@dataclass(frozen=True)
class Mix:
    """A style, how many examples make a batch, and its share of the batches."""

    style: Style
    batch: int
    share: float = 1.0


@dataclass(frozen=True)
class Phase:
    """`share` of the run; losses are weighted and added; a weight of 0 skips that loss's work."""

    name: str
    share: float
    mixes: tuple[Mix, ...]
    phone_weight: float
    text_weight: float
    peak_rate: float  # learning rate after warm-up, which falls over the phase by a cosine
    final_rate: float
    place_weight: float = 0.1  # of where the decoder listens
    plain: bool = False  # no band is hidden, voices and microphones are as they were recorded
    for_beginners: bool = False  # left out where the network hears already
    end_weight: float = 4.0  # of ends too soon, times text_weight


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
        """One phase, at `rate` times its rates: to settle what a run before it has learnt."""
        chosen = tuple(
            replace(one, peak_rate=rate * one.peak_rate, plain=plain or one.plain)
            for one in self.phases
            if one.name == phase
        )
        return replace(self, phases=chosen)

    def warm(self) -> "Settings":
        """For a network that hears already: half the rates (at full rates it forgot much of what
        it knew), and not what is for beginners."""
        halved = tuple(
            replace(phase, peak_rate=phase.peak_rate / 2, final_rate=phase.final_rate / 2)
            for phase in self.phases
            if not phase.for_beginners
        )
        return replace(self, phases=halved)


def phases(batch_window: int, spell: float, rate: float) -> tuple[Phase, ...]:
    """hear: phones alone. read: text of single utterances. mix: all lengths in turns. window: as
    at work, 30 s mostly.

    Every batch has about as much sound as `batch_window` windows.
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
    # Proves that everything runs end to end, in a minute; learns next to nothing.
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
