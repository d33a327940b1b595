"""Text while it is decoded: whole characters, words only, now and then, and of whom."""

import numpy as np
import pytest

from maxwhisper.clock import StageClock
from maxwhisper.decoding import partial
from maxwhisper.decoding.beam import BeamSearch
from maxwhisper.decoding.partial import TEXT_EVERY_S, PartialText, partial_text
from maxwhisper.decoding.search import Search
from maxwhisper.decoding.strategy import Sampling
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcribe import batched, sequential
from maxwhisper.transcribe.scheduling import complete, found
from tests.fakes.hearing_network import FREE, MULTILINGUAL, HearingNetwork, speech

TOKENIZER = get_tokenizer(MULTILINGUAL, language="ja")
BEGIN, EOT = TOKENIZER.timestamp_begin, TOKENIZER.eot
NONE = np.zeros(1, np.float32)
SPOKEN = "日本語で、鬱 🎙 𠮷 👩‍🚀 と話す"


def rows(*texts):
    """Tokens (R, n) of texts, ended where they are shorter than the longest."""
    tokens = [TOKENIZER.encode(text) for text in texts]
    n = max(map(len, tokens))
    return np.array([[*each, *[EOT] * (n - len(each))] for each in tokens])


def test_a_character_is_said_when_it_is_whole():
    tokens = np.array(TOKENIZER.encode(SPOKEN))
    broken = [TOKENIZER.decode(tokens[:n].tolist()) for n in range(len(tokens) + 1)]
    assert sum("\ufffd" in text for text in broken) >= 3, "or this text tests nothing"
    said = [partial_text(tokens[:n], TOKENIZER) for n in range(len(tokens) + 1)]
    assert not any("\ufffd" in text for text in said)
    assert all(SPOKEN.startswith(text) for text in said)
    assert (said[0], said[-1]) == ("", SPOKEN)


def test_only_words_are_said():
    one, two = (TOKENIZER.encode(text) for text in (" the quick", " fox"))
    tokens = [BEGIN, *one, BEGIN + 50, BEGIN + 50, TOKENIZER.no_speech, *two, EOT, *one]
    assert partial_text(np.array(tokens), TOKENIZER) == "the quick fox"


def test_the_first_words_are_said_at_once_and_the_next_in_their_time():
    now_s, said = 100.0, []
    tell = PartialText(said.append, TOKENIZER, lambda: now_s).tell
    tell(np.array([[BEGIN]]), NONE)
    assert said == [], "a timestamp is no word"
    tell(rows(" the"), NONE)
    tell(rows(" the quick"), NONE)
    assert said == ["the"]
    now_s += TEXT_EVERY_S
    tell(rows(" the quick brown"), NONE)
    now_s += TEXT_EVERY_S
    tell(rows(" the quick brown"), NONE)
    assert said == ["the", "the quick brown"], "nothing is said twice"
    tell(rows(" the quick brown fox"), NONE)
    assert said[-1] == "the quick brown fox", "what said nothing delays nothing"


def test_the_likeliest_text_speaks_for_its_window():
    said = []
    tell = PartialText(said.append, TOKENIZER).tell
    beams = rows(" a fax", " a fox", " jumps", " jumped")
    tell(beams, np.array([-2, -1, -3, -4], np.float32), group_size=2)
    assert said == ["a fox … jumps"]


class Scripted:
    """Rows that spell `WORDS`, with a rival that is nearly as likely. `greedy` is a device's."""

    WORDS = TOKENIZER.encode(" the quick brown fox")

    def prefill(self, tokens, positions):
        self.n = -1
        return np.stack([self.step(tokens[:, 0])] * len(positions), axis=1)

    def step(self, tokens):
        self.n += 1
        logits = np.full((len(tokens), MULTILINGUAL.n_vocab), -50.0, np.float32)
        logits[:, (*self.WORDS, EOT)[min(self.n, len(self.WORDS))]] = 1.0
        logits[:, 1000 + self.n] = 0.5
        return logits

    def select(self, positions):
        pass


class OnDevice(Scripted):
    def greedy(self, sampled, sum_logprobs, rules, max_tokens, on_tokens=None):
        for token in (*self.WORDS[1:], EOT):
            sampled = np.concatenate([sampled, np.full((len(sampled), 1), token)], axis=1)
            if on_tokens is not None:
                on_tokens(sampled, sum_logprobs)
        return sampled, sum_logprobs


@pytest.mark.parametrize("strategy", [Sampling, lambda eot: BeamSearch(eot, 3)], ids=["1", "beam"])
@pytest.mark.parametrize("decoder", [Scripted, OnDevice])
def test_a_search_shows_its_rows_and_finds_the_same(strategy, decoder):
    def result(on_tokens):
        search = Search(TOKENIZER, strategy(EOT), (), 20, 448, StageClock(), on_tokens)
        return search.run(decoder(), (TOKENIZER.sot,), 2)

    shown = []
    assert result(lambda sampled, sums: shown.append((sampled.shape, sums.shape))) == result(None)
    n_rows = shown[0][0][0]
    n_steps = len(Scripted.WORDS) + 1
    assert shown[:n_steps] == [((n_rows, 1 + i), (n_rows,)) for i in range(n_steps)]


@pytest.mark.parametrize("batch_size", [None, 3])
def test_every_window_is_shown_and_the_transcript_is_the_same(monkeypatch, batch_size):
    monkeypatch.setattr(partial, "TEXT_EVERY_S", 0.0)
    waveform = speech([20] * 160)  # 96 s

    def heard(on_text):
        if batch_size is None:
            return complete(found(sequential.steps(HearingNetwork(), waveform, FREE, 0.0, on_text)))
        steps = batched.steps(
            HearingNetwork(), iter([waveform]), FREE, batch_size=3, vad=None, on_text=on_text
        )
        return complete(found(steps))[0]

    said = []
    shown, plain = heard(said.append), heard(None)
    assert shown.segments == plain.segments
    assert shown.text == plain.text
    every_word = plain.text.split()
    assert len(every_word) == 160
    assert {word for text in said for word in text.split()} == {*every_word} | (
        {"…"} if batch_size else set()
    )
    assert len(said) >= (160 if batch_size is None else 160 / 3)
    assert all(len(text.split(" … ")) == (batch_size or 1) for text in said[:5])
