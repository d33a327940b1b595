"""The decoder's labels for a window: prompt, timestamps, text, end, as in Whisper's training.

In: segments with times in seconds of the window. Out: tokens to read (inputs), and for each the
next token to predict (targets). Source of the format: Whisper paper, section 2.3.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from maxwhisper.network.dims import TIME_PRECISION_S
from maxwhisper.text.tokenizer import Tokenizer
from tools.train_demo.phones import UNLABELLED

NOWHERE = -1.0
RESUMED_TOKENS = 48  # of a text that begins within a window; long enough to reach past its segment
MAX_PROMPT = 223  # tokens: n_text_ctx // 2 - 1, as the decoder truncates it (decoding.py:598)


@dataclass(frozen=True)
class Spoken:
    """A segment, in seconds from the start of the window. `end_s` is None if the window cuts it.

    `sounds` are the times of its phones in seconds, if they are known.
    """

    text: str
    start_s: float
    end_s: float | None
    sounds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Body:
    """The tokens after <|startoftranscript|>, and the approximate audio position (20 ms) of each
    token, or NOWHERE if it is not known. `words` has, for each word, the index of its first token
    in `tokens` and the start of its sound in seconds."""

    tokens: list[int] = field(default_factory=list)
    heard_at: list[float] = field(default_factory=list)
    words: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Labels:
    """`targets[i]` follows `inputs[: i + 1]`; UNLABELLED marks positions that are not learnt.

    `heard_at[i]` is the audio position (20 ms) of target i, as in `Body`. The text begins at the
    decoder's position `first_token`.
    """

    inputs: tuple[int, ...]
    targets: tuple[int, ...]
    heard_at: tuple[float, ...]
    first_token: int = 0


def timestamp(tokenizer: Tokenizer, seconds: float) -> int:
    return tokenizer.timestamp_begin + round(seconds / TIME_PRECISION_S)


def timestamped(tokenizer: Tokenizer, segments: Sequence[Spoken], rare: Iterable[str] = ()) -> Body:
    """Return <|start|> text <|end|> for each segment. A cut segment has only its start, so the next
    window begins there. A timestamp's position is its time."""
    body = Body()
    for segment in segments:
        _add_timestamp(body, tokenizer, segment.start_s)
        if segment.end_s is not None:
            _add_text(body, tokenizer, segment, rare)
            _add_timestamp(body, tokenizer, segment.end_s)
    return body


def untimed(tokenizer: Tokenizer, segments: Sequence[Spoken], rare: Iterable[str] = ()) -> Body:
    """Return <|notimestamps|> and the texts of all segments; none of them may be cut."""
    body = Body([tokenizer.no_timestamps], [NOWHERE])
    for segment in segments:
        _add_text(body, tokenizer, segment, rare)
    return body


def _add_timestamp(body: Body, tokenizer: Tokenizer, seconds: float) -> None:
    body.tokens.append(timestamp(tokenizer, seconds))
    body.heard_at.append(seconds / TIME_PRECISION_S)


def _add_text(body: Body, tokenizer: Tokenizer, segment: Spoken, rare: Iterable[str]) -> None:
    """Add the tokens of a text. Tokens share the phones in proportion to their letters, about one
    phone per letter."""
    assert segment.end_s is not None
    tokens = spelled(tokenizer, segment.text, rare)
    sounds = [n_sounds(tokenizer.decode([token])) for token in tokens]
    begins = np.cumsum(sounds) - sounds
    middles = begins + np.asarray(sounds) / 2
    times = segment.sounds or (segment.start_s, segment.end_s)
    share = np.linspace(0, sum(sounds), len(times))
    seconds = np.interp(begins, share, times).tolist()
    for place, (token, second) in enumerate(zip(tokens, seconds, strict=True)):
        if tokenizer.decode([token]).startswith(" "):
            body.words.append((len(body.tokens) + place, second))
    body.tokens.extend(tokens)
    body.heard_at.extend((np.interp(middles, share, times) / TIME_PRECISION_S).tolist())


def n_sounds(written: str) -> float:
    """Return the approximate number of phones of a token: one per letter, four per digit."""
    return sum(4.0 if c in "0123456789$%" else 1.0 if c.isalpha() else 0.1 for c in written)


def spelled(tokenizer: Tokenizer, text: str, rare: Iterable[str]) -> list[int]:
    """Return the tokens of " text", with the words in `rare` letter by letter.

    Letters share what the network knows about sounds; a word's own token must be learnt from the
    few sentences that contain it. Only for early training.
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
    """Return the lower-case words of `texts` that are not among the `n_common` most frequent."""
    counts = Counter(word.strip(".,?!").lower() for text in texts for word in text.split())
    return frozenset(counts) - {word for word, _ in counts.most_common(n_common)}


def for_speech(tokenizer: Tokenizer, body: Body, prompt: Sequence[int] = ()) -> Labels:
    """Return the labels of a window with speech. `prompt` is the text before it, which is read but
    not learnt."""
    before = _read_before(tokenizer, prompt)
    said = [tokenizer.sot, *body.tokens, tokenizer.eot]
    targets = [UNLABELLED] * len(before) + said[1:]
    times = [NOWHERE] * len(before) + [*body.heard_at, NOWHERE]
    return Labels((*before, *said[:-1]), tuple(targets), tuple(times))


def _read_before(tokenizer: Tokenizer, prompt: Sequence[int]) -> list[int]:
    return [tokenizer.sot_prev, *prompt[-MAX_PROMPT:]] if prompt else []


def from_word(tokenizer: Tokenizer, body: Body, word: int, prompt: Sequence[int] = ()) -> Labels:
    """Return the labels from a word of a timed body on, at most RESUMED_TOKENS tokens: the text
    after that word's start time, and `prompt`.

    A network that only read windows from their beginning counted segments and words to find its
    place and ignored timestamps. When it had to begin with the third segment, it attended nowhere
    near it.
    """
    first, seconds = body.words[word]
    kept = slice(first, first + RESUMED_TOKENS)
    tokens, times = body.tokens[kept], body.heard_at[kept]
    if kept.stop >= len(body.tokens):
        tokens, times = [*tokens, tokenizer.eot], [*times, NOWHERE]
    before = _read_before(tokenizer, prompt)
    inputs = (*before, tokenizer.sot, timestamp(tokenizer, seconds), *tokens[:-1])
    n_given = len(before) + 1
    return Labels(inputs, (*[UNLABELLED] * n_given, *tokens), (*[NOWHERE] * n_given, *times))


def for_no_speech(tokenizer: Tokenizer, first: int, prompt: Sequence[int] = ()) -> Labels:
    """Return the labels of a window without speech: <|nospeech|> after the start, then the end of
    the text.

    `first` is the token that decoding reads there instead, because its rules suppress <|nospeech|>
    and force a timestamp or <|notimestamps|>. The end follows it, without any word.
    """
    before = _read_before(tokenizer, prompt)
    targets = [*[UNLABELLED] * len(before), tokenizer.no_speech, tokenizer.eot]
    return Labels((*before, tokenizer.sot, first), tuple(targets), (NOWHERE,) * len(targets))
