"""Which words are said when: cross-attention scores of a decoded text, aligned with the audio.

In: raw scores and logits of one uncached decoder pass over the text. Out: words with seconds from
the start of their window and probabilities. Knows nothing of segments or recordings. Axis letters:
B texts, N alignment heads, L tokens, S audio positions of 20 ms. Source: openai/whisper
timing.py:19-54 (median filter), 57-107 (dynamic time warping), 163-241.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from maxwhisper.checkpoint.schema import Heads
from maxwhisper.decoding.protocols import Float32, Int64, Network
from maxwhisper.dims import FRAMES_PER_SECOND, INPUT_STRIDE
from maxwhisper.errors import OptionError
from maxwhisper.tokenizer import Tokenizer

POSITIONS_PER_SECOND = FRAMES_PER_SECOND // INPUT_STRIDE  # 50 audio positions
MEDIAN_WIDTH = 7  # audio positions: 0.14 s
_DIAGONAL, _UP, _LEFT = 0, 1, 2


@dataclass
class WordTiming:
    """A word of a window. Times are seconds from the window's start, in steps of 0.02 s."""

    word: str
    tokens: list[int]
    start: float
    end: float
    probability: float


def align_words(
    network: Network,
    encoded: Any,
    tokenizer: Tokenizer,
    texts: Sequence[Sequence[int]],
    n_frames: Sequence[int],
    heads: Heads,
) -> list[list[WordTiming]]:
    """Words of B encoded windows, given the text tokens of each and its length in mel frames.

    One decoder pass over all texts that have words, the shorter ones filled up with end of text.
    Raises `OptionError` for a text that does not fit the decoder's context.
    """
    spoken = [row for row, text in enumerate(texts) if text]
    words: list[list[WordTiming]] = [[] for _ in texts]
    if not spoken:
        return words
    if len(spoken) < len(texts):
        encoded = network.select(encoded, spoken)
    n_text = max(len(texts[row]) for row in spoken)
    first = len(tokenizer.sot_sequence)  # position of no_timestamps, which predicts the first word
    tokens = np.full((len(spoken), first + n_text + 2), tokenizer.eot, np.int64)
    tokens[:, : first + 1] = tokenizer.sot_sequence_including_notimestamps
    for line, row in zip(tokens, spoken, strict=True):
        line[first + 1 : first + 1 + len(texts[row])] = texts[row]
    if tokens.shape[1] > network.dims.n_text_ctx:
        raise OptionError(
            f"word_timestamps can align {network.dims.n_text_ctx - first - 2} text tokens a window "
            f"at most, got {n_text}: lower sample_len"
        )
    logits, scores = network.align(encoded, tokens, range(first, first + n_text), heads)
    for i, row in enumerate(spoken):
        text = texts[row]
        costs = alignment_costs(scores[i, :, : first + len(text) + 2], n_frames[row])[first:-1]
        probabilities = token_probabilities(logits[i], text, tokenizer.eot)
        words[row] = _words(tokenizer, text, token_times(costs), probabilities)
    return words


def _words(
    tokenizer: Tokenizer, text: Sequence[int], times: list[float], probabilities: Float32
) -> list[WordTiming]:
    """Words of the tokens; a word ends where the next one begins."""
    words, groups = tokenizer.split_to_word_tokens([*text, tokenizer.eot])
    timings: list[WordTiming] = []
    start = 0
    for word, tokens in zip(words[:-1], groups[:-1], strict=True):  # the last is end of text
        end = start + len(tokens)
        probability = float(np.mean(probabilities[start:end], dtype=np.float64))
        timings.append(WordTiming(word, tokens, times[start], times[end], probability))
        start = end
    return timings


def token_probabilities(logits: Float32, text: Sequence[int], eot: int) -> Float32:
    """Logits (R, V), row i before token i of the text -> the probability of every token, (n,).

    Among text tokens alone: end of text and the specials after it do not count.
    """
    rows = logits[: len(text), :eot]
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    return powers[np.arange(len(text)), list(text)] / powers.sum(axis=1)


