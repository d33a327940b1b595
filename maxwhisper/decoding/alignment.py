"""When each word is rows: align the cross-attention scores of a decoded text with the audio.

In: raw scores and logits of one uncached decoder pass over the text. Out: words with probabilities
and with times in seconds from the start of their window. Knows nothing of segments or recordings.
Axis letters: B texts, N alignment heads, L tokens, S audio positions of 20 ms. Source:
openai/whisper timing.py:19-54 (median filter), 57-107 (dynamic time warping), 163-241.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import softmax

from maxwhisper.decoding.protocols import Float32, Int64, Network
from maxwhisper.errors import OptionError
from maxwhisper.network.dims import FRAMES_PER_SECOND, INPUT_STRIDE
from maxwhisper.text.tokenizer import Tokenizer

POSITIONS_PER_SECOND = FRAMES_PER_SECOND // INPUT_STRIDE  # 50 audio positions
MEDIAN_WIDTH = 7  # audio positions: 0.14 s
_DIAGONAL, _UP, _LEFT = 0, 1, 2


@dataclass
class WordTiming:
    """A word in a window. Times are seconds from the window's start, in steps of 0.02 s."""

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
) -> list[list[WordTiming]]:
    """Words of B encoded windows, given the text tokens and the length in mel frames of each.

    Runs the decoder once over all texts that have tokens; end of text fills up the shorter ones.
    Raises `OptionError` for a text that does not fit the decoder's context.
    """
    rows = [row for row, text in enumerate(texts) if text]
    words: list[list[WordTiming]] = [[] for _ in texts]
    if not rows:
        return words
    if len(rows) < len(texts):
        encoded = network.select(encoded, rows)
    n_text = max(len(texts[row]) for row in rows)
    first = len(tokenizer.sot_sequence)  # position of no_timestamps, which predicts the first word
    tokens = np.full((len(rows), first + n_text + 2), tokenizer.eot, np.int64)
    tokens[:, : first + 1] = tokenizer.sot_sequence_including_notimestamps
    for line, row in zip(tokens, rows, strict=True):
        line[first + 1 : first + 1 + len(texts[row])] = texts[row]
    if tokens.shape[1] > network.dims.n_text_ctx:
        raise OptionError(
            f"word_timestamps can align at most {network.dims.n_text_ctx - first - 2} text tokens "
            f"per window, got {n_text}: lower sample_len"
        )
    logits, scores = network.align(encoded, tokens, range(first, first + n_text))
    for i, row in enumerate(rows):
        text = texts[row]
        costs = alignment_costs(scores[i, :, : first + len(text) + 2], n_frames[row])[first:-1]
        probabilities = token_probabilities(logits[i], text, tokenizer.eot)
        words[row] = _words(tokenizer, text, token_times(costs), probabilities)
    return words


def _words(
    tokenizer: Tokenizer, text: Sequence[int], times: list[float], probabilities: Float32
) -> list[WordTiming]:
    """Group tokens into words. A word ends where the next one begins."""
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

    The softmax covers text tokens only: not end of text, nor the special tokens after it.
    """
    probabilities: Float32 = softmax(logits[: len(text), :eot], axis=1)
    return probabilities[np.arange(len(text)), list(text)]


def alignment_costs(scores: Float32, n_frames: int) -> Float32:
    """Raw scores (N, L, S) -> cost (L, n_frames // 2) of placing token l at position s.

    Positions past the end of the recording are cut off before the softmax. The weights of each
    position are normalised over the tokens, smoothed in time and averaged over the heads.
    """
    scores = scores[:, :, : n_frames // INPUT_STRIDE]
    if scores.shape[2] == 0:
        return scores[0]
    weights: Float32 = softmax(scores, axis=2)
    with np.errstate(invalid="ignore"):  # a position with equal weights for all tokens becomes NaN
        weights = weights - weights.mean(axis=1, keepdims=True)
        weights /= np.sqrt(np.square(weights).mean(axis=1, keepdims=True))
    return -median_filter(weights, MEDIAN_WIDTH).mean(axis=0)


def median_filter(x: Float32, width: int) -> Float32:
    """Running median of odd `width` along the last axis, mirrored at both ends.

    Returns `x` itself if the axis is too short to be mirrored (width // 2 or less).
    """
    pad = width // 2
    if x.shape[-1] <= pad:
        return x
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(pad, pad)], mode="reflect")
    # Sorting puts NaN last, as in the reference. np.median would return NaN.
    return np.sort(sliding_window_view(padded, width, axis=-1), axis=-1)[..., pad]


def token_times(costs: Float32) -> list[float]:
    """Costs (L, S) -> seconds at which the cheapest path first reaches each of the L tokens."""
    tokens, positions = warp(costs)
    reached = np.diff(tokens, prepend=-1) > 0
    return (positions[reached] / POSITIONS_PER_SECOND).tolist()


def warp(costs: Float32) -> tuple[Int64, Int64]:
    """Dynamic time warping: token and position indices of the cells on the cheapest monotonic path
    through (L, S).

    The cells of an anti-diagonal depend only on the two anti-diagonals before it, so they are
    computed together. Ties are broken as in the reference: diagonal or up only if cheaper than both
    others, left otherwise.
    """
    n_rows, n_columns = costs.shape
    moves = np.zeros((n_rows + n_columns + 1, n_rows + 1), np.int8)  # [i + j, i]
    # Sums are float64, as numba computes them in the reference (timing.py:85): in float32 the
    # rounding of hundreds of added cells moves words. Indexed by row; row 0 is the border.
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
    """Follow moves[i + j, i] from the last cell to the first; on a border, follow the border."""
    path: list[tuple[int, int]] = []
    while i > 0 or j > 0:
        path.append((i - 1, j - 1))
        move = _UP if j == 0 else _LEFT if i == 0 else moves[i + j, i]
        i -= move != _LEFT
        j -= move != _UP
    tokens, positions = np.array(path[::-1], np.int64).reshape(-1, 2).T
    return tokens, positions
