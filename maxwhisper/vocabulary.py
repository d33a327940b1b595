"""Whisper's three vocabularies: the ranks of byte sequences, then the special tokens.

The ranks are read as plain data from the openai-whisper package; neither `whisper` nor torch is
imported. Knows no language but the number of them.
"""

import base64
from functools import lru_cache

import tiktoken

from maxwhisper.dims import CHUNK_LENGTH_S, TIME_PRECISION_S
from maxwhisper.errors import EngineUnavailable
from maxwhisper.languages import LANGUAGES
from maxwhisper.paths import package_folder

# GPT-2's split of text into pieces before byte-pair merging (openai/whisper tokenizer.py:361).
_PIECES = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

N_TIMESTAMPS = round(CHUNK_LENGTH_S / TIME_PRECISION_S) + 1  # 1501: <|0.00|> to <|30.00|>


@lru_cache(maxsize=3)  # the three vocabularies; building one takes about 0.2 s
def get_encoding(name: str, num_languages: int) -> tiktoken.Encoding:
    """Encoding "gpt2" (`.en`) or "multilingual": the ranks, then the special tokens."""
    ranks = read_ranks(name)
    specials = (
        "endoftext",
        "startoftranscript",
        *tuple(LANGUAGES)[:num_languages],
        "translate",
        "transcribe",
        "startoflm",
        "startofprev",
        "nospeech",
        "notimestamps",
        *(f"{i * TIME_PRECISION_S:.2f}" for i in range(N_TIMESTAMPS)),
    )
    special_tokens = {f"<|{special}|>": len(ranks) + i for i, special in enumerate(specials)}
    return tiktoken.Encoding(
        name=name,
        pat_str=_PIECES,
        mergeable_ranks=ranks,
        special_tokens=special_tokens,
        explicit_n_vocab=len(ranks) + len(specials),
    )


def read_ranks(name: str) -> dict[bytes, int]:
    """Byte sequence -> rank, from `whisper/assets/{name}.tiktoken`: base64 and a number a line.

    Raises `EngineUnavailable` when the openai-whisper package is not installed.
    """
    whisper = package_folder("whisper")
    if whisper is None:
        raise EngineUnavailable(
            f"expected {name}.tiktoken in the openai-whisper package, which is not installed: "
            "pip install openai-whisper"
        )
    lines = (whisper / "assets" / f"{name}.tiktoken").read_text(encoding="ascii").splitlines()
    pairs = (line.split() for line in lines if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}
