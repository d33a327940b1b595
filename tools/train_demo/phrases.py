"""Sentences that a dictionary lacks: everyday talk, numbers, dates, times, letters, this field.

Owns templates, their words, and their pronunciation. A slot gives (written, spoken). Numbers from
10 to 99 and years are written in digits, as Whisper writes them; larger ones in words, because a
small network sees each of the 900 three-digit tokens too rarely to learn it.
"""

import random
from collections.abc import Callable, Iterator

from tools.train_demo.grammar import third_or_plural

Slot = tuple[str, str]  # written, spoken

# Lists of single words, by name.
_WORDS: dict[str, list[str]] = {
    name: words.split()
    for name, words in {
        "ones": "zero one two three four five six seven eight nine ten eleven twelve thirteen "
        "fourteen fifteen sixteen seventeen eighteen nineteen",
        "tens": "zero ten twenty thirty forty fifty sixty seventy eighty ninety",
        "letters": "ay bee see dee ee eff jee aitch eye jay kay el em en oh pee cue are ess tee "
        "you vee double-you ex why zee",
        "month": "January February March April May June July August September October November "
        "December",
        "day": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "first_name": "Anna Ben Carol Daniel Emma Frank Grace Henry Irene Jack Kate Laura Martin "
        "Nora Oliver Paul Robert Sarah Thomas Victor William Alice Peter Mary John David Susan "
        "Linda Michael Karen",
        "surname": "Smith Jones Taylor Brown Wilson Evans Thomas Johnson Roberts Walker Wright "
        "Robinson Thompson White Hughes Edwards Green Hall Wood Harris Martin Jackson Clarke "
        "Miller Davis Baker Carter",
        "place": "London Paris Boston Chicago Berlin Dublin Toronto Denver Dallas Oxford Sydney "
        "Madrid Rome Vienna Seattle Portland Edinburgh Amsterdam Montreal Houston Atlanta "
        "Cambridge Manchester",
        "measure": "latency throughput accuracy memory bandwidth precision quality speed "
        "performance utilization",
        "did": "saw found lost bought sold brought opened closed watched moved painted cleaned "
        "carried wanted needed remembered forgot kept left took gave sent made heard read wrote "
        "liked loved knew",
        "thing": "book letter door window car house dog cat table chair picture phone ticket key "
        "bag coat garden river road train boat bridge kitchen office school church hospital city "
        "country morning evening question answer story song game meal cup glass box paper map "
        "clock kettle radio computer machine microphone camera bicycle engine tree flower bird "
        "horse fish apple",
        "kind": "old new big small red blue green black white little long short heavy light good "
        "bad beautiful strange quiet cheap expensive broken empty full dark bright warm cold "
        "wooden simple",
        "pronoun": "I you we they she he everyone nobody someone",
        "term": "Modular Whisper Python",
        "component": "kernel tensor transformer encoder decoder graph compiler model benchmark "
        "tokenizer cache device server spectrogram token processor",
    }.items()
}
_ONES, _TENS = _WORDS["ones"], _WORDS["tens"]
_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth"}
_ORDINALS |= {"eight": "eighth", "nine": "ninth", "twelve": "twelfth"}
_LETTERS = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", _WORDS["letters"], strict=True))
_PEOPLE = ["my sister", "his brother", "the teacher", "the driver", "her mother", "our neighbor"]
_PEOPLE += ["the children", "the doctor", *_WORDS["pronoun"]]
_WHEN = ["yesterday", "this morning", "last night", "a week ago", "before lunch", "after dinner"]
_WHEN += ["in the end", "too late", "again", "once more", "on the way home", "in the afternoon"]
# Written form -> spoken form, for the vocabulary of this field.
_TERMS = {term: term for term in _WORDS["term"]}
_TERMS |= {f"the {component}": f"the {component}" for component in _WORDS["component"]}
_TERMS |= {
    "MAX": "max",
    "MAX Graph": "max graph",
    "Mojo": "moe joe",
    "the GPU": "the jee pee you",
    "the CPU": "the see pee you",
    "the API": "the ay pee eye",
    "NVIDIA": "en vidia",
    "PyTorch": "pie torch",
    "Hugging Face": "hugging face",
    "the attention layer": "the attention layer",
}

_TEMPLATES = (
    "{Person} {did} the {kind} {thing} {when}.",
    "{Person} {did} a {thing} and the {kind} {thing}.",
    "Did you see the {kind} {thing} near the {thing}?",
    "Where is the {thing} that {person} {did} {when}?",
    "I think {person} {did} it because the {thing} was {kind}.",
    "Please put the {kind} {thing} on the {thing}.",
    "There is a {thing} in the {kind} {thing}, isn't there?",
    "What would you do with {number} {kind} {things}?",
    "We have {number} {things} and {number} {things}.",
    "It costs {money}, not {money}.",
    "The price fell by {percent} in {year}.",
    "Call me at {digits}.",
    "The number is {digits}.",
    "Room {number}, on the {ordinal} floor.",
    "They counted {big} {things}.",
    "{number}, {number}, {number}, {number}.",
    "The train leaves at {time}, from platform {number}.",
    "Let's meet at {time} on {day}.",
    "It is {time} in {place}.",
    "The meeting is on {day}, {date}.",
    "She was born on {date}, {year}.",
    "In {year}, {name} moved from {place} to {place}.",
    "{name} lives in {place}.",
    "Hello, this is {name} from {place}.",
    "My name is {name}. How are you?",
    "Dr. {surname} will see you on {day}.",
    "That is spelled {letters}.",
    "The code is {letters}, then {number}.",
    "{Term} runs on {term}.",
    "{Term} is {percent} faster than {term}.",
    "We measured the {measure} of {term} and of {term}.",
    "{Term} has better {measure} than {term}.",
    "First load {term}, then compile {term}.",
    "How much {measure} does {term} need?",
    "{name} wrote {term} in Mojo.",
    "{Term} took {number} milliseconds for {number} seconds of audio.",
    "{Name} listens to {term} and talks about {term}.",
    "Capture {term} once, and replay {term} {number} times.",
    "The {measure} of {term} matters more than its {measure}.",
)


