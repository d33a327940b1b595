"""The sentences to synthesise, as Whisper writes them and as they are read aloud.

Owns the definition of a usable sentence, and which 640 or so are never trained on. In: WordNet's
data files (Debian package wordnet-base, licence WordNet3.0: use for any purpose), the sentences of
`phrases`, `grammar` and `scenes`, and the texts of the example clips and of `everyday`, to exclude
them. Out: one JSON line per sentence. Knows nothing of audio.

`python -m tools.train_demo.text sentences.jsonl`
"""

import argparse
import hashlib
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from maxwhisper.checkpoint.bundled import DIMS
from maxwhisper.text.tokenizer import Tokenizer, get_tokenizer
from tools.train_demo import everyday
from tools.train_demo.everyday import not_quoting
from tools.train_demo.grammar import Grammar
from tools.train_demo.phrases import phrases
from tools.train_demo.scenes import LECTURE, scenes

WORDNET = Path("/usr/share/wordnet")
CLIPS = Path("examples/clips")
HELD_OUT = 0.0025  # share of all sentences, chosen by hash: about 640
N_PHRASES = 80_000
N_GRAMMAR = 120_000
N_SCENES = 60_000
N_LECTURE = 30_000
MIN_COUNT = 8  # occurrences of a token that justify a row
QUOTED = 5  # consecutive words that no sentence shares with an example clip: not memorised
MIN_WORD_COUNT = 12  # occurrences of a word in generated texts: the domain is common words
MIN_LETTERS, MAX_LETTERS = 12, 140  # letters: about 1 s to 10 s of speech

_TITLES = {"Mr.", "Mrs.", "Dr."}  # the only full stops inside a sentence
_WORD = re.compile(r"[A-Za-z]?[a-z]+('[a-z]+)?(-[A-Za-z]?[a-z]+('[a-z]+)?)*|[AI]|I'[a-z]+")
_LETTERS = re.compile(r"[a-z']+")
_VOWEL = re.compile(r"[aeiouyAEIOUY]")
# WordNet marks most entries that are unsuitable for a stage; the whole entry is dropped.
_UNWELCOME = re.compile(
    r"offensive|profan|obscen|slur\b|vulgar|disparag|sexual|genital|prostitut|\brap(e|ist)"
)


@dataclass(frozen=True)
class Sentence:
    """A sentence: `text` in Whisper's casing and punctuation; `spoken` with all numbers, letters
    and names as they sound. `held_out` sentences are only for evaluation."""

    text: str
    spoken: str
    held_out: bool


def clean(raw: str) -> str | None:
    """Return `raw` as Whisper would write it, or None if speech and writing might differ.

    Digits, abbreviations, brackets and quotes are refused: a synthesiser may read them in several
    ways, and Whisper's rules suppress most of these symbols (tokenizer.non_speech_tokens).
    """
    text = " ".join(raw.split()).strip(" ,-")
    if not MIN_LETTERS <= len(text) <= MAX_LETTERS or len(text.split()) < 3:
        return None
    if text[-1] not in ".?!":
        text += "."
    *words, last = text.split()
    if not all(_is_plain(word, ",") for word in words) or not _is_plain(last, ".?!"):
        return None
    return text[0].upper() + text[1:]


def _is_plain(word: str, closing: str) -> bool:
    """Return True for a pronounceable word with at most one closing punctuation mark."""
    if word in _TITLES:
        return True
    letters = word[:-1] if word[-1] in closing else word
    return bool(_WORD.fullmatch(letters) and _VOWEL.search(letters))


def wordnet_sentences(folder: Path = WORDNET) -> Iterator[str]:
    """Return examples and glosses of WordNet, cleaned, in the order of its files."""
    for part in ("noun", "verb", "adj", "adv"):
        path = folder / f"data.{part}"
        if not path.is_file():
            sys.exit(f"expected {path}, found none: apt-get install wordnet-base")
        for line in path.read_text(encoding="ascii", errors="replace").splitlines():
            _, bar, gloss = line.partition(" | ")
            if bar and not _UNWELCOME.search(gloss):
                yield from _parts(gloss)


def _parts(gloss: str) -> Iterator[str]:
    """Return definitions (outside quotes, without brackets) and examples (inside quotes) of one
    entry."""
    examples = re.findall(r'"([^"]+)"', gloss)
    definitions = re.sub(r'"[^"]*"|\([^)]*\)', "", gloss).split(";")
    for raw in (*examples, *definitions):
        if text := clean(raw):
            yield text


