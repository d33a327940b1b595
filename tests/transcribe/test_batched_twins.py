"""The batched mode against its slow twins: one window at a time, and the sequential mode.

On random weights the texts mean nothing but must be equal; on trained weights the batched mode must
transcribe the words that the sequential mode does.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import jiwer
import numpy as np
import pytest

from maxwhisper.audio.load import decode
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.errors import NumericError, SomeFailed
from maxwhisper.evaluation.selftest.numpy_network import NumpyNetwork
from maxwhisper.network.dims import Dims
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.wer import normalize, word_error_rate
from maxwhisper.transcribe import sequential
from maxwhisper.transcribe.batched import transcribe_batch

ROOT = Path(__file__).parents[2]
CLIPS = ROOT / "examples" / "clips"
SMALL = random_checkpoint(Dims(80, 1500, 64, 2, 2, 51_864, 448, 64, 2, 2), seed=5)
# Any text of random weights is kept, wherever it stops.
KEPT = TranscribeOptions(temperature=0.0, no_speech_threshold=None, sample_len=6)
# Of the words that the sequential mode got right, each counted where it stands: words that batches
# gain elsewhere make up for none.
# The goal is 1 %; the talk misses it (docs/limits.md), and must get no worse.
MOST_LOST = {"talk": 0.02, "clips": 0.01}
# Where the miss is stated: the mode is explained or on by default there.
PAGES = ["README.md", "docs/archives.md", "docs/limits.md", "CHANGELOG.md"]
MOST_OFF = 2  # words: how far another processor's rounding may move the count
MOST_WER = 0.1  # of the sequential mode, the goal for the talk; above it, differences are chance
SPOKEN = ["plain.flac", "numbers.flac", "two_voices.flac"]


def clip(name):
    return decode(CLIPS / f"{name}.flac")


@pytest.fixture(scope="module")
def network():
    return NumpyNetwork(SMALL)


@pytest.fixture(scope="module")
def waveforms():
    plain, numbers = clip("plain"), clip("numbers")
    return [plain[:60_000], np.concatenate([numbers, plain, numbers])]


def assert_same(ours, theirs):
    """Equal tokens; figures equal up to rounding, because a batch may sum in another order."""
    assert [s.tokens for s in ours.segments] == [s.tokens for s in theirs.segments]
    for segment, other in zip(ours.segments, theirs.segments, strict=True):
        assert (segment.start, segment.end) == pytest.approx((other.start, other.end), abs=1e-9)
        assert segment.avg_logprob == pytest.approx(other.avg_logprob, abs=1e-4)
        assert segment.no_speech_prob == pytest.approx(other.no_speech_prob, abs=1e-5)
        assert [w.word for w in segment.words] == [w.word for w in other.words]
        for word, same in zip(segment.words, other.words, strict=True):
            assert (word.start, word.end) == pytest.approx((same.start, same.end), abs=0.02)
            assert word.probability == pytest.approx(same.probability, abs=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"without_timestamps": True},
        {"word_timestamps": True, "initial_prompt": "A kettle", "carry_initial_prompt": True},
        {"beam_size": 2},
    ],
    ids=str,
)
def test_batches_say_what_windows_say_alone(network, waveforms, changes):
    options = KEPT.changed(changes)
    together = transcribe_batch(network, waveforms, options, batch_size=5)
    assert any(transcript.segments for transcript in together)
    for transcript, waveform in zip(together, waveforms, strict=True):
        (alone,) = transcribe_batch(network, [waveform], options, batch_size=1)
        assert_same(transcript, alone)


@pytest.mark.parametrize("word_timestamps", [False, True])
def test_one_window_is_what_the_sequential_mode_hears(network, word_timestamps):
    options = KEPT.changed({"word_timestamps": word_timestamps})
    waveform = clip("plain")
    one_by_one = sequential.transcribe(network, waveform, options)
    said = [segment for segment in one_by_one.segments if segment.text]
    assert said
    (batched,) = transcribe_batch(network, [waveform], options, vad=None)
    assert_same(batched, replace(one_by_one, segments=tuple(said)))


def test_batches_on_the_engine_say_what_windows_say_alone(engine):
    waveforms = [clip("plain"), clip("numbers")]
    options = KEPT.changed({"word_timestamps": True})
    together = engine.transcribe_many(waveforms, options, batch_size=2)
    for transcript, waveform in zip(together, waveforms, strict=True):
        assert_same(transcript, engine.transcribe(waveform, options, batch_size=1))


def test_nan_in_one_row_costs_no_other_row(engine, monkeypatch):
    """A recording whose log-mel is NaN shares its batches with others, on the real network."""
    waveforms = [clip("plain"), clip("numbers")[:-160], clip("numbers")]
    want = engine.transcribe_many(waveforms, KEPT, batch_size=3, vad=False)
    log_mel = engine.network.log_mel

    def overflowing(waveform, padding):
        mel = log_mel(waveform, padding)
        return mel[: len(mel)] * np.float32(np.nan) if len(waveform) == len(waveforms[1]) else mel

    monkeypatch.setattr(engine.network, "log_mel", overflowing)
    with pytest.raises(SomeFailed) as caught:
        engine.transcribe_many(waveforms, KEPT, batch_size=3, vad=False)
    assert {i: type(error) for i, error in caught.value.errors.items()} == {1: NumericError}
    assert caught.value.transcripts[1] is None
    for index in (0, 2):
        assert_same(caught.value.transcripts[index], want[index])
    monkeypatch.undo()
    for again, first in zip(engine.transcribe_many(waveforms, KEPT, vad=False), want, strict=True):
        assert_same(again, first)


@pytest.fixture(scope="module", params=["talk", "clips"])
def spoken(request):
    """Name, samples and transcript of the talk, and of the other clips one after the other."""
    described = {each["file"]: each for each in json.loads((CLIPS / "clips.json").read_text())}
    files = ["talk.flac"] if request.param == "talk" else SPOKEN * 2
    return (
        request.param,
        np.concatenate([decode(CLIPS / file) for file in files]),
        " ".join(described[file]["text"] for file in files),
    )


def places_heard(text, transcript):
    """The places in `text` of the words that the transcript has right."""
    aligned = jiwer.process_words(normalize(text), normalize(transcript.text))
    return {
        place
        for chunk in aligned.alignments[0]
        if chunk.type == "equal"
        for place in range(chunk.ref_start_idx, chunk.ref_end_idx)
    }


@pytest.mark.parametrize("vad", [True, False])
def test_few_words_are_lost_in_batches(engine, spoken, figure, request, vad):
    """A word that the sequential mode heard and batches did not is lost, whatever they gain."""
    name, waveform, text = spoken
    one_by_one = engine.transcribe(waveform, language="en", temperature=0.0)
    assert word_error_rate(text, one_by_one.text).wer <= MOST_WER
    together = engine.transcribe(waveform, language="en", temperature=0.0, batch_size=8, vad=vad)
    heard = places_heard(text, one_by_one)
    lost = heard - places_heard(text, together)
    figure(
        len(lost) / len(heard),
        MOST_LOST[name],
        f"{request.node.name}: {len(lost)} of {len(heard)} words",
    )
    if name == "talk" and vad:  # the default
        for page, (n_lost, n_heard) in stated().items():
            assert abs(n_lost - len(lost)) <= MOST_OFF, f"{page}: {len(lost)} words are lost"
            assert abs(n_heard - len(heard)) <= MOST_OFF, f"{page}: of {len(heard)} words"


def stated():
    """{page: (words lost, words heard)} of the talk, as the documents say."""
    found = {}
    for page in PAGES:
        text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
        (numbers,) = re.findall(r"(\d+) of (\d+) words are lost(?: \(([\d.]+) %)?", text)
        n_lost, n_heard = map(int, numbers[:2])
        assert numbers[2] in ("", f"{100 * n_lost / n_heard:.1f}"), page
        found[page] = n_lost, n_heard
    return found


def test_the_documents_state_one_loss():
    assert len(set(stated().values())) == 1
