"""Windows: their labels decode to the text, obey decoding's rules, and match the audio."""

import numpy as np
import pytest

from maxwhisper.decoding.rules import FORBIDDEN, TimestampRules
from maxwhisper.network.dims import N_SAMPLES, SAMPLE_RATE
from tools.train_demo import labels
from tools.train_demo.batches import Part, batches, collate
from tools.train_demo.labels import Spoken
from tools.train_demo.phones import SILENCE, UNLABELLED
from tools.train_demo.placing import POSITION, joined, place, without_beginning
from tools.train_demo.vocabulary import Vocabulary, used_tokens
from tools.train_demo.windows import N_POSITIONS, Composer, Style

WINDOW = Style(30, 15)
SHORT = Style(None, 6, spelled=0.5)


@pytest.fixture(scope="module")
def windows(corpus, tokenizer):
    """60 seeded windows of whole sentences without misread tokens."""
    return made_with(corpus, tokenizer, misread=0)


def made_with(corpus, tokenizer, misread):
    composer = Composer(corpus, tokenizer, WINDOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tools.train_demo.windows.MISREAD", misread)
        patch.setattr("tools.train_demo.windows.BEGUN", 0)
        patch.setattr("tools.train_demo.windows.JOINED", 0)
        return [
            composer.window(N_SAMPLES, np.random.default_rng(seed), prompted=seed % 2 == 1)
            for seed in range(60)
        ]


def said(example):
    """Return the tokens that are learnt."""
    return [token for token in example.texts[0].targets if token != UNLABELLED]


def is_speech(example, tokenizer):
    return said(example)[0] != tokenizer.no_speech


def test_there_is_every_kind_of_window(windows, tokenizer):
    firsts = [said(example)[0] for example in windows]
    assert tokenizer.no_speech in firsts
    assert tokenizer.no_timestamps in firsts
    assert any(first >= tokenizer.timestamp_begin for first in firsts)
    assert any(said(example)[-3] >= tokenizer.timestamp_begin for example in windows[:]), "cut"
    assert any(example.content < N_SAMPLES for example in windows)
    assert any(np.isfinite(example.loudest) for example in windows)


def test_every_text_of_a_prompted_window_has_the_prompt_and_no_other(windows, tokenizer):
    for example in windows[0::2]:
        assert all(text.inputs[0] == tokenizer.sot for text in example.texts)
    for example in windows[1::2]:
        prompts = {text.inputs[: text.inputs.index(tokenizer.sot)] for text in example.texts}
        assert len(prompts) == 1
        assert prompts.pop()[0] == tokenizer.sot_prev


def test_some_windows_begin_within_a_sentence_that_the_prompt_began(corpus, tokenizer, monkeypatch):
    monkeypatch.setattr("tools.train_demo.windows.BEGUN", 1)
    monkeypatch.setattr("tools.train_demo.windows.JOINED", 0)
    monkeypatch.setattr("tools.train_demo.windows.MISREAD", 0)
    composer, sentences = Composer(corpus, tokenizer, WINDOW), set(corpus.texts)
    n_joined = 0
    for seed in range(30):
        example = composer.window(N_SAMPLES, np.random.default_rng(seed), prompted=True)
        if not is_speech(example, tokenizer) or said(example)[0] == tokenizer.no_timestamps:
            continue
        inputs = example.texts[0].inputs
        start = inputs.index(tokenizer.sot)
        before, first = (
            tokenizer.decode_with_timestamps(tokens).split("<|")
            for tokens in (inputs[1:start], inputs[start + 1 :])
        )
        began = [text.partition("|>")[2].strip() for text in before if not text.endswith("|>")][-1]
        rest = first[1].partition("|>")[2].strip()
        n_joined += f"{began} {rest}" in sentences and first[1].startswith("0.00")
    assert n_joined > 5


def test_what_is_left_of_a_sentence_begins_with_its_word(corpus):
    """The tones show where a word begins; at most 0.15 s of the previous word is left."""
    utterance = corpus[0]
    starts = [*utterance.words[:, 0].tolist(), utterance.words[-1, 1]]
    for seed in range(20):
        before, rest = without_beginning(utterance, np.random.default_rng(seed))
        n_before = len(before.split())
        assert f"{before} {rest.text}".strip() == utterance.text
        cut = len(utterance.samples) - len(rest.samples)
        assert -0.25 <= cut / SAMPLE_RATE - starts[n_before] / SAMPLE_RATE <= 0.1
        np.testing.assert_array_equal(rest.samples, utterance.samples[cut:])
        assert rest.phone_ends[-1] == utterance.phone_ends[-1] - cut
        assert len(rest.phones) == len(rest.phone_ends)


def opening_with(corpus, *words):
    return next(corpus[i] for i in range(len(corpus)) if corpus.texts[i].startswith(words))


def test_two_sentences_in_one_breath_are_one_sentence(corpus):
    first, second = corpus[0], opening_with(corpus, "One ", "Two ")
    one = joined(first, second, pause=800)
    assert one.text == f"{first.text[:-1]}, {second.text[0].lower()}{second.text[1:]}"
    end, start = first.words[-1, 1] + 800, second.words[0, 0]
    np.testing.assert_array_equal(one.samples[:end], first.samples[:end])
    np.testing.assert_array_equal(one.samples[end:], second.samples[start:])
    sounding = [each.phones[each.phones != SILENCE] for each in (first, second, one)]
    np.testing.assert_array_equal(sounding[2], np.concatenate(sounding[:2]))
    assert one.phone_ends[-1] - end == second.phone_ends[-1] - start
    assert (np.diff(one.phone_ends) > 0).all()
    assert len(one.phones) == len(one.phone_ends)


def test_a_capital_that_may_be_a_words_own_joins_nothing(corpus):
    assert joined(corpus[0], opening_with(corpus, "Dog ", "Cat "), pause=0) is None


def test_some_segments_are_joined_sentences(corpus, tokenizer):
    composer, n_joined = Composer(corpus, tokenizer, WINDOW), 0
    for seed in range(20):
        example = composer.window(N_SAMPLES, np.random.default_rng(seed))
        n_joined += ", " in tokenizer.decode([t for t in said(example) if t < tokenizer.eot])
    assert n_joined > 5


def test_a_batch_is_prompted_as_a_whole(corpus, tokenizer):
    composer = Composer(corpus, tokenizer, Style(10, 9))
    n_prompted = 0
    for seed in range(20):
        batch = composer.batch(3, np.random.default_rng(seed))
        firsts = {text.inputs[0] for example in batch for text in example.texts}
        assert len(firsts) == 1
        n_prompted += firsts == {tokenizer.sot_prev}
    assert 2 < n_prompted < 16


def test_labels_end_and_fit_the_decoder(windows, tokenizer):
    for example in windows:
        assert said(example)[-1] == tokenizer.eot
        assert len(example.texts[0].inputs) == len(example.texts[0].targets) <= 448
        start = example.texts[0].inputs.index(tokenizer.sot)
        assert set(example.texts[0].targets[:start]) <= {UNLABELLED}
        assert example.texts[0].targets[start] != UNLABELLED


def test_labels_decode_to_sentences_of_the_corpus(windows, tokenizer, corpus):
    for example in filter(lambda e: is_speech(e, tokenizer), windows):
        text = tokenizer.decode([t for t in said(example) if t < tokenizer.eot])
        rest = text
        for sentence in sorted(set(corpus.texts), key=len, reverse=True):
            rest = rest.replace(" " + sentence, "")
        assert rest == ""


def test_decoding_rules_allow_every_label(windows, tokenizer):
    """Without a limit on the first timestamp: training has late starts too."""
    rules = TimestampRules(
        tokenizer.eot, tokenizer.no_timestamps, tokenizer.timestamp_begin, max_initial_index=None
    )
    for example in windows:
        tokens = said(example)
        if tokens[0] < tokenizer.timestamp_begin:
            continue
        for n, token in enumerate(tokens):
            logits = np.full((1, tokenizer.n_vocab), -50, np.float32)
            logits[0, token] = 50
            rules.apply(logits, np.array([tokens[:n]], np.int64).reshape(1, n))
            assert logits[0, token] != FORBIDDEN, tokenizer.decode_with_timestamps(tokens[: n + 1])


def test_timestamps_are_where_the_phones_are(windows, tokenizer):
    begin = tokenizer.timestamp_begin
    for example in windows:
        tokens = said(example)
        if tokens[0] < begin:
            continue
        sounding = np.flatnonzero(example.phones != SILENCE)
        assert abs(tokens[0] - begin - sounding[0]) <= 1
        is_cut = tokens[-2] >= begin and tokens[-3] >= begin
        if not is_cut:
            assert abs(tokens[-2] - begin - sounding[-1]) <= 2


def test_no_speech_windows_are_silence_for_the_encoder(windows, tokenizer):
    found = [example for example in windows if not is_speech(example, tokenizer)]
    for example in found:
        assert (example.phones == SILENCE).all()
        assert said(example) == [tokenizer.no_speech, tokenizer.eot]
        last = example.texts[0].inputs[-1]
        assert last == tokenizer.no_timestamps or 0 <= last - tokenizer.timestamp_begin <= 50


def test_single_utterances_lie_anywhere_with_their_times(corpus, tokenizer):
    composer = Composer(corpus, tokenizer, SHORT)
    positions, firsts = set(), set()
    for seed in range(30):
        example = composer.utterance(seed, np.random.default_rng(seed))
        positions.add(example.first_position)
        assert example.first_position + len(example.phones) <= N_POSITIONS
        assert len(example.samples) == len(example.phones) * POSITION
        tokens = said(example)
        if tokens[0] >= tokenizer.timestamp_begin:
            first = np.flatnonzero(example.phones != SILENCE)[0] + example.first_position
            assert abs(tokens[0] - tokenizer.timestamp_begin - first) <= 1
        firsts.add(example.texts[0].first_token)
    assert len(positions) > 20
    assert len(firsts) > 10
    assert max(firsts) <= labels.MAX_PROMPT


def test_examples_depend_on_the_generator_alone(corpus, tokenizer):
    for style in (WINDOW, SHORT):
        first, again = (
            Composer(corpus, tokenizer, style).batch(3, np.random.default_rng(5)) for _ in range(2)
        )
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a.samples, b.samples)
            assert (a.texts, a.content, a.loudest) == (b.texts, b.content, b.loudest)