# Everything that training text is made of: name -> pairs (text, spoken), the same every time.
SOURCES: Mapping[str, Callable[[], Iterator[tuple[str, str]]]] = {
    "phrases": lambda: phrases(random.Random(0), N_PHRASES),
    "scenes": lambda: scenes(random.Random(0), N_SCENES),
    "lecture": lambda: scenes(random.Random(0), N_LECTURE, LECTURE),
    "grammar": lambda: _twice(Grammar(WORDNET, _UNWELCOME).sentences(random.Random(0), N_GRAMMAR)),
    "dictionary": lambda: _twice(wordnet_sentences()),
}


def _twice(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Return texts that are spoken as they are written."""
    return ((text, text) for text in texts)


def familiar(
    pairs: Iterable[tuple[str, str]], tokenizer: Tokenizer, min_count: int = MIN_COUNT
) -> list[tuple[str, str]]:
    """Return the pairs whose tokens all occur at least `min_count` times in all texts.

    A small network cannot learn a token from three examples, and each token costs a row of the
    output layer. This keeps three quarters of the sentences with half of the tokens.
    """
    pairs = list(pairs)
    encoded = tokenizer.encoding.encode_ordinary_batch([f" {text}" for text, _ in pairs])
    counts = Counter(token for tokens in encoded for token in tokens)
    return [
        pair
        for pair, tokens in zip(pairs, encoded, strict=True)
        if all(counts[token] >= min_count for token in tokens)
    ]


def common_words(pairs: Iterable[tuple[str, str]], min_count: int) -> list[tuple[str, str]]:
    """Return the pairs whose words all occur at least `min_count` times in all texts.

    A small network does not learn a word that occurs once, and sentences of such words teach it to
    guess.
    """
    pairs = list(pairs)
    words = [_LETTERS.findall(text.lower()) for text, _ in pairs]
    counts = Counter(word for row in words for word in row)
    return [
        pair
        for pair, row in zip(pairs, words, strict=True)
        if all(counts[word] >= min_count for word in row)
    ]


def known_words(
    pairs: Iterable[tuple[str, str]], known: Iterable[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Return the pairs whose words are all in `known`."""
    words = {word for text, _ in known for word in _LETTERS.findall(text.lower())}
    return [pair for pair in pairs if words.issuperset(_LETTERS.findall(pair[0].lower()))]


def split_key(text: str) -> str:
    """Return the sha256 of letters and digits only: casing and punctuation make no new sentence."""
    letters = re.sub(r"[^a-z0-9]", "", text.lower())
    return hashlib.sha256(letters.encode()).hexdigest()


def is_held_out(key: str, share: float = HELD_OUT) -> bool:
    """Decide by the sentence's hash alone, so a sentence is always on the same side, and speech
    made from an earlier list can be used for training."""
    return int(key[:12], 16) < share * 16**12


def split(pairs: Iterable[tuple[str, str]], share: float = HELD_OUT) -> list[Sentence]:
    """Drop repetitions and hold out the `share` with the smallest hashes; sorted by hash."""
    by_key = {split_key(text): (text, spoken) for text, spoken in pairs}
    return [Sentence(*by_key[key], is_held_out(key, share)) for key in sorted(by_key)]


def clip_texts(folder: Path = CLIPS) -> list[str]:
    """Return the texts of the example clips."""
    clips = json.loads((folder / "clips.json").read_text("utf-8"))
    return [clip["text"] for clip in clips]


def write(sentences: Iterable[Sentence], path: Path) -> None:
    with path.open("w", encoding="utf-8") as out:
        for sentence in sentences:
            out.write(json.dumps(asdict(sentence)) + "\n")


def read(path: Path) -> list[Sentence]:
    if not path.is_file():
        sys.exit(f"expected {path}, found none: python -m tools.train_demo.text {path}")
    return [Sentence(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path, help="JSON lines to write")
    path = parser.parse_args().path
    made = {name: source() for name, source in SOURCES.items()}
    made_up = (*made["grammar"], *made["scenes"], *made["lecture"])
    formed = (pair for pair in made_up if MAX_LETTERS >= len(pair[0]) >= MIN_LETTERS)
    pairs = common_words((*made["phrases"], *formed), MIN_WORD_COUNT)
    pairs += known_words(made["dictionary"], pairs)
    pairs = not_quoting(pairs, clip_texts(), QUOTED)
    for name in everyday.NAMES:
        pairs = not_quoting(pairs, everyday.read(name), everyday.IN_A_ROW)
    sentences = split(familiar(pairs, get_tokenizer(DIMS)))
    write(sentences, path)
    words = {word for sentence in sentences for word in sentence.text.lower().split()}
    print(f"{len(sentences)} sentences, {len(words)} different words in {path}")


if __name__ == "__main__":
    main()
