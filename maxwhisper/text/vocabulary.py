"""Whisper's three vocabularies: the ranks of byte sequences, then the special tokens.

The ranks are package data: the files of openai-whisper, compressed (see assets/README.md). Knows
no language but the number of them.
"""

import base64
import lzma
from functools import lru_cache
from pathlib import Path

import tiktoken

from maxwhisper.network.dims import CHUNK_LENGTH_S, TIME_PRECISION_S
from maxwhisper.text.languages import LANGUAGES

RANKS = Path(__file__).parents[1] / "assets" / "vocabulary"
# How GPT-2 splits text before byte-pair merging (openai/whisper tokenizer.py:361).
_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

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
        pat_str=_SPLIT,
        mergeable_ranks=ranks,
        special_tokens=special_tokens,
        explicit_n_vocab=len(ranks) + len(specials),
    )


def read_ranks(name: str) -> dict[bytes, int]:
    """Byte sequence -> rank, of the vocabulary "gpt2" or "multilingual".

    A line of the file has a byte sequence in base64 and its rank.
    """
    with lzma.open(RANKS / f"{name}.tiktoken.xz", "rt", encoding="ascii") as file:
        pairs = (line.split() for line in file if line.strip())
        return {base64.b64decode(token): int(rank) for token, rank in pairs}
