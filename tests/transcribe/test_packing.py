"""Where recordings are cut: no speech is lost or repeated, and chunks fit into windows."""

import numpy as np
import pytest

from maxwhisper.audio.vad import Span
from maxwhisper.network.dims import N_FRAMES
from maxwhisper.options import VadOptions
from maxwhisper.transcribe import packing
from maxwhisper.transcribe.packing import (
    QUIET_FRAMES,
    Stretch,
    pack,
    quiet_stretches,
    speech_clips,
    to_frames,
    window_end,
    within,
)


def random_speech(seed):
    """Sorted spans of 0.05 to 12 s with pauses of 0.01 to 8 s, and the clip that contains them."""
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 60))
    lengths = np.exp(random.uniform(np.log(5), np.log(1200), n)).astype(int)
    pauses = np.exp(random.uniform(np.log(1), np.log(800), n + 1)).astype(int)
    starts = np.cumsum(pauses[:-1] + np.concatenate([[0], lengths[:-1]]))
    speech = [Stretch(int(s), int(s + n)) for s, n in zip(starts, lengths, strict=True)]
    return speech, Stretch(0, int(speech[-1].end + pauses[-1]))


@pytest.mark.parametrize("padding", [0, 40, 500])
def test_stretches_hold_all_speech_in_windows(padding):
    for seed in range(300):
        speech, clip = random_speech(seed)
        stretches = pack(speech, padding, clip)
        ends = [clip.start, *(stretch.end for stretch in stretches)]
        starts = [*(stretch.start for stretch in stretches), clip.end]
        assert all(end <= start for end, start in zip(ends, starts, strict=True))
        assert all(0 < end - start <= N_FRAMES for start, end in stretches)
        for part in speech:  # whole, in one stretch
            assert any(s.start <= part.start and part.end <= s.end for s in stretches)


def test_padding_is_kept_where_the_pause_has_room():
    for seed in range(100):
        speech, clip = random_speech(seed)
        for stretch in pack(speech, 40, clip):
            first = next(part for part in speech if part.start >= stretch.start)
            assert stretch.start >= first.start - 40
    assert pack([Stretch(100, 200)], 40, Stretch(0, 1000)) == [(60, 240)]
    assert pack([Stretch(10, 200)], 40, Stretch(0, 210)) == [(0, 210)]


def test_stretches_are_as_few_as_can_be():
    """Filling each stretch completely gives the fewest, but cuts in pauses that are too short."""
    for seed in range(300):
        speech, clip = random_speech(seed)
        n_greedy, start = 0, -N_FRAMES
        for part in speech:
            if part.end - start > N_FRAMES:
                n_greedy, start = n_greedy + 1, part.start
        assert len(pack(speech, 0, clip)) == n_greedy


def test_the_longest_pauses_are_cut():
    #         5 s   pause 0.3 s   11 s, 0.9 s        12 s, 0.2 s         24 s
    speech = [(0, 500), (530, 1630), (1720, 2920), (2940, 5340)]
    stretches = pack([Stretch(*part) for part in speech], 0, Stretch(0, 6000))
    assert stretches == [(0, 2920), (2940, 5340)]  # the only way to have two
    speech[-1] = (2940, 4500)
    stretches = pack([Stretch(*part) for part in speech], 0, Stretch(0, 6000))
    assert stretches == [(0, 1630), (1720, 4500)]


def test_everything_that_fits_stays_together():
    speech = [Stretch(0, 100), Stretch(2000, 2900)]
    assert pack(speech, 40, Stretch(0, 2950)) == [(0, 2940)]


def test_speech_without_pause_is_one_long_stretch():
    speech = [Stretch(0, 200), Stretch(300, 7000), Stretch(7100, 7200)]
    assert pack(speech, 0, Stretch(0, 8000)) == [(0, 200), (300, 7000), (7100, 7200)]


def test_padding_makes_no_window_too_long():
    (stretch,) = pack([Stretch(100, 3090)], 40, Stretch(0, 4000))
    assert stretch == (95, 3095)


def test_speech_outside_the_clip_is_not_read():
    speech = [Stretch(0, 100), Stretch(500, 900), Stretch(1500, 1600)]
    assert pack(speech, 0, Stretch(600, 1550)) == [(600, 1550)]
    assert pack(speech, 0, Stretch(100, 500)) == []
    assert pack([], 0, Stretch(0, 500)) == []


def test_frames_touched_by_spans():
    spans = [Span(0, 1), Span(159, 170), Span(480, 640), Span(641, 700), Span(1000, 1121)]
    assert to_frames(spans) == [(0, 2), (3, 5), (6, 8)]


def test_parts_within():
    speech = [Stretch(0, 10), Stretch(20, 30), Stretch(40, 50)]
    assert list(within(speech, 10, 40)) == [(20, 30)]
    assert list(within(speech, 9, 45)) == [(9, 10), (20, 30), (40, 45)]
    assert list(within(speech, 25, 25)) == list(within(speech, 45, 5)) == []


@pytest.mark.parametrize("n", [0, 1, 2999, 3000, 3001, 6000, 20_000])
def test_quiet_stretches_cover_everything(n):
    mel = np.random.default_rng(n).normal(size=(n + N_FRAMES, 4)).astype(np.float32)
    stretches = quiet_stretches(mel, Stretch(0, n))
    assert [s.start for s in stretches] == [0, *(s.end for s in stretches)][: len(stretches)]
    assert (stretches[-1].end if stretches else 0) == n
    assert all(0 < end - start <= N_FRAMES for start, end in stretches)


def test_the_quietest_point_is_cut_not_a_plosive():
    mel = np.ones((9000, 4), np.float32)
    mel[2100:2104] = -1.0  # 40 ms: the closure of a consonant
    mel[2500 : 2500 + QUIET_FRAMES] = 0.3  # 0.1 s of quiet between words
    assert window_end(mel, 0, 9000) == 2500 + QUIET_FRAMES // 2
    assert window_end(mel, 0, 3000) == 3000


def test_of_equal_silence_the_last_is_cut():
    mel = np.ones((9000, 4), np.float32)
    mel[2200:2600] = -1.0
    assert window_end(mel, 0, 9000) == 2600 - QUIET_FRAMES // 2


def test_speech_as_clips(monkeypatch):
    waveform = np.zeros(10 * 16_000, np.float32)
    spans = [Span(16_000, 32_000), Span(64_000, 160_000)]
    monkeypatch.setattr(packing, "speech_spans", lambda waveform, vad: spans)
    assert speech_clips(waveform, "0", VadOptions()) == (1.0, 2.0, 4.0, 10.0)
    assert speech_clips(waveform, "1.5,5", VadOptions()) == (1.5, 2.0, 4.0, 5.0)
    assert speech_clips(waveform, (2.0, 3.0), VadOptions()) == (0.0, 0.0)
