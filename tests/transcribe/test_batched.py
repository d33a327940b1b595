"""The batched mode on a network that hears what the samples spell out: every word once, on time.

A recording is an array in which a word is a run of samples of one value, its number; a window that
cuts a word hears "cut" instead. So words lost, doubled, split or misplaced cannot hide.
"""

import re
from itertools import groupby, pairwise

import numpy as np
import pytest

from maxwhisper.dims import Dims
from maxwhisper.errors import OptionError
from maxwhisper.options import TranscribeOptions
from maxwhisper.tokenizer import get_tokenizer
from maxwhisper.transcribe import batched
from maxwhisper.transcribe.batched import transcribe_batch
from maxwhisper.vad import Span, VadOptions

DIMS = Dims(80, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1)
MULTILINGUAL = Dims(80, 1500, 64, 1, 1, 51_865, 448, 64, 1, 1)
WORD_FRAMES = 40  # 0.4 s
HOP = 160  # samples
# Nothing is suppressed: every word may be said at any time.
FREE = TranscribeOptions(suppress_tokens=None, max_initial_timestamp=None)


def spoken_words(dims):
    """Tokens that are a word of their own, by number; number 0 is silence."""
    tokenizer = get_tokenizer(dims, language="en", task="transcribe")
    plain = (t for t in range(1000, 40_000) if re.fullmatch(" [a-z]{4,}", tokenizer.decode([t])))
    return [0, *(token for token, _ in zip(plain, range(2000), strict=False))]


WORDS = spoken_words(DIMS)
CUT = WORDS[-1]  # what half a word sounds like


