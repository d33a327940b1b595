"""The tokenizer: compared with the table of special ids and with openai-whisper."""

import subprocess
import sys
from dataclasses import replace

import pytest

from maxwhisper.errors import OptionError
from maxwhisper.network.dims import Dims
from maxwhisper.text.languages import LANGUAGES, language_code
from maxwhisper.text.tokenizer import get_tokenizer

ENGLISH = Dims(80, 1500, 384, 6, 4, 51864, 448, 384, 6, 4)
MULTILINGUAL = replace(ENGLISH, n_vocab=51865)
V3 = replace(ENGLISH, n_vocab=51866)
VOCABULARIES = pytest.mark.parametrize("dims", [ENGLISH, MULTILINGUAL, V3], ids=["en", "v2", "v3"])

SENTENCES = [
    "And so, my fellow Americans: ask not what your country can do for you.",
    " Mr. Quilter is the apostle of the middle classes",
    "don't can't we'll they're I'd he's we've I'm ROCK'N'ROLL it's'nt",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "Voix ambiguë d'un cœur qui, au zéphyr, préfère les jattes de kiwis",
    "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia",
    "Съешь же ещё этих мягких французских булок, да выпей чаю",
    "Їжак ґрунтовно з'їв щедру пайку",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "敏捷的棕色狐狸跳过懒狗。今天天气很好，我们去公园吧！",
    "いろはにほへと ちりぬるを。吾輩は猫である。",
    "키스의 고유조건은 입술끼리 만나야 하고",
    "นายสังฆภัณฑ์ เฮงพิทักษ์ฝั่ง",
    "נא להתחיל בדיבור עכשיו",
    "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ",
    "ऋषियों को सताने वाले दुष्ट राक्षसों",
    "ಕನ್ನಡ ತೆಲుగు தமிழ் മലയാളം",
    "আমি বাংলায় গান গাই",
    "ગુજરાતી ਪੰਜਾਬੀ සිංහල",
    "ພາສາລາວ မြန်မာဘာသာ ភាសាខ្មែរ",
    "ქართული ენა Հայերեն",
    "አማርኛ ትግርኛ བོད་སྐད་",
    "Tiếng Việt có nhiều dấu thanh điệu",
    "İstanbul'da ışık ığdır ğüşöç",
    "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Árvíztűrő tükörfúrógép; Zażółć gęślą jaźń",
    "🎤 Mic check 🤖🇩🇪 👩‍👩‍👧‍👦 👍🏽",
    "♪ la la ♪♪ [music] (applause) «quoted» 「引用」",
    "1,234.56 + 7/8 = 3.14159e-10; 2026-11-21 12:34:56",
    "१२३ ٤٥٦ 七百 Ⅷ ½ ²",
    'def f(x: int) -> str:\n\treturn f"{x!r}"  # comment',
    "<script>alert('&amp;')</script> <|endoftext|> <|en|> <|0.00|>",
    "https://example.org/a_b?c=d&e=%20#top user@example.org",
    "  two  spaces   three    four ",
    "\ttab\n\nnewlines\r\n  trailing   \n",
    "\u00a0nbsp\u2003em\u200bzero\u3000wide",
    "cafe\u0301 vs café, ﬁ ligature, Å vs A\u030a",
    "",
    " ",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𓀀𓂀 𠜎𠜱",
    "...---''\"\"--??!! …",
]


def reference(dims: Dims, language=None, task=None):
    tokenizer = pytest.importorskip("whisper.tokenizer")
    return tokenizer.get_tokenizer(
        dims.is_multilingual, num_languages=dims.num_languages, language=language, task=task
    )


# eot, sot, first language, translate, transcribe, sot_lm, sot_prev, no_speech, no_timestamps, 0.00
IDS = {
    51864: (50256, 50257, 50258, 50357, 50358, 50359, 50360, 50361, 50362, 50363),
    51865: (50257, 50258, 50259, 50358, 50359, 50360, 50361, 50362, 50363, 50364),
    51866: (50257, 50258, 50259, 50359, 50360, 50361, 50362, 50363, 50364, 50365),
}


@VOCABULARIES
def test_special_ids_are_those_of_the_table(dims):
    t = get_tokenizer(dims)
    assert IDS[dims.n_vocab] == (
        *(t.eot, t.sot, t.all_language_tokens[0], t.translate, t.transcribe),
        *(t.sot_lm, t.sot_prev, t.no_speech, t.no_timestamps, t.timestamp_begin),
    )
    assert t.n_vocab == dims.n_vocab == t.timestamp_begin + 1501


