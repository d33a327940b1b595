"""The languages of Whisper's vocabulary, in the order of their tokens.

In: a code ("de") or an English name ("German"). Out: the code. Knows no token ids.
"""

from maxwhisper.errors import OptionError, or_nearest, quoted
from maxwhisper.network.dims import Dims

# Code -> English name; the position is the offset of the language token from `sot + 1`. The first
# 99 are in every vocabulary; large-v3 added `yue` (openai/whisper tokenizer.py:10-111).
# fmt: off
LANGUAGES: dict[str, str] = {
    "en": "english", "zh": "chinese", "de": "german", "es": "spanish", "ru": "russian",
    "ko": "korean", "fr": "french", "ja": "japanese", "pt": "portuguese", "tr": "turkish",
    "pl": "polish", "ca": "catalan", "nl": "dutch", "ar": "arabic", "sv": "swedish",
    "it": "italian", "id": "indonesian", "hi": "hindi", "fi": "finnish", "vi": "vietnamese",
    "he": "hebrew", "uk": "ukrainian", "el": "greek", "ms": "malay", "cs": "czech",
    "ro": "romanian", "da": "danish", "hu": "hungarian", "ta": "tamil", "no": "norwegian",
    "th": "thai", "ur": "urdu", "hr": "croatian", "bg": "bulgarian", "lt": "lithuanian",
    "la": "latin", "mi": "maori", "ml": "malayalam", "cy": "welsh", "sk": "slovak",
    "te": "telugu", "fa": "persian", "lv": "latvian", "bn": "bengali", "sr": "serbian",
    "az": "azerbaijani", "sl": "slovenian", "kn": "kannada", "et": "estonian", "mk": "macedonian",
    "br": "breton", "eu": "basque", "is": "icelandic", "hy": "armenian", "ne": "nepali",
    "mn": "mongolian", "bs": "bosnian", "kk": "kazakh", "sq": "albanian", "sw": "swahili",
    "gl": "galician", "mr": "marathi", "pa": "punjabi", "si": "sinhala", "km": "khmer",
    "sn": "shona", "yo": "yoruba", "so": "somali", "af": "afrikaans", "oc": "occitan",
    "ka": "georgian", "be": "belarusian", "tg": "tajik", "sd": "sindhi", "gu": "gujarati",
    "am": "amharic", "yi": "yiddish", "lo": "lao", "uz": "uzbek", "fo": "faroese",
    "ht": "haitian creole", "ps": "pashto", "tk": "turkmen", "nn": "nynorsk", "mt": "maltese",
    "sa": "sanskrit", "lb": "luxembourgish", "my": "myanmar", "bo": "tibetan", "tl": "tagalog",
    "mg": "malagasy", "as": "assamese", "tt": "tatar", "haw": "hawaiian", "ln": "lingala",
    "ha": "hausa", "ba": "bashkir", "jw": "javanese", "su": "sundanese", "yue": "cantonese",
}

# Other English names in use (openai/whisper tokenizer.py:114-128).
_ALIASES: dict[str, str] = {
    "burmese": "my", "valencian": "ca", "flemish": "nl", "haitian": "ht", "letzeburgesch": "lb",
    "pushto": "ps", "panjabi": "pa", "moldavian": "ro", "moldovan": "ro", "sinhalese": "si",
    "castilian": "es", "mandarin": "zh",
}
# fmt: on

# Languages written without spaces between words (openai/whisper tokenizer.py:278). The words of
# such a transcript are its characters.
UNSPACED_LANGUAGES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})

_CODES: dict[str, str] = {name: code for code, name in LANGUAGES.items()} | _ALIASES


def language_code(language: str) -> str:
    """Return the code of a language given as a code or an English name, in any case.

    Raises `OptionError` for a language that has no token in Whisper's vocabulary.
    """
    wanted = language.strip().lower()
    if wanted in LANGUAGES:
        return wanted
    if wanted in _CODES:
        return _CODES[wanted]
    if nearest := or_nearest(wanted, _CODES):
        raise OptionError(f"unknown language {quoted(language)}{nearest}")
    raise OptionError(
        f"unknown language {quoted(language)}: use a code such as 'de' or an English name such as "
        f"'german'; known codes are {' '.join(LANGUAGES)}"
    )


def spoken_language(dims: Dims, language: str | None, task: str) -> str | None:
    """Return the code of the language to decode with, or None to detect it. All engines use this.

    Raises `OptionError` for a language that the network's vocabulary lacks, for another language
    than English with an English-only network, and for a translation with a network that cannot
    translate.
    """
    code = None if language is None else language_code(language)
    if dims.is_multilingual:
        if task == "translate" and not dims.can_translate:
            raise OptionError(
                "this model is large-v3-turbo, which was not trained to translate: expected task "
                "'transcribe', got 'translate'; use large-v3, or another model without `.en`"
            )
        if code is not None and code not in tuple(LANGUAGES)[: dims.num_languages]:
            raise OptionError(f"this model has no language {code!r}: use large-v3 or turbo")
        return code
    if code not in (None, "en") or task != "transcribe":
        raise OptionError(
            "this model is English-only: expected language 'en' and task 'transcribe', got "
            f"{quoted(language)} and {task!r}; use a model without `.en`"
        )
    return "en"