class HearingNetwork:
    """Writes down the words in its windows, with their times; `most_words` of them at most, and
    then says that nothing follows ("single"), or begins another segment ("open")."""

    def __init__(self, dims=DIMS, most_words=1000, ending="single", languages=()):
        self.dims, self.most_words, self.ending = dims, most_words, ending
        self.languages = languages  # code, by the number of the first word heard
        self.tokenizer = get_tokenizer(dims, language="en", task="transcribe")
        self.batches, self.prompts = [], []

    def log_mel(self, waveform, padding):
        samples = np.pad(waveform, (0, padding))
        numbers = samples[: len(samples) // HOP * HOP : HOP]
        return np.repeat(numbers[:, None], self.dims.n_mels, axis=1).astype(np.float32)

    def encode(self, mel):
        assert mel.shape[1:] == (3000, self.dims.n_mels)
        return [self._heard(row[:, 0].astype(int)) for row in mel]

    def select(self, encoded, rows):
        return [encoded[row] for row in rows]

    def decoder(self, encoded):
        self.scripts = encoded
        return self

    def prefill(self, tokens, rows):
        assert len(tokens) == len(self.scripts)
        if tokens.shape[1] == 1 and self.dims is MULTILINGUAL:  # which language is this?
            said = [self.tokenizer.to_language_token(self._language(s)) for s in self.scripts]
            return self._logits(said)[:, None]
        self.batches.append(len(tokens))
        self.prompts.append(tokens[0].tolist())
        self.said = 0
        return np.stack([self._logits(self._next())] * len(rows), axis=1)

    def step(self, tokens):
        self.said += 1
        return self._logits(self._next())

    def _heard(self, numbers):
        """Token ids of a window (3000,), of groups: time, word, time."""
        begin, tokens, frame = self.tokenizer.timestamp_begin, [], 0
        for number, run in groupby(numbers.tolist()):
            n_frames = len(list(run))
            if number and len(tokens) < 3 * self.most_words:
                word = WORDS[number] if n_frames == WORD_FRAMES else CUT
                tokens += [begin + frame // 2, word, begin + (frame + n_frames) // 2]
            frame += n_frames
        if self.ending == "open" and tokens:
            tokens += [tokens[-1], CUT]
        return tokens

    def _language(self, script):
        first = WORDS.index(script[1])
        return next(code for code, numbers in self.languages if first in numbers)

    def _next(self):
        return [s[self.said] if self.said < len(s) else self.tokenizer.eot for s in self.scripts]

    def _logits(self, tokens):
        logits = np.full((len(tokens), self.dims.n_vocab), -20.0, np.float32)
        logits[np.arange(len(tokens)), tokens] = 0.0
        return logits


def speech(pauses, first_number=1, tail=0):
    """Samples of as many words as there are pauses (frames) before them."""
    words = [(0,) * pause + (first_number + i,) * WORD_FRAMES for i, pause in enumerate(pauses)]
    frames = np.concatenate([*words, (0,) * tail]) if len(words) else np.zeros(tail)
    return np.repeat(frames, HOP).astype(np.float32)


def runs(waveform, options):
    """What a flawless VAD would find: words, and pauses as long as asked for."""
    numbers = np.concatenate([[0], waveform, [0]])
    edges = np.flatnonzero(np.diff(numbers != 0))
    spans = [Span(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
    found = spans[:1]
    for span in spans[1:]:
        if (span.start - found[-1].end) / 16 < options.min_silence_duration_ms:
            span = Span(found.pop().start, span.end)
        found.append(span)
    return found


@pytest.fixture(autouse=True)
def flawless_vad(monkeypatch):
    monkeypatch.setattr(batched, "speech_spans", runs)


def random_pauses(seed, n):
    """Mostly gaps between words, some between sentences, a few long silences; frames."""
    random = np.random.default_rng(seed)
    return random.choice([12, 14, 20, 60, 150, 900], n, p=[0.3, 0.3, 0.2, 0.1, 0.08, 0.02])


def heard(transcript):
    """(word number, start, end) of every segment."""
    return [
        (WORDS.index(token), segment.start, segment.end)
        for segment in transcript.segments
        for token in segment.tokens
        if token in WORDS[1:]
    ]


def true_times(waveform):
    spans = runs(waveform, VadOptions(min_silence_duration_ms=0))
    return [(int(waveform[s.start]), s.start / 16_000, s.end / 16_000) for s in spans]


def assert_heard_exactly(transcript, waveform):
    """Every word once, in order, its time true to the 0.02 s of a timestamp; ids in order.

    A segment alone in its window begins with it, as in the reference: up to 0.4 s early.
    """
    said, truth = heard(transcript), true_times(waveform)
    seeks = [segment.seek for segment in transcript.segments]
    assert [number for number, _, _ in said] == [number for number, _, _ in truth]
    for (_, start, end), (_, true_start, true_end), seek in zip(said, truth, seeks, strict=True):
        early = 0.4 if seeks.count(seek) == 1 else 0.0
        assert -0.021 - early < start - true_start < 0.021
        assert abs(end - true_end) < 0.021
    assert [segment.id for segment in transcript.segments] == list(range(len(said)))
    times = [time for segment in transcript.segments for time in (segment.start, segment.end)]
    assert times == sorted(times)
    assert all(0 <= time <= transcript.duration for time in times)


@pytest.mark.parametrize("vad", [batched.PAUSES, None])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_every_word_once_and_on_time(vad, batch_size):
    for seed in range(3):
        waveform = speech(random_pauses(seed, 200), tail=77 * seed)
        network = HearingNetwork()
        (transcript,) = transcribe_batch(network, [waveform], FREE, batch_size=batch_size, vad=vad)
        assert_heard_exactly(transcript, waveform)
        assert max(network.batches) <= batch_size


@pytest.mark.parametrize("ending", ["single", "open"])
def test_windows_that_end_early_are_read_to_their_end(ending):
    waveform = speech([20] * 200)
    network = HearingNetwork(most_words=7, ending=ending)
    (transcript,) = transcribe_batch(network, [waveform], FREE)
    assert_heard_exactly(transcript, waveform)


def test_speech_without_a_pause_is_read_in_windows_that_follow_one_another():
    waveform = speech([12] * 240)  # 125 s with gaps of 0.12 s
    network = HearingNetwork()
    (transcript,) = transcribe_batch(network, [waveform], FREE)
    assert_heard_exactly(transcript, waveform)
    assert set(network.batches) == {1}


def test_recordings_share_batches():
    lengths = (30, 1, 0, 130, 70)
    waveforms = [speech(random_pauses(n, n), 1 + 200 * i, 40) for i, n in enumerate(lengths)]
    network = HearingNetwork()
    transcripts = transcribe_batch(network, waveforms, FREE, batch_size=4)
    for transcript, waveform in zip(transcripts, waveforms, strict=True):
        assert_heard_exactly(transcript, waveform)
    assert network.batches[:-1] == [4] * (len(network.batches) - 1)
    alone = [transcribe_batch(HearingNetwork(), [w], FREE, batch_size=1)[0] for w in waveforms]
    assert [t.segments for t in transcripts] == [t.segments for t in alone]
    assert {"mel", "vad", "encoder", "prefill", "decode", "text"} <= set(transcripts[0].timings)


def test_segments_are_told_in_order_while_it_reads():
    waveforms = [speech(random_pauses(8, 150)), speech(random_pauses(9, 150), 500)]
    told = [[], []]
    told_after = []

    def tell(index, segment):
        told[index].append(segment)
        told_after.append(len(network.batches))

    network = HearingNetwork()
    transcripts = transcribe_batch(network, waveforms, FREE, batch_size=2, on_segment=tell)
    assert [tuple(segments) for segments in told] == [t.segments for t in transcripts]
    assert told_after[0] == 1 < told_after[-1]


def test_silence_has_no_text():
    for n in (0, 1, 159, 160, 200, 201, 1600, 8000, 16_000 * 70):
        network = HearingNetwork()
        (transcript,) = transcribe_batch(network, [np.zeros(n, np.float32)], FREE)
        assert (transcript.text, transcript.segments, network.batches) == ("", (), [])
        assert transcript.duration == n / 16_000
        transcribe_batch(network, [np.zeros(n, np.float32)], FREE, vad=None)  # it ends


def test_nothing_to_do():
    assert transcribe_batch(HearingNetwork(), [], FREE) == []


def test_text_heard_in_the_padding_is_dropped():
    class Imagining(HearingNetwork):
        def _heard(self, numbers):
            begin = self.tokenizer.timestamp_begin
            return [*super()._heard(numbers), begin + 1450, CUT, begin + 1500]

    waveform = speech([10, 30, 15], tail=20)
    (transcript,) = transcribe_batch(Imagining(), [waveform], FREE)
    assert_heard_exactly(transcript, waveform)


def test_a_segment_ends_with_its_window_at_the_latest():
    class Lasting(HearingNetwork):
        def _heard(self, numbers):
            return [*super()._heard(numbers)[:-1], self.tokenizer.timestamp_begin + 1500]

    waveform = speech([10, 30, 15], tail=20)
    (transcript,) = transcribe_batch(Lasting(), [waveform], FREE)
    assert transcript.segments[-1].end == transcript.duration == 1.95


@pytest.mark.parametrize("distance", [0, 1, 2, 50])
def test_timestamps_that_do_not_advance_do_not_hold_it_up(distance):
    class Stuck(HearingNetwork):
        def _heard(self, numbers):
            begin = self.tokenizer.timestamp_begin
            return [begin, CUT, begin + distance, begin + distance, CUT]

    network = Stuck()
    transcribe_batch(network, [speech([14] * 20)], FREE)
    assert 0 < len(network.batches) <= 10.8 / 0.02 + 1  # 10.8 s in steps of 0.02 s at least


def test_silent_windows_are_skipped():
    class Doubting(HearingNetwork):
        def _logits(self, tokens):
            logits = super()._logits(tokens)
            logits[:] = np.maximum(logits, -7.0)  # all tokens together are likelier than the best
            logits[np.arange(len(tokens)), tokens] = 1.0
            logits[:, self.tokenizer.no_speech] = 20.0
            return logits

    options = FREE.changed({"suppress_tokens": "-1"})  # `no_speech` itself may not be said
    (transcript,) = transcribe_batch(Doubting(), [speech([10] * 5)], options)
    assert transcript.segments == ()
    kept = options.changed({"no_speech_threshold": None})
    assert len(transcribe_batch(Doubting(), [speech([10] * 5)], kept)[0].segments) == 5


def test_only_clips_are_read():
    waveform = speech([60] * 100)
    options = FREE.changed({"clip_timestamps": "10.2,20.2,50.2,55.2"})
    for vad in (batched.PAUSES, None):
        (transcript,) = transcribe_batch(HearingNetwork(), [waveform], options, vad=vad)
        inside = [n for n, start, end in true_times(waveform) if start >= 10.2 and end <= 20.2]
        inside += [n for n, start, end in true_times(waveform) if start >= 50.2 and end <= 55.2]
        assert [n for n, _, _ in heard(transcript) if WORDS[n] != CUT] == inside


def test_the_initial_prompt_prompts_the_first_window_or_all():
    waveforms = [speech(random_pauses(8, 150)), speech(random_pauses(9, 150), 500)]
    prompt = get_tokenizer(DIMS).encode(" Gloria")
    for carry, n_prompted in ((False, 1), (True, None)):
        network = HearingNetwork()
        options = FREE.changed({"initial_prompt": "Gloria", "carry_initial_prompt": carry})
        transcripts = transcribe_batch(network, waveforms, options, batch_size=2)
        prompted = [p[1 : 1 + len(prompt)] == prompt for p in network.prompts]
        assert prompted[0]
        assert sum(prompted) == (len(prompted) if n_prompted is None else n_prompted)
        for transcript, waveform in zip(transcripts, waveforms, strict=True):
            assert_heard_exactly(transcript, waveform)


def test_every_recording_has_its_own_language():
    languages = (("de", range(1, 100)), ("fr", range(100, 300)))
    waveforms = [
        speech(random_pauses(1, 60)),
        speech(random_pauses(2, 60), 100),
        np.concatenate([np.zeros(16_000 * 40, np.float32), speech([20, 20], 200)]),
    ]
    network = HearingNetwork(MULTILINGUAL, languages=languages)
    transcripts = transcribe_batch(network, waveforms, FREE)
    assert [t.language for t in transcripts] == ["de", "fr", "fr"]  # where its speech begins
    for transcript, waveform in zip(transcripts, waveforms, strict=True):
        assert_heard_exactly(transcript, waveform)
    spoken = {prompt[1] for prompt in network.prompts}
    assert spoken == {network.tokenizer.to_language_token(code) for code in ("de", "fr")}


@pytest.mark.parametrize(
    "option",
    [
        {"prompt_reset_on_temperature": 0.3},
        {"word_timestamps": True, "hallucination_silence_threshold": 2.0},
        {"task": "dance"},
    ],
)
def test_what_it_cannot_do_is_refused(option):
    with pytest.raises(OptionError, match=list(option)[-1]):
        transcribe_batch(HearingNetwork(), [], FREE.changed(option), heads=((0, 0),))


def test_a_batch_has_a_window():
    with pytest.raises(OptionError, match="batch_size must be at least 1"):
        transcribe_batch(HearingNetwork(), [], FREE, batch_size=0)


def test_word_times_need_alignment_heads():
    with pytest.raises(OptionError, match="alignment heads"):
        transcribe_batch(HearingNetwork(), [], FREE.changed({"word_timestamps": True}))


def test_no_two_words_at_once():
    """The tests above would not notice a fake that cannot fail: half a word is heard as such."""
    network = HearingNetwork()
    mel = network.log_mel(speech([10, 10]), 480_000)[None, :3000]
    (script,) = network.encode(np.concatenate([mel[:, 30:], mel[:, :30]], axis=1))
    assert script[1] == CUT
    assert all(earlier <= later for earlier, later in pairwise(script[::3]))
