"""The batched mode on a network that transcribes what the samples spell out: every word once, on
time."""

import weakref

import numpy as np
import pytest

from maxwhisper.errors import NumericError, OptionError, SomeFailed
from maxwhisper.options import VadOptions
from maxwhisper.transcribe import batched
from maxwhisper.transcribe.batched import transcribe_batch
from tests.fakes.hearing_network import (
    CUT,
    FREE,
    MULTILINGUAL,
    TOKENIZER,
    WORDS,
    HearingNetwork,
    heard,
    random_pauses,
    runs,
    speech,
    true_times,
)


@pytest.fixture(autouse=True)
def flawless_vad(monkeypatch):
    monkeypatch.setattr(batched, "speech_spans", runs)


def assert_heard_exactly(transcript, waveform):
    """Every word once and in order, with times exact to a timestamp's 0.02 s, and ids in order.

    A segment that is alone in its window begins with it, as in the reference: up to 0.4 s early.
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
    for seed in range(2):
        waveform = speech(random_pauses(seed, 160), tail=77 * seed)
        network = HearingNetwork()
        (transcript,) = transcribe_batch(network, [waveform], FREE, batch_size=batch_size, vad=vad)
        assert_heard_exactly(transcript, waveform)
        assert max(network.batches) <= batch_size


@pytest.mark.parametrize("ending", ["single", "open"])
def test_windows_that_end_early_are_read_to_their_end(ending):
    waveform = speech([20] * 200)
    network = HearingNetwork(max_words=7, ending=ending)
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
        def heard(self, numbers):
            begin = self.tokenizer.timestamp_begin
            return [*super().heard(numbers), begin + 1450, CUT, begin + 1500]

    waveform = speech([10, 30, 15], tail=20)
    (transcript,) = transcribe_batch(Imagining(), [waveform], FREE)
    assert_heard_exactly(transcript, waveform)


def test_a_segment_ends_with_its_window_at_the_latest():
    class Lasting(HearingNetwork):
        def heard(self, numbers):
            return [*super().heard(numbers)[:-1], self.tokenizer.timestamp_begin + 1500]

    waveform = speech([10, 30, 15], tail=20)
    (transcript,) = transcribe_batch(Lasting(), [waveform], FREE)
    assert transcript.segments[-1].end == transcript.duration == 1.95


@pytest.mark.parametrize("distance", [0, 1, 2, 50])
def test_timestamps_that_do_not_advance_do_not_hold_it_up(distance):
    class Stuck(HearingNetwork):
        def heard(self, numbers):
            begin = self.tokenizer.timestamp_begin
            return [begin, CUT, begin + distance, begin + distance, CUT]

    network = Stuck()
    transcribe_batch(network, [speech([14] * 6)], FREE)
    assert 0 < len(network.batches) <= 3.3 / 0.02 + 1  # at least 3.3 s in steps of 0.02 s


def test_silent_windows_are_skipped():
    class Doubting(HearingNetwork):
        def logits(self, tokens):
            logits = super().logits(tokens)
            logits[:] = np.maximum(logits, -7.0)  # all tokens together are likelier than the best
            logits[np.arange(len(tokens)), tokens] = 1.0
            logits[:, self.tokenizer.no_speech] = 20.0
            return logits

    options = FREE.changed({"suppress_tokens": "-1"})  # `no_speech` itself is suppressed
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
    prompt = TOKENIZER.encode(" Gloria")
    for carry, n_prompted in ((False, 1), (True, None)):  # batches: both begin in one
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
        transcribe_batch(HearingNetwork(), [], FREE.changed(option))


def test_a_batch_has_a_window():
    with pytest.raises(OptionError, match="batch_size must be at least 1"):
        transcribe_batch(HearingNetwork(), [], FREE, batch_size=0)


def test_padding_is_not_negative():
    with pytest.raises(OptionError, match="speech_pad_ms must be at least 0"):
        transcribe_batch(HearingNetwork(), [], FREE, vad=VadOptions(speech_pad_ms=-5))


def test_word_times_need_alignment_heads():
    network = HearingNetwork(alignment_heads=())
    with pytest.raises(OptionError, match="alignment heads"):
        transcribe_batch(network, [], FREE.changed({"word_timestamps": True}))


def test_words_have_their_times_in_batches():
    waveforms = [speech(random_pauses(3, 150)), speech(random_pauses(5, 40), 300)]
    options = FREE.changed({"word_timestamps": True})
    network = HearingNetwork(alignment_heads=((0, 0), (0, 1)))
    transcripts = transcribe_batch(network, waveforms, options, batch_size=3)
    for transcript, waveform in zip(transcripts, waveforms, strict=True):
        truth = true_times(waveform)
        texts = [TOKENIZER.decode([WORDS[number]]) for number, _, _ in truth]
        assert [word.word for word in transcript.words] == texts
        for word, (_, start, _) in zip(transcript.words, truth, strict=True):
            # The first word of a window begins with it, as in the reference.
            assert -0.41 < word.start - start < 0.05
        times = [time for word in transcript.words for time in (word.start, word.end)]
        assert times == sorted(times)


def test_half_a_word_is_heard_as_such():
    """The tests above would not notice cut words if the network did not."""
    network = HearingNetwork()
    numbers = network.encode(network.log_mel(speech([10, 10]), 480_000)[None, 30:3030])[0]
    assert network.heard(numbers)[1::3] == [CUT, WORDS[2]]


def test_recordings_are_opened_when_there_is_room_and_let_go_of():
    """With many recordings, only as many are in memory as make a batch."""
    alive, most = set(), []

    class Counting(HearingNetwork):
        def log_mel(self, waveform, padding):
            mel = super().log_mel(waveform, padding)
            alive.add(id(mel))
            weakref.finalize(mel, alive.discard, id(mel))
            most.append(len(alive))
            return mel

    waveforms = (speech([20] * 3, first_number=1 + 3 * i) for i in range(12))
    transcripts = transcribe_batch(Counting(), waveforms, FREE, batch_size=2)
    said = [number for transcript in transcripts for number, _, _ in heard(transcript)]
    assert said == list(range(1, 37))
    assert max(most) <= 3


def test_a_recording_that_cannot_be_opened_is_named():
    """It has no log-mel; those before and after it are transcribed."""
    bad = speech([20] * 4, first_number=90)

    class Overflowing(HearingNetwork):
        def log_mel(self, waveform, padding):
            if np.array_equal(waveform, bad):
                raise NumericError("no numbers")
            return super().log_mel(waveform, padding)

    waveforms = [speech([20] * 3), bad, speech([20] * 3, first_number=10)]
    with pytest.raises(SomeFailed) as caught:
        transcribe_batch(Overflowing(), waveforms, FREE, batch_size=2)
    assert list(caught.value.errors) == [1]
    texts = [[number for number, _, _ in heard(each)] for each in caught.value.transcripts if each]
    assert texts == [[1, 2, 3], [10, 11, 12]]
    assert caught.value.transcripts[1] is None


def test_progress_goes_from_nothing_to_all():
    """Recordings that have ended still count, though nothing of them is kept."""
    waveforms = [speech([20] * 40, first_number=1 + 40 * number) for number in range(3)]
    told = [
        (step.done_s, step.total_s)
        for step in batched.each_step(HearingNetwork(), iter(waveforms), FREE, batch_size=1)
    ]
    all_s = sum(len(waveform) for waveform in waveforms) / 16_000
    assert told[-1] == pytest.approx((all_s, all_s))
    assert told == sorted(told)
