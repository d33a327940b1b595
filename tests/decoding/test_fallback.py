"""Temperature fallback: which windows are decoded again, at which temperature, and which text is
kept."""

import numpy as np
import pytest

from maxwhisper.clock import StageClock
from maxwhisper.decoding.window import WindowDecoder, WindowQuality, choose_strategy
from maxwhisper.network.dims import Dims
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.tokenizer import get_tokenizer

DIMS = Dims(80, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1)
TOKENIZER = get_tokenizer(DIMS)


class Babbler:
    """A network whose encoded audio is a list of names: "clear" is confident, "vague" is not,
    "silent" is vague and has a high no-speech probability."""

    dims = DIMS

    def __init__(self):
        self.decoded = []

    def select(self, encoded, rows):
        return [encoded[row] for row in rows]

    def decoder(self, encoded):
        self.decoded.append(list(encoded))
        self.rows, self.position = list(encoded), 0
        return self

    def _logits(self):
        logits = np.zeros((len(self.rows), DIMS.n_vocab), np.float32)
        for row, name in zip(logits, self.rows, strict=True):
            token = [500, 600][self.position] if self.position < 2 else TOKENIZER.eot
            row[token] = 20.0 if name == "clear" else 11.0  # of 51,864 tokens: log-prob. -0.6
            row[TOKENIZER.no_speech] = 30.0 if name == "silent" else -30.0
        return logits

    def prefill(self, tokens, rows):
        return np.stack([self._logits()] * len(rows), axis=1)

    def step(self, tokens):
        self.position += 1
        return self._logits()


def decode(names, random=None, **changes):
    network = Babbler()
    options = TranscribeOptions(without_timestamps=True, **changes)
    decoder = WindowDecoder(network, TOKENIZER, options, StageClock(), random)
    return network, decoder.decode(names, len(names))


def test_only_failing_windows_are_decoded_again():
    network, results = decode(
        ["clear", "vague", "clear"], temperature=(0.0, 0.2, 0.4), logprob_threshold=-0.3
    )
    assert network.decoded == [["clear", "vague", "clear"], ["vague"], ["vague"]]
    assert [result.quality.temperature for result in results] == [0.0, 0.4, 0.0]


def test_the_last_temperature_stands_even_if_it_fails():
    _, results = decode(["vague"], temperature=(0.0, 0.2), logprob_threshold=0.0)
    assert results[0].quality.temperature == 0.2


def test_silence_is_not_decoded_again():
    network, results = decode(["silent"], temperature=(0.0, 0.2), logprob_threshold=-0.3)
    assert network.decoded == [["silent"]]
    assert results[0].quality.no_speech_prob > 0.6


def test_windows_of_a_recording_draw_on_from_one_seed():
    """A generator per window would favour the same tokens in every window."""

    def heard(random):
        settings = {"temperature": 1.0, "logprob_threshold": None, "sample_len": 2}
        return [decode(["vague"], random, **settings)[1][0].tokens for _ in range(6)]

    def seeded():
        return np.random.default_rng(7)

    assert heard(seeded()) == heard(seeded())
    assert len(set(heard(seeded()))) > 1
    assert len(set(heard(None))) == 1, "as each begins with the seed of its options"


def test_the_average_counts_the_end_of_text():
    """Three equal choices, the last of them end of text: 11 against zeros of all other tokens."""
    _, (result,) = decode(["vague"], temperature=0.0)
    assert len(result.tokens) == 2
    one = -np.log1p(DIMS.n_vocab * np.exp(-11))
    assert result.quality.avg_logprob == pytest.approx(one, abs=0.02)


def quality(avg_logprob=-0.1, compression_ratio=1.0, no_speech_prob=0.0):
    return WindowQuality(avg_logprob, no_speech_prob, compression_ratio, 0.0)


@pytest.mark.parametrize(
    ("figures", "changes", "failed"),
    [
        ({}, {}, False),
        ({"avg_logprob": -1.1}, {}, True),
        ({"avg_logprob": -1.1}, {"logprob_threshold": None}, False),
        ({"compression_ratio": 2.5}, {}, True),
        ({"compression_ratio": 2.5}, {"compression_ratio_threshold": None}, False),
        ({"avg_logprob": -1.1, "no_speech_prob": 0.7}, {}, False),
        # Repetition in a quiet but confident window is still repetition.
        ({"compression_ratio": 2.5, "no_speech_prob": 0.7}, {}, True),
        ({"avg_logprob": -1.1, "no_speech_prob": 0.7}, {"no_speech_threshold": None}, True),
    ],
)
def test_what_counts_as_failed(figures, changes, failed):
    assert quality(**figures).has_failed(TranscribeOptions(**changes)) is failed


def test_beams_serve_temperature_zero_alone():
    options = TranscribeOptions(beam_size=5, best_of=4, temperature=(0.0, 0.5))
    random = np.random.default_rng(0)
    assert choose_strategy(0.0, TOKENIZER, options, random).group_size == 5
    assert choose_strategy(0.5, TOKENIZER, options, random).group_size == 4
    assert choose_strategy(0.0, TOKENIZER, TranscribeOptions(), random).group_size == 1
