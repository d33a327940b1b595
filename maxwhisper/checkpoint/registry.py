"""The official models: names, URLs, sha256, dims and alignment heads; repositories on the Hub.

Source: openai/whisper `__init__.py` (URLs with sha256; alignment heads, decoded here from base85)
and the `dims` of the files.
"""

from dataclasses import dataclass
from difflib import get_close_matches

from maxwhisper.network.dims import Dims

BASE_URL = "https://openaipublic.azureedge.net/main/whisper/models"


@dataclass(frozen=True)
class OfficialModel:
    """A checkpoint file published by OpenAI. `alignment_heads` are (decoder layer, head) pairs."""

    file_name: str
    sha256: str
    dims: Dims
    alignment_heads: tuple[tuple[int, int], ...]

    @property
    def url(self) -> str:
        return f"{BASE_URL}/{self.sha256}/{self.file_name}"


def _dims(state: int, heads: int, layers: int, n_vocab: int) -> Dims:
    """Return the dims of a model up to large-v2: 80 mels, equal sizes of encoder and decoder."""
    return Dims(80, 1500, state, heads, layers, n_vocab, 448, state, heads, layers)


def _dims_v3(text_layers: int) -> Dims:
    """Return the dims of large-v3 (32 decoder layers) or turbo (4): 128 mels, 100 languages."""
    return Dims(128, 1500, 1280, 20, 32, 51_866, 448, 1280, 20, text_layers)


def _heads(pairs: str) -> tuple[tuple[int, int], ...]:
    """Parse pairs in the form "layer.head": "3.1 4.2" gives ((3, 1), (4, 2))."""
    return tuple((int(layer), int(head)) for layer, head in (p.split(".") for p in pairs.split()))


OFFICIAL_MODELS: dict[str, OfficialModel] = {
    "tiny.en": OfficialModel(
        "tiny.en.pt",
        "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03",
        _dims(384, 6, 4, 51_864),
        _heads("1.0 2.0 2.5 3.0 3.1 3.2 3.3 3.4"),
    ),
    "tiny": OfficialModel(
        "tiny.pt",
        "65147644a518d12f04e32d6f3b26facc3f8dd46e5390956a9424a650c0ce22b9",
        _dims(384, 6, 4, 51_865),
        _heads("2.2 3.0 3.2 3.3 3.4 3.5"),
    ),
    "base.en": OfficialModel(
        "base.en.pt",
        "25a8566e1d0c1e2231d1c762132cd20e0f96a85d16145c3a00adf5d1ac670ead",
        _dims(512, 8, 6, 51_864),
        _heads("3.3 4.7 5.1 5.5 5.7"),
    ),
    "base": OfficialModel(
        "base.pt",
        "ed3a0b6b1c0edf879ad9b11b1af5a0e6ab5db9205f891f668f8b0e6c6326e34e",
        _dims(512, 8, 6, 51_865),
        _heads("3.1 4.2 4.3 4.7 5.1 5.2 5.4 5.6"),
    ),
    "small.en": OfficialModel(
        "small.en.pt",
        "f953ad0fd29cacd07d5a9eda5624af0f6bcf2258be67c92b79389873d91e0872",
        _dims(768, 12, 12, 51_864),
        _heads(
            "6.6 7.0 7.3 7.8 8.2 8.5 8.7 9.0 9.4 9.8 9.10 10.0 10.1 10.2 10.3 10.6 10.11 11.2 11.4"
        ),
    ),
    "small": OfficialModel(
        "small.pt",
        "9ecf779972d90ba49c06d968637d720dd632c55bbf19d441fb42bf17a411e794",
        _dims(768, 12, 12, 51_865),
        _heads("5.3 5.9 8.0 8.4 8.7 8.8 9.0 9.7 9.9 10.5"),
    ),
    "medium.en": OfficialModel(
        "medium.en.pt",
        "d7440d1dc186f76616474e0ff0b3b6b879abc9d1a4926b7adfa41db2d497ab4f",
        _dims(1024, 16, 24, 51_864),
        _heads(
            "11.4 14.1 14.12 14.14 15.4 16.0 16.4 16.9 17.12 17.14 18.7 18.10 18.15 20.0 20.3 "
            "20.9 20.14 21.12"
        ),
    ),
    "medium": OfficialModel(
        "medium.pt",
        "345ae4da62f9b3d59415adc60127b97c714f32e89e936602e85993674d08dcb1",
        _dims(1024, 16, 24, 51_865),
        _heads("13.15 15.4 15.15 16.1 20.0 23.4"),
    ),
    "large-v1": OfficialModel(
        "large-v1.pt",
        "e4b87e7e0bf463eb8e6956e646f1e277e901512310def2c24bf0e11bd3c28e9a",
        _dims(1280, 20, 32, 51_865),
        _heads("9.19 11.2 11.4 11.17 22.7 22.11 22.17 23.2 23.15"),
    ),
    "large-v2": OfficialModel(
        "large-v2.pt",
        "81f7c96c852ee8fc832187b0132e569d6c3065a3252ed18e56effd0b6a73e524",
        _dims(1280, 20, 32, 51_865),
        _heads(
            "10.12 13.17 16.11 16.12 16.13 17.15 17.16 18.4 18.11 18.19 19.11 21.2 21.3 22.3 "
            "22.9 22.12 23.5 23.7 23.13 25.5 26.1 26.12 27.15"
        ),
    ),
    "large-v3": OfficialModel(
        "large-v3.pt",
        "e5b1a55b89c1367dacf97e3e19bfd829a01529dbfdeefa8caeb59b3f1b81dadb",
        _dims_v3(32),
        _heads("7.0 10.17 12.18 13.12 16.1 17.14 19.11 21.4 24.1 25.6"),
    ),
    "large-v3-turbo": OfficialModel(
        "large-v3-turbo.pt",
        "aff26ae408abcba5fbf8813c21e62b0941638c5f6eebfb145be0c9839262a19a",
        _dims_v3(4),
        _heads("2.4 2.11 3.3 3.6 3.11 3.14"),
    ),
}
ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}
OFFICIAL_MODELS |= {alias: OFFICIAL_MODELS[name] for alias, name in ALIASES.items()}