@VOCABULARIES
def test_encode_and_decode_equal_the_reference(dims):
    ours, theirs = get_tokenizer(dims), reference(dims)
    for text in SENTENCES:
        tokens = ours.encode(text)
        assert tokens == theirs.encode(text, disallowed_special=()), text
        assert ours.decode(tokens) == theirs.decode(tokens) == text
        for cut in range(len(tokens)):  # also in the middle of a character
            assert ours.decode(tokens[cut:]) == theirs.decode(tokens[cut:])


@VOCABULARIES
def test_non_speech_tokens_and_languages_equal_the_reference(dims):
    ours, theirs = get_tokenizer(dims), reference(dims)
    assert ours.non_speech_tokens == theirs.non_speech_tokens
    assert ours.all_language_tokens == tuple(sorted(theirs.all_language_tokens))
    assert set(ours.all_language_codes) == set(theirs.all_language_codes)
    for code in ours.all_language_codes:
        assert ours.to_language_token(code) == theirs.to_language_token(code)


def test_decode_drops_timestamps_unless_asked_for_them():
    t = get_tokenizer(MULTILINGUAL)
    tokens = [t.timestamp_begin, *t.encode(" hi"), t.timestamp_begin + 54]
    assert t.decode(tokens) == " hi"
    assert t.decode_with_timestamps(tokens) == "<|0.00|> hi<|1.08|>"


@pytest.mark.parametrize(
    ("language", "task"), [("German", "translate"), ("de", None), (None, None), ("mandarin", None)]
)
@VOCABULARIES
def test_sot_sequence_equals_the_reference(dims, language, task):
    ours, theirs = (
        get_tokenizer(dims, language=language, task=task),
        reference(dims, language, task),
    )
    assert ours.sot_sequence == tuple(theirs.sot_sequence)
    assert ours.sot_sequence_including_notimestamps == tuple(
        theirs.sot_sequence_including_notimestamps
    )
    assert (ours.language, ours.task) == (theirs.language, theirs.task)


def test_an_english_only_tokenizer_has_no_language():
    t = get_tokenizer(ENGLISH, language="fr", task="translate")
    assert t.sot_sequence == (50257,)
    with pytest.raises(OptionError, match="English-only"):
        _ = t.language_token


@pytest.mark.parametrize("language", ["en", "ja", "yue", "th"])
def test_word_split_equals_the_reference(language):
    ours, theirs = get_tokenizer(V3, language=language), reference(V3, language)
    for text in SENTENCES:
        tokens = [
            ours.timestamp_begin,
            *ours.encode(" " + text),
            ours.timestamp_begin + 9,
            ours.eot,
        ]
        assert ours.split_to_word_tokens(tokens) == theirs.split_to_word_tokens(tokens), text


def test_word_split_keeps_every_token_of_broken_text():
    t = get_tokenizer(MULTILINGUAL, language="ja")
    for text in SENTENCES:
        tokens = t.encode(text)
        for mangled in (tokens[::-1], tokens[1:], tokens[:-1], tokens[::2]):
            _, groups = t.split_to_word_tokens(mangled)
            assert [token for group in groups for token in group] == list(mangled)


def test_word_split_survives_the_index_error_of_the_reference():
    tokens = [24241, 230]  # b" \xeb\xb9\x84\xeb", b"\x88": a Korean syllable cut off at the end
    with pytest.raises(IndexError):
        reference(MULTILINGUAL).split_to_word_tokens(tokens)
    words, groups = get_tokenizer(MULTILINGUAL).split_to_word_tokens(tokens)
    assert groups == [tokens]
    assert words == [" 비\ufffd\ufffd"]


def test_languages_are_known_by_code_name_and_alias():
    assert [language_code(x) for x in ("de", "German", " FLEMISH ", "Haitian Creole")] == [
        *("de", "de", "nl", "ht")
    ]
    assert len(LANGUAGES) == 100
    with pytest.raises(OptionError, match="klingon"):
        language_code("klingon")


def test_a_language_or_size_outside_the_vocabulary_is_refused():
    with pytest.raises(OptionError, match="yue"):
        get_tokenizer(MULTILINGUAL, language="cantonese")
    assert get_tokenizer(V3, language="cantonese").language_token == 50358
    with pytest.raises(OptionError, match="51864"):
        get_tokenizer(replace(ENGLISH, n_vocab=32000))
    with pytest.raises(OptionError, match="summarise"):
        get_tokenizer(MULTILINGUAL, task="summarise")


def test_neither_torch_nor_whisper_is_imported():
    code = (
        "import sys; from maxwhisper.network.dims import Dims;"
        "from maxwhisper.text.tokenizer import *;"
        "get_tokenizer(Dims(80, 1500, 384, 6, 4, 51865, 448, 384, 6, 4)).encode('hello');"
        "print([m for m in ('torch', 'whisper', 'max') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
