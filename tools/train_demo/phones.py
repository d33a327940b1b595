"""The phones that the encoder learns to distinguish, frame by frame, and each synthesiser's names.

All synthesisers share one inventory, so one sound has one label: flite and festival use the names
of CMU's US English phone set, and espeak-ng's mnemonics are mapped to them. A vowel of another
accent gets the nearest label; its spelling, which the decoder learns, is the same.
"""

SILENCE = 0
UNLABELLED = -100  # cross entropy ignores it

_NAMES = (
    "pau aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh "
    "uw v w y z zh"
)
PHONES = tuple(_NAMES.split())
_INDEX = {phone: index for index, phone in enumerate(PHONES)}

# espeak-ng 1.51's English mnemonics (all eight accents); "" prolongs the previous phone.
_ESPEAK = {
    **{"_": "pau", "_:": "pau", "_|": "pau", ";": "", "?": "t"},
    **{"0": "aa", "A:": "aa", "A@": "aa", "a": "ae", "aa": "ae", "a2": "ae", "V": "ah"},
    **{"O:": "ao", "O2": "ao", "O@": "ao", "o@": "ao", "O": "ao", "aU": "aw", "OI": "oy"},
    **{"@": "ax", "@-": "ax", "@2": "ax", "@5": "ax", "a#": "ax", "@L": "l"},
    **{"3": "er", "3:": "er", "IR": "er", "VR": "er", "E": "eh", "e@": "eh", "E2": "eh"},
    **{"aI": "ay", "aI2": "ay", "aI3": "ay", "aI@": "ay", "eI": "ey", "e:": "ey", "oU": "ow"},
    **{"I": "ih", "I2": "ih", "I#": "ih", "i@": "ih", "i@3": "ih", "i": "iy", "i:": "iy"},
    **{"U": "uh", "U@": "uh", "u:": "uw", "u": "uw"},
    **{"tS": "ch", "dZ": "jh", "D": "dh", "T": "th", "S": "sh", "Z": "zh", "N": "ng"},
    **{"h": "hh", "j": "y", "w#": "w", "r-": "r", "t#": "t", "t2": "t", "t[": "t", "d[": "d"},
}

# festival's British English, without "r" before consonants.
_BRITISH = {
    **{"#": "pau", "aa": "aa", "o": "aa", "a": "ae", "uh": "ah", "oo": "ao", "au": "aw", "@": "ax"},
    **{"ai": "ay", "e": "eh", "e@": "eh", "@@": "er", "ei": "ey", "h": "hh", "i": "ih", "i@": "ih"},
    **{"ii": "iy", "ou": "ow", "oi": "oy", "u": "uh", "u@": "uh", "uu": "uw"},
}


def flite_phone(name: str) -> int:
    """Return the index of a phone name of flite or festival's American voices, else
    `UNLABELLED`."""
    return _INDEX.get(name, UNLABELLED)


def british_phone(name: str) -> int:
    """Return the index of a phone name of festival's British voices, else `UNLABELLED`."""
    return flite_phone(_BRITISH.get(name, name))


def espeak_phone(name: str) -> int | None:
    """Return the index of an espeak-ng mnemonic, or None if it prolongs the previous phone."""
    phone = _ESPEAK.get(name, name)
    return _INDEX.get(phone, UNLABELLED) if phone else None