# Name -> repositories on the Hub with these weights; the first is downloaded. OpenAI publishes in
# Hugging Face's format, Systran and others in CTranslate2's, which faster-whisper downloads (its
# utils.py). OpenAI's "whisper-large" is large-v1.
HUB_REPOSITORIES: dict[str, tuple[str, ...]] = {
    name: (f"openai/whisper-{name}", f"Systran/faster-whisper-{name}")
    for name in OFFICIAL_MODELS
    if name not in ALIASES
}
HUB_REPOSITORIES |= {
    "large-v1": ("openai/whisper-large", "Systran/faster-whisper-large-v1"),
    "large-v3-turbo": (
        "openai/whisper-large-v3-turbo",
        "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    ),
    "distil-small.en": (
        "distil-whisper/distil-small.en",
        "Systran/faster-distil-whisper-small.en",
    ),
    "distil-medium.en": (
        "distil-whisper/distil-medium.en",
        "Systran/faster-distil-whisper-medium.en",
    ),
    "distil-large-v2": (
        "distil-whisper/distil-large-v2",
        "Systran/faster-distil-whisper-large-v2",
    ),
    "distil-large-v3": (
        "distil-whisper/distil-large-v3",
        "Systran/faster-distil-whisper-large-v3",
    ),
    "distil-large-v3.5": (
        "distil-whisper/distil-large-v3.5",
        "distil-whisper/distil-large-v3.5-ct2",
    ),
}
HUB_REPOSITORIES |= {alias: HUB_REPOSITORIES[name] for alias, name in ALIASES.items()}


def did_you_mean(name: str) -> str:
    """Return "; did you mean tiny, tiny.en?" with the names that are like `name`, or ""."""
    last = name.rpartition("/")[2].removeprefix("whisper-").lower()
    close = get_close_matches(last, ["demo", *HUB_REPOSITORIES])
    return f"; did you mean {', '.join(close)}?" if close else ""
