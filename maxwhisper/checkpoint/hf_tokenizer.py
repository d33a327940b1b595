"""Convert the vocabulary to Hugging Face's `tokenizers` library, which faster-whisper reads.

In: a `Tokenizer`. Out: a byte-level BPE with the same ids. Its merges are reconstructed from the
tiktoken ranks (1.5 s), because rank files contain only the merged tokens. `tokenizers` is imported
only when a conversion runs.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from maxwhisper.text.tokenizer import Tokenizer
from maxwhisper.text.vocabulary import read_ranks

if TYPE_CHECKING:
    import tokenizers


def make_hf_tokenizer(tokenizer: Tokenizer) -> "tokenizers.Tokenizer":
    """Return the same vocabulary as a `tokenizers` object: text tokens and special tokens.

    Timestamps are omitted, as in Hugging Face's files of the first Whisper models; faster-whisper
    computes them from the position of <|notimestamps|>.
    """
    from tokenizers import AddedToken, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as HfTokenizer

    ranks = read_ranks(tokenizer.encoding.name)
    vocab = {_printable(token): rank for token, rank in ranks.items()}
    result = HfTokenizer(models.BPE(vocab=vocab, merges=_merges(ranks)))
    result.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    result.decoder = decoders.ByteLevel()
    specials = range(tokenizer.eot, tokenizer.timestamp_begin)
    result.add_special_tokens(
        [AddedToken(tokenizer.decode([i]), special=True, normalized=False) for i in specials]
    )
    return result


def _byte_characters() -> dict[int, str]:
    """Return GPT-2's map from byte to printable character: printable Latin-1 bytes stay, the others
    become U+0100 and following."""
    kept = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in kept)
    return {byte: chr(byte) for byte in kept} | {b: chr(0x100 + i) for i, b in enumerate(others)}


_BYTE_CHARACTERS = _byte_characters()


def _printable(token: bytes) -> str:
    return "".join(_BYTE_CHARACTERS[byte] for byte in token)


def _merges(ranks: Mapping[bytes, int]) -> list[tuple[str, str]]:
    """Return the pair that makes each token of two or more bytes, in the order of the ranks.

    It is the result of merging the token's bytes by all earlier ranks.
    """
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) > 1:
            left, right = _parts_before(token, rank, ranks)
            merges.append((_printable(left), _printable(right)))
    return merges


def _parts_before(token: bytes, rank: int, ranks: Mapping[bytes, int]) -> list[bytes]:
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        pair_ranks = [ranks.get(a + b, rank) for a, b in pairwise(parts)]
        i = min(range(len(pair_ranks)), key=pair_ranks.__getitem__)
        if pair_ranks[i] >= rank:
            break
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts
