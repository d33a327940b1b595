"""The ten numbers that define a Whisper network, and the constants of its audio front end.

Field names are those of the `dims` entry of an OpenAI checkpoint. Derived values are properties
here, so no other file derives a vocabulary or a frame count.
"""

from dataclasses import asdict, dataclass

SAMPLE_RATE = 16_000  # Hz
N_FFT = 400  # samples: a 25 ms analysis window
HOP_LENGTH = 160  # samples: 10 ms between mel frames
CHUNK_LENGTH_S = 30  # seconds of audio in one encoder window
N_SAMPLES = CHUNK_LENGTH_S * SAMPLE_RATE  # 480 000 samples
N_FRAMES = N_SAMPLES // HOP_LENGTH  # 3 000 mel frames of 10 ms
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_LENGTH  # 100
INPUT_STRIDE = 2  # mel frames per audio position: conv2 has stride 2, so a position is 20 ms
TIME_PRECISION_S = INPUT_STRIDE * HOP_LENGTH / SAMPLE_RATE  # 0.02 s per timestamp token

# Vocabulary sizes without language tokens: 50 257 text tokens + 1 501 timestamps + 7 specials.
_N_VOCAB_WITHOUT_LANGUAGES = 51_765


@dataclass(frozen=True)
class Dims:
    """The dimensions of a network, in the field names of an OpenAI checkpoint."""

    n_mels: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_vocab: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int

    @property
    def n_frames(self) -> int:
        """Mel frames in one encoder window (T = 2 S)."""
        return self.n_audio_ctx * INPUT_STRIDE

    @property
    def text_head_width(self) -> int:
        """Width D of one decoder attention head."""
        return self.n_text_state // self.n_text_head

    @property
    def is_multilingual(self) -> bool:
        """True for the 51865 (v1, v2) and 51866 (v3, turbo) vocabularies."""
        return self.n_vocab > _N_VOCAB_WITHOUT_LANGUAGES + 99

    @property
    def can_translate(self) -> bool:
        """False for `.en` networks and for large-v3-turbo, which was trained without translations
        (openai/whisper README.md). Only its dims distinguish it from large-v3."""
        is_turbo = (self.n_mels, self.n_audio_layer, self.n_text_layer) == (128, 32, 4)
        return self.is_multilingual and not is_turbo

    @property
    def num_languages(self) -> int:
        """Language tokens in the vocabulary: 99 up to v2 (and in `.en`), 100 from v3 on."""
        return self.n_vocab - _N_VOCAB_WITHOUT_LANGUAGES - int(self.is_multilingual)

    def to_dict(self) -> dict[str, int]:
        """Return the `dims` entry of an OpenAI checkpoint."""
        return asdict(self)