def alignment_costs(scores: Float32, n_frames: int) -> Float32:
    """Raw scores (N, L, S) -> cost (L, n_frames // 2) of hearing token l at position s.

    Positions past the end of the recording are cut off before the softmax. Each position's weights
    are normalised over the tokens, smoothed in time, averaged over the heads.
    """
    scores = scores[:, :, : n_frames // INPUT_STRIDE]
    if scores.shape[2] == 0:
        return scores[0]
    powers = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights = powers / powers.sum(axis=2, keepdims=True)
    with np.errstate(invalid="ignore"):  # a position with one weight for all tokens becomes NaN
        weights = weights - weights.mean(axis=1, keepdims=True)
        weights /= np.sqrt(np.square(weights).mean(axis=1, keepdims=True))
    return -median_filter(weights, MEDIAN_WIDTH).mean(axis=0)


def median_filter(x: Float32, width: int) -> Float32:
    """Running median of odd `width` along the last axis, mirrored at both ends.

    An axis too short to be mirrored (width // 2 or less) is left as it is.
    """
    pad = width // 2
    if x.shape[-1] <= pad:
        return x
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(pad, pad)], mode="reflect")
    # Sorting puts NaN last, as in the reference; np.median would spread it.
    return np.sort(sliding_window_view(padded, width, axis=-1), axis=-1)[..., pad]


def token_times(costs: Float32) -> list[float]:
    """Costs (L, S) -> seconds at which the cheapest path first reaches each of the L tokens."""
    tokens, positions = warp(costs)
    reached = np.diff(tokens, prepend=-1) > 0
    return (positions[reached] / POSITIONS_PER_SECOND).tolist()


def warp(costs: Float32) -> tuple[Int64, Int64]:
    """Dynamic time warping: the cheapest monotonic path through (L, S), as token and position
    indices of its cells.

    Cells of one anti-diagonal depend on the two before it alone, so each is computed at once. Ties
    are the reference's: diagonal or up only if cheaper than both others, left otherwise.
    """
    n_rows, n_columns = costs.shape
    moves = np.zeros((n_rows + n_columns + 1, n_rows + 1), np.int8)  # [i + j, i]
    # Sums in float64, as numba makes the reference's (timing.py:85): float32 rounds the sums of
    # hundreds of cells so far that words move. By row; row 0 is the border.
    before_last = np.full(n_rows + 1, np.inf)
    before_last[0] = 0.0
    last = np.full(n_rows + 1, np.inf)
    for i_plus_j in range(2, n_rows + n_columns + 1):
        first, end = max(1, i_plus_j - n_columns), min(n_rows, i_plus_j - 1) + 1
        diagonal, up, left = (
            before_last[first - 1 : end - 1],
            last[first - 1 : end - 1],
            last[first:end],
        )
        is_diagonal = (diagonal < up) & (diagonal < left)
        is_up = (up < diagonal) & (up < left)
        moves[i_plus_j, first:end] = np.where(is_diagonal, _DIAGONAL, np.where(is_up, _UP, _LEFT))
        rows = np.arange(first, end)
        here = np.full(n_rows + 1, np.inf)
        cheapest = np.where(is_diagonal, diagonal, np.where(is_up, up, left))
        here[first:end] = costs[rows - 1, i_plus_j - rows - 1] + cheapest
        before_last, last = last, here
    return _trace_back(moves, n_rows, n_columns)


def _trace_back(moves: np.ndarray[Any, np.dtype[np.int8]], i: int, j: int) -> tuple[Int64, Int64]:
    """Follow moves[i + j, i] from the last cell to the first; on a border, along it."""
    path: list[tuple[int, int]] = []
    while i > 0 or j > 0:
        path.append((i - 1, j - 1))
        move = _UP if j == 0 else _LEFT if i == 0 else moves[i + j, i]
        i -= move != _LEFT
        j -= move != _UP
    tokens, positions = np.array(path[::-1], np.int64).reshape(-1, 2).T
    return tokens, positions
