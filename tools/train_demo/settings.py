"""Every number of a training run: the network, the phases, the pace; one preset for each machine.

Why these phases, in this order: a Whisper trained on text alone learnt nothing in half an hour on
two cores (WER 102 %), because a sentence says nearly nothing about 150 frames. A synthesiser knows
every phone's time, and with a phone for each frame the encoder heard in minutes (82 % of frames
after 6, WER 46.7 % after 40). So the encoder learns phones first, the decoder then learns to read
it on short stretches, and 30 s windows, one of which costs what eight short ones do, come last.

The step from stretches to windows is the hard one. A network that read about 60 % of the words of
single stretches (72,000 utterances, two hours on one core) heard nothing in them padded to 30 s: it
had never met long silence. Ten minutes of windows with the encoder held fixed brought it to 16 %.
"""

from dataclasses import dataclass, replace

from maxwhisper.checkpoint.bundled import DIMS
from maxwhisper.dims import Dims
from tools.train_demo.windows import Style


@dataclass(frozen=True)
class Phase:
    """`share` of the run; losses are weighted and added; a weight of 0 skips that loss's work."""

    name: str
    share: float
    style: Style
    batch: int
    phone_weight: float
    text_weight: float
    peak_rate: float  # learning rate after warm-up, which falls over the phase by a cosine
    final_rate: float
    place_weight: float = 0.1  # of where the decoder listens
    masked: bool = True  # bands of the log-mel hidden, as in SpecAugment


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
    evaluate_minutes: float = 10.0
    log_steps: int = 20
    evaluate_utterances: int = 40  # of each held-out set

    def warm(self) -> "Settings":
        """For a network that hears already: no phase of phones alone, and half the peak rates (a
        guess, not measured)."""
        reading = (phase for phase in self.phases if phase.text_weight)
        halved = tuple(replace(phase, peak_rate=phase.peak_rate / 2) for phase in reading)
        return replace(self, phases=halved)


def phases(batch_short: int, batch_window: int, spell: float, rate: float) -> tuple[Phase, ...]:
    """hear: phones alone. read: text of single utterances. join: several, in 10 s, with prompts.
    window: as at work, 30 s."""
    hear, read = Style(None, 6, distorted=0.15), Style(None, 6, spell, distorted=0.15)
    join, window = Style(10, 9, distorted=0.3), Style(30, 15, distorted=0.5)
    return (
        Phase("hear", 0.06, hear, batch_short, 1.0, 0.0, rate, rate, masked=False),
        Phase("read", 0.57, read, batch_short, 0.3, 1.0, rate, rate / 4, 0.5, masked=False),
        Phase("join", 0.14, join, batch_window * 3, 0.3, 1.0, rate / 2, rate / 4, 1.0, False),
        Phase("window", 0.23, window, batch_window, 0.3, 1.0, rate / 2, rate / 100, 1.0, False),
    )


# cpu: a step of 32 single utterances (122 s of sound) took 1.6 s on one core, at width 192; half of
# it makes twice as many updates. bfloat16 there
# was 20 times slower than float32 (AVX2 alone), so only a GPU gets it. gpu: not run yet; a core
# makes a window in 22 ms and an utterance in 1.7 ms, so 15 of them feed about ten steps of 64
# windows a second.
PRESETS = {
    # Proves that everything runs end to end, in a minute; learns next to nothing.
    "toy": Settings(
        Dims(80, 1500, 64, 2, 2, 51_864, 448, 64, 2, 2),
        phases(8, 1, spell=0.5, rate=2e-3),
        workers=0,
        warm_up_steps=10,
        log_steps=10,
        evaluate_utterances=4,
    ),
    "cpu": Settings(DIMS, phases(16, 2, spell=0.0, rate=2e-3), workers=1, evaluate_utterances=40),
    "gpu": Settings(
        DIMS, phases(512, 64, spell=0.3, rate=2e-3), workers=15, evaluate_utterances=200
    ),
}