def number_words(n: int, joiner: str = "") -> str:
    """Return 0 to 999,999 in words; `joiner` is "" or "and " ("two hundred and six")."""
    if n < 20:
        return _ONES[n]
    if n < 100:
        return _TENS[n // 10] + (f" {_ONES[n % 10]}" if n % 10 else "")
    size, name = (1000, "thousand") if n >= 1000 else (100, "hundred")
    head, rest = f"{number_words(n // size, joiner)} {name}", n % size
    if not rest:
        return head
    return f"{head} {joiner if rest < 100 else ''}{number_words(rest, joiner)}"


def ordinal_words(n: int) -> str:
    *head, last = number_words(n).split()
    regular = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return " ".join([*head, _ORDINALS.get(last, regular)])


def year_words(year: int) -> str:
    """Return a year from 1600 to 2099 as it is spoken: nineteen oh five, two thousand six, twenty
    ten."""
    century, rest = divmod(year, 100)
    if year < 2000 and rest == 0:
        return f"{number_words(century)} hundred"
    if 2000 <= year < 2010:
        return number_words(year)
    return f"{number_words(century)} {'oh ' if rest < 10 else ''}{number_words(rest)}"


def _number(rng: random.Random) -> Slot:
    n = rng.choice((rng.randint(2, 9), rng.randint(10, 99)))
    return (str(n) if n >= 10 else number_words(n)), number_words(n)


def _big(rng: random.Random) -> Slot:
    n = rng.choice((rng.randint(100, 999), 100 * rng.randint(10, 99), 1000 * rng.randint(1, 900)))
    words = number_words(n, rng.choice(("", "and ")))
    return words, words


def _money(rng: random.Random) -> Slot:
    n = rng.randint(2, 99)
    return f"${n}", f"{number_words(n)} dollars"


def _percent(rng: random.Random) -> Slot:
    n = rng.randint(2, 99)
    return f"{n}%", f"{number_words(n)} percent"


def _year(rng: random.Random) -> Slot:
    year = rng.randint(1800, 2030)
    return str(year), year_words(year)


def _date(rng: random.Random) -> Slot:
    month, day = rng.choice(_WORDS["month"]), rng.randint(1, 31)
    suffix = "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{month} {day}{suffix}", f"{month} {ordinal_words(day)}"


def _time(rng: random.Random) -> Slot:
    """Return a time in words: Whisper's rules suppress the symbol ":"."""
    hour, minute = number_words(rng.randint(1, 12)), number_words(rng.randint(10, 59))
    past = f"{rng.choice(('a quarter', 'half', 'twenty', 'ten'))} past {hour}"
    words = rng.choice((past, f"a quarter to {hour}", f"{hour} o'clock", f"{hour} {minute}"))
    return words, words


def _digits(rng: random.Random) -> Slot:
    words = ", ".join(
        " ".join(rng.choice(_ONES[:10]) for _ in range(rng.randint(2, 4))) for _ in range(2)
    )
    return words, words


def _spelled(rng: random.Random) -> Slot:
    letters = rng.choice((*_WORDS["surname"], *_WORDS["place"], "Mojo", "Max")).upper()
    if rng.random() < 0.5:
        letters = "".join(rng.choices(list(_LETTERS), k=rng.randint(2, 5)))
    return "-".join(letters), " ".join(_LETTERS[letter] for letter in letters)


def _name(rng: random.Random) -> Slot:
    name = f"{rng.choice(_WORDS['first_name'])} {rng.choice(_WORDS['surname'])}"
    return name, name


def _one_of(words: list[str]) -> Callable[[random.Random], Slot]:
    def choose(rng: random.Random) -> Slot:
        word = rng.choice(words)
        return word, word

    return choose


def _term(rng: random.Random) -> Slot:
    return rng.choice(list(_TERMS.items()))


def _ordinal(rng: random.Random) -> Slot:
    words = ordinal_words(rng.randint(1, 20))
    return words, words


_SLOTS: dict[str, Callable[[random.Random], Slot]] = {
    "number": _number,
    "big": _big,
    "money": _money,
    "percent": _percent,
    "year": _year,
    "date": _date,
    "time": _time,
    "digits": _digits,
    "letters": _spelled,
    "name": _name,
    "ordinal": _ordinal,
    "term": _term,
    "person": _one_of(_PEOPLE),
    "when": _one_of(_WHEN),
    **{n: _one_of(_WORDS[n]) for n in ("measure", "place", "surname", "day", "did", "thing")},
    "things": _one_of([third_or_plural(thing) for thing in _WORDS["thing"]]),
    "kind": _one_of(_WORDS["kind"]),
}


def phrases(rng: random.Random, n: int) -> Iterator[tuple[str, str]]:
    """Return `n` pairs (text, spoken); some may be equal."""
    for _ in range(n):
        yield fill(rng.choice(_TEMPLATES), rng)


def fill(template: str, rng: random.Random) -> tuple[str, str]:
    """Fill every slot of a template; a slot with a capitalised name begins the sentence."""
    text, spoken = "", ""
    for piece in template.replace("}", "{").split("{"):
        slot = _SLOTS.get(piece.lower())
        written, said = slot(rng) if slot else (piece, piece)
        text, spoken = text + written, spoken + said
    return text[0].upper() + text[1:], spoken[0].upper() + spoken[1:]
