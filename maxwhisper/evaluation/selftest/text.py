"""Tables that the tokenizer and the timestamp rules must reproduce. Needs no network.

Sources: openai/whisper tokenizer.py:330-363 (ids), decoding.py:441-505 (rules).
"""

from dataclasses import dataclass

import numpy as np

from maxwhisper.decoding.rules import FORBIDDEN, TimestampRules
from maxwhisper.network.dims import Dims
from maxwhisper.text.tokenizer import Tokenizer, get_tokenizer

# Vocabulary size -> ids of eot, sot, translate, transcribe, no_speech, no_timestamps, first
# timestamp.
SPECIAL_IDS = {
    51_864: (50_256, 50_257, 50_357, 50_358, 50_361, 50_362, 50_363),
    51_865: (50_257, 50_258, 50_358, 50_359, 50_362, 50_363, 50_364),
    51_866: (50_257, 50_258, 50_359, 50_360, 50_363, 50_364, 50_365),
}
SENTENCES = (
    "And so, my fellow Americans, ask not what your country can do for you.",
    "Ça va très bien, merci : l'été arrive.",
    "Straße, Äpfel und 3,5 km.",
    "¿Dónde está la biblioteca?",
    "Привет, как дела?",
    "Γειά σου Κόσμε",
    "שלום עולם",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "客观的実在の判断的知識が成立するのである。",
    "안녕하세요, 세계",
    "สวัสดีชาวโลก 🎙️",
)


def count_tokenizer_mistakes(dims: Dims) -> int:
    """Wrong special ids, plus sentences that do not survive encoding and decoding."""
    tokenizer = get_tokenizer(dims)
    found = (
        tokenizer.eot,
        tokenizer.sot,
        tokenizer.translate,
        tokenizer.transcribe,
        tokenizer.no_speech,
        tokenizer.no_timestamps,
        tokenizer.timestamp_begin,
    )
    wrong_ids = sum(a != b for a, b in zip(found, SPECIAL_IDS[dims.n_vocab], strict=True))
    return wrong_ids + sum(tokenizer.decode(tokenizer.encode(s)) != s for s in SENTENCES)


@dataclass(frozen=True)
class Situation:
    """The tokens that may follow `sampled` (text as "a", timestamps as positions of 0.02 s)."""

    sampled: tuple[str | int, ...]
    text: bool
    end_of_text: bool
    timestamps: range  # positions that may follow
    timestamps_likely: bool = False


LAST = 1500  # position of <|30.00|>
SITUATIONS = (
    Situation((), text=False, end_of_text=False, timestamps=range(51)),
    Situation((0,), text=True, end_of_text=True, timestamps=range(0)),
    Situation((0, "a"), text=True, end_of_text=True, timestamps=range(1, LAST + 1)),
    Situation((0, "a", 50), text=False, end_of_text=True, timestamps=range(50, LAST + 1)),
    Situation((0, "a", 50, 50), text=True, end_of_text=True, timestamps=range(0)),
    Situation((0, "a", 50, 60), text=True, end_of_text=True, timestamps=range(0)),
    Situation((0, "a", 50, 60, "a"), True, True, range(61, LAST + 1)),
    Situation((7, "a", "a"), text=True, end_of_text=True, timestamps=range(8, LAST + 1)),
    Situation((0, "a", LAST), text=False, end_of_text=True, timestamps=range(LAST, LAST + 1)),
    Situation((0, "a"), False, False, range(1, LAST + 1), timestamps_likely=True),
)


def count_rule_mistakes(tokenizer: Tokenizer) -> int:
    """Tokens that the timestamp rules wrongly allow or wrongly forbid, over all situations."""
    begin = tokenizer.timestamp_begin
    rules = TimestampRules(tokenizer.eot, tokenizer.no_timestamps, begin, max_initial_index=50)
    mistakes = 0
    for situation in SITUATIONS:
        ids = [1000 if token == "a" else begin + int(token) for token in situation.sampled]
        logits = np.zeros((1, tokenizer.n_vocab), np.float32)
        # Text far ahead of all timestamps together, unless the situation says otherwise.
        logits[:, :begin] = -20.0 if situation.timestamps_likely else 20.0
        rules.apply(logits, np.array([ids], np.int64))
        allowed = logits[0] != FORBIDDEN
        want = np.zeros(tokenizer.n_vocab, bool)
        want[: tokenizer.eot] = situation.text
        # Other specials are SuppressTokens' business: these rules treat them as end of text.
        want[tokenizer.eot : begin] = situation.end_of_text
        want[tokenizer.no_timestamps] = False
        want[begin + situation.timestamps.start : begin + situation.timestamps.stop] = True
        mistakes += int((allowed != want).sum())
    return mistakes
