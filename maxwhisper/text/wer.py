"""The difference between two texts: word error rate against a reference, agreement of two engines.
In a language without spaces between words, both count characters and are called so.

Texts are normalised as in openai-whisper's evaluation, with the normaliser of the installed
openai-whisper package. Its files are imported by path, because importing `whisper` imports torch.
Knows nothing of audio or engines.
"""

import functools
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any, Literal

from maxwhisper.errors import EngineUnavailable
from maxwhisper.paths import package_folder
from maxwhisper.text.languages import UNSPACED_LANGUAGES

Normalizer = Callable[[str], str]
Unit = Literal["word", "character"]
RATE_NAMES: dict[Unit, str] = {"word": "WER", "character": "CER"}

# As a reference: the normaliser drops bracketed text, so this reference has no words.
NOTHING_SAID = "[nobody speaks]"

# The name under which `whisper.normalizers` is imported.
_NORMALIZERS = "maxwhisper._openai_normalizers"
_MISSING = (
    "word error rates need the package {}, which is not installed: pip install 'maxwhisper[parity]'"
)


@dataclass(frozen=True)
class WordErrors:
    """Counts of the alignment with the fewest errors, in words or characters (`unit`).

    `wer` = (substitutions + deletions + insertions) / n_words. It can exceed 1, and is None if the
    reference has no words.
    """

    wer: float | None
    substitutions: int
    deletions: int
    insertions: int
    hits: int
    n_words: int  # of the normalised reference
    unit: Unit = "word"

    @property
    def rate_name(self) -> str:
        """The usual name of `wer`: "WER" or "CER"."""
        return RATE_NAMES[self.unit]

    def to_dict(self) -> dict[str, Any]:
        """The fields, with the rate under its name: one of `wer` and `cer` is None."""
        rates = {name.lower(): None for name in RATE_NAMES.values()}
        return asdict(self) | rates | {self.rate_name.lower(): self.wer}


def unit_of(language: str | None) -> Unit:
    """The unit in which errors of a text are counted."""
    return "character" if language in UNSPACED_LANGUAGES else "word"


def normalize(text: str, language: str = "en") -> str:
    """`text` in Whisper's normal form: the English rules for "en", the basic ones otherwise. In a
    language without spaces between words, every character becomes a word, so that rates count
    characters.

    Source: Whisper paper, appendix C; openai/whisper normalizers/. Raises `EngineUnavailable`
    without the openai-whisper package.
    """
    return _normalizer(language == "en", unit_of(language) == "character")(text)


def word_error_rate(reference: str, hypothesis: str, language: str = "en") -> WordErrors:
    """Errors of `hypothesis` against `reference`, both normalised first: of words, or of characters
    in a language without spaces between words.

    Raises `EngineUnavailable` without the packages openai-whisper and jiwer.
    """
    try:
        import jiwer
    except ImportError as error:
        raise EngineUnavailable(_MISSING.format("jiwer")) from error
    reference, hypothesis = normalize(reference, language), normalize(hypothesis, language)
    n_words, unit = len(reference.split()), unit_of(language)
    if n_words == 0:
        return WordErrors(None, 0, 0, len(hypothesis.split()), 0, 0, unit)
    counts = jiwer.process_words(reference, hypothesis)
    return WordErrors(
        wer=counts.wer,
        substitutions=counts.substitutions,
        deletions=counts.deletions,
        insertions=counts.insertions,
        hits=counts.hits,
        n_words=n_words,
        unit=unit,
    )


def agreement(a: str, b: str, language: str = "en") -> float:
    """Agreement of two transcripts, 0..1: 1 − word edit distance / words of the longer one.

    Neither text is the reference, so the order does not matter. Two empty texts agree fully.
    """
    errors = word_error_rate(a, b, language)
    distance = errors.substitutions + errors.deletions + errors.insertions
    n_words_b = errors.hits + errors.substitutions + errors.insertions
    longer = max(errors.n_words, n_words_b)
    return 1.0 - distance / longer if longer else 1.0


@functools.cache
def _normalizer(is_english: bool, split_letters: bool) -> Normalizer:
    module = _openai_normalizers()
    normalizer: Normalizer = (
        module.EnglishTextNormalizer()
        if is_english
        else module.BasicTextNormalizer(split_letters=split_letters)
    )
    return normalizer


def _openai_normalizers() -> ModuleType:
    """The package `whisper.normalizers`, imported by path, which does not import `whisper`."""
    if _NORMALIZERS in sys.modules:
        return sys.modules[_NORMALIZERS]
    whisper = package_folder("whisper")
    if whisper is None:
        raise EngineUnavailable(_MISSING.format("openai-whisper"))
    path = whisper / "normalizers" / "__init__.py"
    spec = importlib.util.spec_from_file_location(_NORMALIZERS, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise EngineUnavailable(f"expected openai-whisper's normaliser at {path}: reinstall it")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NORMALIZERS] = module
    spec.loader.exec_module(module)
    return module
