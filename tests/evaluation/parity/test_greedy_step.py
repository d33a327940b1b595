"""The greedy step on the device against its twin: the plain step, numpy's rules, numpy's choice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maxwhisper.audio.load import decode
from maxwhisper.clock import StageClock
from maxwhisper.decoding.rules import build_rules, greedy_rules
from maxwhisper.decoding.strategy import Sampling
from maxwhisper.decoding.window import WindowDecoder
from maxwhisper.errors import OptionError
from maxwhisper.network.dims import N_FRAMES, N_SAMPLES
from maxwhisper.options import GREEDY
from maxwhisper.text.tokenizer import get_tokenizer

CLIPS = Path(__file__).parents[3] / "examples" / "clips"
BATCH = 8
RANDOM = np.random.default_rng(0)


class Twin:
    """A network whose decoders cannot go on by themselves."""

    def __init__(self, network):
        self._network = network
        self.dims, self.select = network.dims, network.select

    def decoder(self, encoded):
        decoder = self._network.decoder(encoded)
        return type("Plain", (), {k: getattr(decoder, k) for k in ("prefill", "step", "select")})


@pytest.fixture(scope="module")
def tokenizer(engine):
    return get_tokenizer(engine.dims)


def random_histories(rng, tokenizer, n):
    """(B, n) tokens such as may have been sampled: text, timestamps that rise, ends of text."""
    tokens = rng.integers(0, tokenizer.eot, (BATCH, n))
    times = tokenizer.timestamp_begin + np.sort(rng.integers(0, 1400, (BATCH, n)), axis=1)
    tokens = np.where(rng.random((BATCH, n)) < 0.6, times, tokens)
    tokens[rng.random(BATCH) < 0.1, -1] = tokenizer.eot
    return tokens


@pytest.mark.parametrize("with_timestamps", [True, False])
def test_chooses_as_the_rules_do(engine, tokenizer, with_timestamps, figure):
    """Any logits, any history: random numbers are added to those of the network."""
    network, dims = engine.network, engine.dims
    rng = np.random.default_rng(0)
    options = GREEDY.changed({"without_timestamps": not with_timestamps})
    rules = build_rules(tokenizer, options)
    of_device = greedy_rules(rules, tokenizer)
    features = rng.standard_normal((BATCH, dims.n_audio_ctx, dims.n_audio_state))
    decoder = network.decoder(network.from_features(features.astype(np.float32)))
    prompt = np.tile(np.array(tokenizer.sot_sequence), (BATCH, 1))
    worst, seen = 0.0, set()
    for trial in range(30):
        sampled = random_histories(rng, tokenizer, n=1 + trial % 4)
        noise = rng.standard_normal(dims.n_vocab, np.float32) * rng.choice([1, 10, 100])
        noise = noise.astype(np.float32)
        noise[tokenizer.timestamp_begin :] += rng.choice([-5, 0, 5, 60])  # whatever the weights
        before = np.concatenate([prompt, sampled[:, :-1]], axis=1)
        sums = rng.standard_normal(BATCH).astype(np.float32)

        decoder.prefill(before, [0])
        logits = decoder.step(sampled[:, -1]) + noise
        for rule in rules:
            rule.apply(logits, sampled)
        want = Sampling(tokenizer.eot).choose(logits, sampled, sums)

        decoder.prefill(before, [0])
        loop = decoder._begin_greedy(sampled, sums, replace(of_device, forbidden=()))
        bias = noise.copy()
        bias[list(of_device.forbidden)] = -np.inf
        loop._forbidden.set(bias)
        tokens, got_sums = loop.run(1)
        loop._rules = None  # the bias is not the rules'
        np.testing.assert_array_equal(tokens[:, 0], want.sampled[:, -1])
        worst = max(worst, float(np.abs(got_sums - want.sum_logprobs).max()))
        seen.update(np.sign(tokens[:, 0] - tokenizer.timestamp_begin + 0.5).tolist())
    assert seen == {-1.0, 1.0}, "both text and timestamps were to be chosen"
    figure(worst, 1e-3, f"greedy step, log-probability, timestamps {with_timestamps}")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"without_timestamps": True},
        {"suppress_tokens": "", "suppress_blank": False},
        {"initial_prompt": "MAX Graph", "max_initial_timestamp": 0.5},
        {"sample_len": 3},
        {"sample_len": 1},
    ],
    ids=str,
)
def test_windows_are_those_of_the_twin(engine, tokenizer, changes, figure):
    """Three windows at once, which end at different steps: half of them leave the batch."""
    network = engine.network
    mels = []
    for name in ("plain.flac", "silence.flac", "numbers.flac"):
        mels.append(network.log_mel(decode(CLIPS / name), N_SAMPLES)[:N_FRAMES])
    options = GREEDY.changed({"language": "en", "no_speech_threshold": None, **changes})
    prompt = tokenizer.encode(" " + options.initial_prompt) if options.initial_prompt else []
    results = []
    for each in (network, Twin(network)):
        encoded = network.encode(np.stack(mels))
        decoder = WindowDecoder(each, tokenizer, options, StageClock(), RANDOM)
        results.append(decoder.decode(encoded, 3, prompt))
    for got, want in zip(*results, strict=True):
        assert (got.tokens, got.text) == (want.tokens, want.text)
    errors = [
        abs(a.quality.avg_logprob - b.quality.avg_logprob) for a, b in zip(*results, strict=True)
    ]
    figure(max(errors), 1e-4, f"greedy step, avg_logprob of windows, {changes}")


def test_no_token_left_is_the_same_error(engine, tokenizer):
    """A timestamp may open a window, and then nothing may follow it."""
    network = engine.network
    encoded = network.encode(np.zeros((1, N_FRAMES, engine.dims.n_mels), np.float32))
    options = GREEDY.changed({"suppress_tokens": tuple(range(tokenizer.timestamp_begin))})
    for each in (Twin(network), network):
        with pytest.raises(OptionError, match="suppress_tokens must leave some"):
            WindowDecoder(each, tokenizer, options, StageClock(), RANDOM).decode(encoded, 1)


def test_other_rules_stay_on_the_host(tokenizer):
    for changes in ({"repetition_penalty": 1.1}, {"no_repeat_ngram_size": 3}):
        rules = build_rules(tokenizer, GREEDY.changed(changes))
        assert greedy_rules(rules, tokenizer) is None
    of_device = greedy_rules(build_rules(tokenizer, GREEDY), tokenizer)
    assert tokenizer.no_timestamps in of_device.forbidden
    assert of_device.timestamp_begin == tokenizer.timestamp_begin
    without = GREEDY.changed({"without_timestamps": True})
    assert greedy_rules(build_rules(tokenizer, without), tokenizer).timestamp_begin == (
        tokenizer.n_vocab
    )