def test_resumed_texts_follow_the_time_of_their_first_word(windows, tokenizer):
    resumed = [(e, text) for e in windows for text in e.texts[1:]]
    assert len(resumed) > 60
    for example, text in resumed:
        start = text.inputs.index(tokenizer.sot)
        time, *read = text.inputs[start + 1 :]
        assert set(text.targets[: start + 1]) == {UNLABELLED}, "prompt and time are given"
        assert list(text.targets[start + 1 : -1]) == read
        position = time - tokenizer.timestamp_begin
        assert 0 <= text.heard_at[start + 1] - position < 50, "it sounds within a second"
        sounding = np.flatnonzero(example.phones != SILENCE)
        assert sounding[0] <= position <= sounding[-1]
        assert len(text.targets) <= start + 1 + labels.RESUMED_TOKENS + 1


def test_what_is_misread_is_neither_learnt_nor_of_another_kind(windows, corpus, tokenizer):
    n_read = n_misread = 0
    for right, example in zip(windows, made_with(corpus, tokenizer, misread=1), strict=True):
        for text, wrong in zip(right.texts, example.texts, strict=True):
            assert (wrong.targets, wrong.heard_at) == (text.targets, text.heard_at)
            for was, token in zip(text.inputs, wrong.inputs, strict=True):
                if was >= tokenizer.timestamp_begin:
                    assert abs(token - was) <= 10
                    assert token <= tokenizer.timestamp_begin + N_POSITIONS
                elif was < tokenizer.eot:
                    assert token < tokenizer.eot
                else:
                    assert token == was
            n_read += len(text.inputs)
            n_misread += sum(a != b for a, b in zip(text.inputs, wrong.inputs, strict=True))
    assert 0.05 < n_misread / n_read < 0.1


