"""Convert text to tokens and back, for the language and task of a transcript.

Owns the ids of special tokens, the prompt that starts a transcript, and the splitting of tokens
into words. Knows nothing of audio, logits or devices.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import tiktoken

from maxwhisper.errors import OptionError
from maxwhisper.network.dims import Dims
from maxwhisper.text.languages import LANGUAGES, UNSPACED_LANGUAGES, language_code
from maxwhisper.text.vocabulary import get_encoding

# Symbols that do not occur in speech: brackets, speaker tags, music.
_NON_SPEECH_SYMBOLS = (
    *'"#()*+/:;<=>@[\\]^_`{|}~「」『』',
    *("<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("'),
    *("((", "))", "(((", ")))", "[[", "]]", "{{", "}}", "♪♪", "♪♪♪"),
)
# Symbols of several tokens. The first token is suppressed: it holds the two bytes that
# U+2640..U+267F share.
_MUSIC_SYMBOLS = tuple("♩♪♫♬♭♮♯")

_REPLACEMENT = "\ufffd"  # how an incomplete UTF-8 sequence decodes


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary with the language and task of a transcript.

    `language` is a code and `task` is "transcribe" or "translate". Both are None for `.en` models,
    whose prompt contains neither. Properties have the reference's names.
    """

    encoding: tiktoken.Encoding
    num_languages: int
    language: str | None
    task: str | None

    def encode(self, text: str) -> list[int]:
        """Encode `text`. Unlike the reference, "<|en|>" in the text is never a special token."""
        return self.encoding.encode_ordinary(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """Decode `tokens` without timestamps; invalid UTF-8 becomes U+FFFD."""
        return self.encoding.decode([t for t in tokens if t < self.timestamp_begin])

    def decode_with_timestamps(self, tokens: Sequence[int]) -> str:
        """Decode `tokens` with timestamps as text, as in "<|1.08|>"."""
        return self.encoding.decode(list(tokens))

    def _special(self, name: str) -> int:
        return self.encoding.encode_single_token(f"<|{name}|>")

    @property
    def n_vocab(self) -> int:
        return self.encoding.n_vocab

    @cached_property
    def eot(self) -> int:
        return self._special("endoftext")

    @cached_property
    def sot(self) -> int:
        return self._special("startoftranscript")

    @cached_property
    def translate(self) -> int:
        return self._special("translate")

    @cached_property
    def transcribe(self) -> int:
        return self._special("transcribe")

    @cached_property
    def sot_lm(self) -> int:
        return self._special("startoflm")

    @cached_property
    def sot_prev(self) -> int:
        return self._special("startofprev")

    @cached_property
    def no_speech(self) -> int:
        return self._special("nospeech")

    @cached_property
    def no_timestamps(self) -> int:
        return self._special("notimestamps")

    @cached_property
    def timestamp_begin(self) -> int:
        return self._special("0.00")

    def to_language_token(self, code: str) -> int:
        """Return the token of a language code. Raises `OptionError` if this vocabulary lacks it."""
        if code not in self.all_language_codes:
            raise OptionError(
                f"this vocabulary has no language {code!r}: choose one of "
                f"{' '.join(self.all_language_codes)}"
            )
        return self._special(code)

    @property
    def language_token(self) -> int:
        """The token of `language`. Raises `OptionError` for an `.en` tokenizer, which has none."""
        if self.language is None:
            raise OptionError("an English-only model has no language token: use a multilingual one")
        return self.to_language_token(self.language)

    @cached_property
    def all_language_codes(self) -> tuple[str, ...]:
        """Codes in the order of their tokens."""
        return tuple(LANGUAGES)[: self.num_languages]

    @cached_property
    def all_language_tokens(self) -> tuple[int, ...]:
        return tuple(range(self.sot + 1, self.sot + 1 + self.num_languages))

    @cached_property
    def sot_sequence(self) -> tuple[int, ...]:
        """The tokens at the start of every transcript: sot, language, task; only sot for `.en`."""
        if self.language is None:
            return (self.sot,)
        task = self.translate if self.task == "translate" else self.transcribe
        return (self.sot, self.language_token, task)

    @cached_property
    def sot_sequence_including_notimestamps(self) -> tuple[int, ...]:
        return (*self.sot_sequence, self.no_timestamps)

    @cached_property
    def non_speech_tokens(self) -> tuple[int, ...]:
        """Sorted tokens of symbols that are not speech. Source: openai/whisper
        tokenizer.py:242-275."""
        # " -" and " '" are suppressed at the beginning of a word but allowed inside one.
        tokens = {self.encode(" -")[0], self.encode(" '")[0]}
        for symbol in (*_NON_SPEECH_SYMBOLS, *_MUSIC_SYMBOLS):
            for encoded in (self.encode(symbol), self.encode(" " + symbol)):
                if len(encoded) == 1 or symbol in _MUSIC_SYMBOLS:
                    tokens.add(encoded[0])
        return tuple(sorted(tokens))

    @cached_property
    def control_tokens(self) -> tuple[int, ...]:
        """Tokens of tasks, prompts and silence, which never occur in text. Source: openai/whisper
        decoding.py:626-640."""
        tasks = (self.transcribe, self.translate)
        return (*tasks, self.sot, self.sot_prev, self.sot_lm, self.no_speech)

    def split_to_word_tokens(self, tokens: Sequence[int]) -> tuple[list[str], list[list[int]]]:
        """Split `tokens` into words. Returns (words, tokens of each word); no token is lost.

        Languages without spaces are split at every complete character, others at spaces,
        punctuation and special tokens. Source: openai/whisper tokenizer.py:277-327.
        """
        characters = self._split_on_unicode(tokens)
        if self.language not in UNSPACED_LANGUAGES:
            characters = self._join_into_spaced_words(characters)
        return [text for text, _ in characters], [group for _, group in characters]

    def _split_on_unicode(self, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
        """Group tokens so that each group decodes to whole characters."""
        whole_text = self.decode_with_timestamps(tokens)
        groups: list[tuple[str, list[int]]] = []
        group: list[int] = []
        n_characters = 0
        for token in tokens:
            group.append(token)
            text = self.decode_with_timestamps(group)
            broken = text.find(_REPLACEMENT)
            # Broken both here and in the whole text: further tokens will not complete the bytes.
            # Slice instead of index: the position can be past the end (an IndexError upstream).
            where = n_characters + broken
            if broken < 0 or whole_text[where : where + 1] == _REPLACEMENT:
                groups.append((text, group))
                n_characters += len(text)
                group = []
        if group:
            groups.append((self.decode_with_timestamps(group), group))
        return groups

    def _join_into_spaced_words(
        self, characters: list[tuple[str, list[int]]]
    ) -> list[tuple[str, list[int]]]:
        """Join groups of `_split_on_unicode` into words that begin at a space."""
        words: list[tuple[str, list[int]]] = []
        for text, group in characters:
            starts_word = (
                not words
                or group[0] >= self.eot
                or text.startswith(" ")
                # A substring test, as in the reference: "" and ")*" pass, "..." does not.
                or text.strip() in string.punctuation
            )
            if starts_word:
                words.append((text, group))
            else:
                before, tokens_before = words[-1]
                words[-1] = (before + text, tokens_before + group)
        return words


def get_tokenizer(dims: Dims, *, language: str | None = None, task: str | None = None) -> Tokenizer:
    """Return the tokenizer of a network's vocabulary.

    `language` is a code or an English name (default "en"). `task` is "transcribe" (default) or
    "translate". An `.en` network ignores both. Raises `OptionError` for a language or task that the
    vocabulary lacks.
    """
    encoding = get_encoding("multilingual" if dims.is_multilingual else "gpt2", dims.num_languages)
    if encoding.n_vocab != dims.n_vocab:
        raise OptionError(
            f"expected a vocabulary of 51864 (.en), 51865 or 51866 tokens, got {dims.n_vocab}"
        )
    if task not in (None, "transcribe", "translate"):
        raise OptionError(f"task must be 'transcribe' or 'translate', got {task!r}")
    code = language_code(language or "en")
    if not dims.is_multilingual:
        return Tokenizer(encoding, dims.num_languages, None, None)
    tokenizer = Tokenizer(encoding, dims.num_languages, code, task or "transcribe")
    tokenizer.to_language_token(code)  # raises for "yue" before large-v3
    return tokenizer
