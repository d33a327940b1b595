"""What the decoder is to say for a window: prompt, timestamps, text, end, as Whisper's training has
it.

In: segments with times in seconds of the window. Out: tokens to read (inputs) and, for each, the
one to say next (targets). Source of the format: Whisper paper, section 2.3.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from maxwhisper.dims import TIME_PRECISION_S
from maxwhisper.tokenizer import Tokenizer
from tools.train_demo.phones import UNLABELLED

NOWHERE = -1.0
MAX_PROMPT = 223  # tokens: n_text_ctx // 2 - 1, as the decoder cuts it (decoding.py:598)


@dataclass(frozen=True)
class Spoken:
    """A segment: seconds from the start of the window; `end_s` is None where the window cuts it."""

    text: str
    start_s: float
    end_s: float | None


@dataclass(frozen=True)
class Labels:
    """`targets[i]` follows `inputs[: i + 1]`; UNLABELLED where nothing is to be learnt.

    `heard_at[i]` is the audio position (20 ms) where target i is heard, about: a token's share of
    its segment's time. NOWHERE where that is not known.
    """

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    heard_at: tuple[float, ...]


def timestamp(tokenizer: Tokenizer, seconds: float) -> int:
    return tokenizer.timestamp_begin + round(seconds / TIME_PRECISION_S)


def timestamped(
    tokenizer: Tokenizer, segments: Sequence[Spoken], rare: Iterable[str] = ()
) -> list[int]:
    """<|start|> text <|end|> for each segment; a cut one is its start alone, so that the next
    window begins there."""
    tokens: list[int] = []
    for segment in segments:
        tokens.append(timestamp(tokenizer, segment.start_s))
        if segment.end_s is not None:
            tokens += spelled(tokenizer, segment.text, rare)
            tokens.append(timestamp(tokenizer, segment.end_s))
    return tokens


def spelled(tokenizer: Tokenizer, text: str, rare: Iterable[str]) -> list[int]:
    """Tokens of " text", the words in `rare` letter by letter.

    Letters share what the network knows of sounds; a word's own token has to be learnt from the few
    sentences that hold it. For early training alone.
    """
    if not rare:
        return tokenizer.encode(" " + text)
    tokens: list[int] = []
    for word in text.split():
        if word.strip(".,?!").lower() in rare:
            tokens += tokenizer.encode(" " + word[0])
            tokens += [token for letter in word[1:] for token in tokenizer.encode(letter)]
        else:
            tokens += tokenizer.encode(" " + word)
    return tokens


def rare_words(texts: Iterable[str], n_common: int = 1000) -> frozenset[str]:
    """Words of `texts`, lower case, that are not among the `n_common` most frequent."""
    counts = Counter(word.strip(".,?!").lower() for text in texts for word in text.split())
    return frozenset(counts) - {word for word, _ in counts.most_common(n_common)}


def for_speech(tokenizer: Tokenizer, body: Sequence[int], prompt: Sequence[int] = ()) -> Labels:
    """Labels of a window with speech; `body` is timestamped text, or <|notimestamps|> and text.

    `prompt` is the text before, which is read and not learnt.
    """
    before = [tokenizer.sot_prev, *prompt[-MAX_PROMPT:]] if prompt else []
    said = [tokenizer.sot, *body, tokenizer.eot]
    targets = [UNLABELLED] * len(before) + said[1:]
    times = [NOWHERE] * len(before) + _heard_at(said[1:], tokenizer)
    return Labels((*before, *said[:-1]), tuple(targets), tuple(times))


def _heard_at(tokens: Sequence[int], tokenizer: Tokenizer) -> list[float]:
    """Timestamps at their time, the text of a closed segment spread evenly over it."""
    positions = [token - tokenizer.timestamp_begin for token in tokens]
    times = [float(position) if position >= 0 else NOWHERE for position in positions]
    stamps = [i for i, position in enumerate(positions) if position >= 0]
    for first, last in pairwise(stamps):
        n = last - first
        for i in range(first + 1, last):
            share = (i - first - 0.5) / (n - 1)
            times[i] = positions[first] + share * (positions[last] - positions[first])
    return times


def for_no_speech(tokenizer: Tokenizer, first: int, prompt: Sequence[int] = ()) -> Labels:
    """Labels of a window without speech: <|nospeech|> after the start, then the end of the text.

    `first` is what decoding reads there instead, because its rules suppress <|nospeech|> and force
    a timestamp or <|notimestamps|>: after it comes the end, and no word.
    """
    before = [tokenizer.sot_prev, *prompt[-MAX_PROMPT:]] if prompt else []
    targets = [*[UNLABELLED] * len(before), tokenizer.no_speech, tokenizer.eot]
    return Labels((*before, tokenizer.sot, first), tuple(targets), (NOWHERE,) * len(targets))