def test_a_text_resumed_at_a_word_is_the_rest_from_there(tokenizer):
    body = labels.timestamped(tokenizer, [Spoken("Two words.", 0.5, 1.5), Spoken("Bye.", 2, 3)])
    read = labels.from_word(tokenizer, body, 1)
    assert body.words[1][1] == pytest.approx(0.5 + 3 / 8.1, abs=0.01), "three of 8.1 sounds said"
    text = tokenizer.decode_with_timestamps(read.targets[1:-1])
    assert text == " words.<|1.50|><|2.00|> Bye.<|3.00|>"
    assert read.targets[-1] == tokenizer.eot


def test_prompts_are_cut_as_decoding_cuts_them(tokenizer):
    said = labels.untimed(tokenizer, [Spoken("Hi.", 0, 1)])
    made = labels.for_speech(tokenizer, said, [5] * 500)
    assert made.inputs.index(tokenizer.sot) == 1 + labels.MAX_PROMPT


def test_a_cut_segment_is_its_start_alone(tokenizer):
    body = labels.timestamped(tokenizer, [Spoken("Hi.", 0.5, 1.0), Spoken("Bye.", 29.5, None)])
    assert tokenizer.decode_with_timestamps(body.tokens) == "<|0.50|> Hi.<|1.00|><|29.50|>"


def test_words_are_heard_where_their_phones_are(corpus, tokenizer):
    """Compared with synthesisers that report word times."""
    errors_s = []
    for index in range(len(corpus)):
        utterance = corpus[index]
        if len(utterance.words) < 2:
            continue
        one = place(utterance, 0, 1.0)
        seconds = tuple((one.sounds / SAMPLE_RATE).tolist())
        segment = Spoken(one.text, seconds[0], seconds[-1], seconds)
        body = labels.timestamped(tokenizer, [segment])
        begins = [tokenizer.decode([token]).startswith(" ") for token in body.tokens]
        middles = utterance.words.mean(axis=1) / SAMPLE_RATE
        firsts = np.flatnonzero(begins)
        assert len(firsts) == len(middles)
        errors_s += list(abs(np.array(body.heard_at)[firsts] * 0.02 - middles))
    assert len(errors_s) > 10
    assert np.mean(errors_s) < 0.12


def test_without_phones_tokens_are_spread_over_the_segment(tokenizer):
    body = labels.timestamped(tokenizer, [Spoken("one two", 1.0, 2.0)])
    assert body.heard_at == pytest.approx([50, 62.5, 87.5, 100])


def test_spelling_keeps_the_text(tokenizer):
    text = "The aardvark isn't red, is it?"
    tokens = labels.spelled(tokenizer, text, {"aardvark", "isn't"})
    assert tokenizer.decode(tokens) == " " + text
    assert len(tokens) > len(tokenizer.encode(" " + text))


def test_batches_are_the_same_from_any_start(corpus, tokenizer):
    vocabulary = Vocabulary(tokenizer.n_vocab, used_tokens(tokenizer, corpus.texts))
    parts = [
        Part(share, Composer(corpus, tokenizer, SHORT), size) for share, size in ((1, 2), (2, 3))
    ]
    early = batches(parts, vocabulary, seed=3, first=0, workers=0)
    next(early)
    late = batches(parts, vocabulary, seed=3, first=1, workers=0)
    for a, b in zip(next(early), next(late), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_vocabulary_refuses_tokens_it_was_not_made_for(corpus, tokenizer):
    vocabulary = Vocabulary(tokenizer.n_vocab, used_tokens(tokenizer, ["only this"]))
    examples = Composer(corpus, tokenizer, Style(None, 6)).batch(4, np.random.default_rng(0))
    with pytest.raises(ValueError, match="expected tokens of the training vocabulary"):
        collate(examples, vocabulary)


def test_utterances_too_long_for_the_style_stay_out(corpus, tokenizer):
    composer = Composer(corpus, tokenizer, Style(None, 1.0))
    assert 0 < len(composer.by_length) < len(corpus)
    assert max(corpus.n_samples[composer.by_length]) <= 1.0 * SAMPLE_RATE
