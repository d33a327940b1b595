"""The failures that users of Whisper report most, one test each, in every mode they can occur in.

They run on a network that transcribes what the samples spell out. Elsewhere: the same short
recordings against openai-whisper (parity/test_transcribe), very long ones (test_long_audio), mel
bugs (parity/test_log_mel), 80 and 128 mels (parity/test_multilingual), the effects of NaN
(runtime/test_model).
"""

from types import SimpleNamespace

import numpy as np
import pytest

from maxwhisper.clock import StageClock
from maxwhisper.decoding.strategy import Sampling
from maxwhisper.decoding.window import WindowDecoder
from maxwhisper.errors import NumericError
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcribe import batched, sequential
from maxwhisper.whisper import Whisper
from tests.fakes.hearing_network import (
    FREE,
    FULL_SCALE,
    MULTILINGUAL,
    WORDS,
    HearingNetwork,
    heard,
    runs,
    speech,
    true_times,
)


@pytest.fixture(params=["sequential", "batched", "batched without VAD"])
def transcribe(request, monkeypatch):
    """A function transcribe(network, waveform, options) for one mode."""
    monkeypatch.setattr(batched, "speech_spans", runs)

    def run(network, waveform, options=FREE):
        if request.param == "sequential":
            return sequential.transcribe(network, waveform, options)
        model = Whisper(SimpleNamespace(alignment_heads=((0, 0),)), network)
        vad = request.param == "batched"
        return model.transcribe(waveform, options, batch_size=batched.BATCH_SIZE, vad=vad)

    return run


def numbers(transcript):
    """The words of a transcript, without remainders of 10 ms left by a rounded timestamp."""
    return [number for number, start, end in heard(transcript) if end - start > 0.021]


def silent(seconds):
    return np.zeros(int(seconds * 16_000), np.float32)


class Hallucinating(HearingNetwork):
    """Transcribes a word everywhere, but with a high no-speech probability and low confidence in
    silence."""

    def heard(self, numbers):
        return super().heard(numbers) or [self.tokenizer.timestamp_begin, WORDS[7]]

    def decoder(self, encoded):
        decoder, plain = super().decoder(encoded), self.logits

        def logits(tokens):
            found = plain(tokens)
            for row, window in zip(found, encoded, strict=True):
                if not window.any():
                    row[:] = np.where(row == 0, -15.0, row)  # hardly likelier than the others
                    row[self.tokenizer.no_speech] = 10.0
            return found

        self.logits = logits
        return decoder


def test_hallucination_on_silence(transcribe):
    transcript = transcribe(Hallucinating(), silent(70), FREE.changed({"suppress_tokens": "-1"}))
    assert (transcript.text, transcript.segments) == ("", ())


def test_hallucination_on_noise(transcribe):
    """Speech detection takes the noise for speech; the no-speech probability of the network is
    high."""
    noise = np.full(70 * 16_000, 0.5 / FULL_SCALE, np.float32)  # too quiet to be a word
    assert runs(noise, batched.PAUSES) != []
    options = FREE.changed({"suppress_tokens": "-1", "without_timestamps": True})
    assert transcribe(Hallucinating(), noise, options).segments == ()
    said = transcribe(Hallucinating(), noise, options.changed({"no_speech_threshold": None}))
    assert WORDS[7] in {token for segment in said.segments for token in segment.tokens}


class Looping(HearingNetwork):
    """Always prefers the same word; at a high temperature many others occur."""

    def logits(self, tokens):
        logits = super().logits(tokens)
        logits[:, WORDS[1:500]], logits[:, WORDS[7]] = 4.0, 5.0
        logits[:, self.tokenizer.eot] = 3.9
        return logits


def test_repetition_loops(transcribe):
    """A window that repeats itself is decoded again at a higher temperature, and does not prompt
    the next one."""
    network = Looping()
    options = FREE.changed(
        {
            "temperature": (0.0, 1.0),
            "logprob_threshold": None,
            "without_timestamps": True,
            "sample_len": 60,
        }
    )
    transcript = transcribe(network, speech([12] * 80), options)
    assert {segment.temperature for segment in transcript.segments} == {1.0}
    assert all(segment.compression_ratio < 2.4 for segment in transcript.segments)
    assert all(network.tokenizer.sot_prev not in prompt for prompt in network.prompts)


def test_times_do_not_drift(transcribe):
    waveform = speech([60] * 300)  # 5 minutes; windows of 30 s end in a pause
    said = heard(transcribe(HearingNetwork(), waveform))
    assert len(said) == 300
    for (_, _, end), (_, _, true_end) in zip(said, true_times(waveform), strict=True):
        assert abs(end - true_end) < 0.021


@pytest.mark.parametrize("tail", [0, 1, 30])
def test_the_end_is_not_missing(transcribe, tail):
    waveform = speech([20] * 120, tail=tail)
    assert numbers(transcribe(HearingNetwork(), waveform)) == list(range(1, 121))


def test_speech_is_not_dropped_when_decoding_stops_early(transcribe):
    """The decoder ends the text after a few words of a window: the rest is decoded again."""
    waveform = speech([20] * 90)
    network = HearingNetwork(max_words=6, ending="open")
    assert numbers(transcribe(network, waveform)) == list(range(1, 91))


@pytest.mark.parametrize("n_samples", [0, 1, 159, 160, 200, 201, 1600, 8000])
def test_short_recordings(transcribe, n_samples):
    transcript = transcribe(HearingNetwork(), silent(1)[:n_samples])
    assert transcript.text == ""
    assert n_samples >= 160 or not transcript.segments
    assert transcript.duration == n_samples / 16_000


class UnsureOfSilence(HearingNetwork):
    """Takes silence for English, with a probability barely above that of every other language."""

    def language_of(self, numbers):
        english = self.tokenizer.to_language_token("en")
        return super().language_of(numbers) if numbers.any() else english

    def logits(self, tokens):
        logits, english = super().logits(tokens), self.tokenizer.to_language_token("en")
        logits[np.array(tokens) == english, english] = -19.9
        return logits


def test_language_after_silence(transcribe):
    """The first 30 s are silent: windows with a higher probability decide."""
    network = UnsureOfSilence(MULTILINGUAL, languages=(("de", range(1, 100)),))
    waveform = np.concatenate([silent(40), speech([20] * 10)])
    options = {"language_detection_segments": 2, "language_detection_threshold": 0.5}
    transcript = transcribe(network, waveform, FREE.changed(options))
    assert (transcript.language, numbers(transcript)) == ("de", list(range(1, 11)))


def test_a_clip_past_the_end_ends(transcribe):
    waveform = speech([20] * 10)
    options = FREE.changed({"clip_timestamps": (1.2, 500.0)})  # from the third word on
    assert numbers(transcribe(HearingNetwork(), waveform, options)) == list(range(3, 11))


def test_beams_and_batches_do_not_mix():
    """Two windows with beams: each has its own words, and a no-speech probability of at most 1."""
    network = HearingNetwork()
    tokenizer = get_tokenizer(network.dims)
    waveforms = [speech([20] * 5), speech([30] * 5, first_number=50)]
    mels = [network.log_mel(waveform, 480_000)[:3000] for waveform in waveforms]
    encoded, options = network.encode(np.stack(mels)), FREE.changed({"beam_size": 3})
    results = WindowDecoder(network, tokenizer, options, StageClock()).decode(encoded, 2)
    for result, first in zip(results, (1, 50), strict=True):
        words = [WORDS.index(token) for token in result.tokens if token in WORDS[1:]]
        assert words == list(range(first, first + 5))
        assert 0 <= result.quality.no_speech_prob <= 1


def test_no_two_windows_draw_the_same_random_numbers(transcribe, monkeypatch):
    """Generators that begin alike would favour the same tokens in all windows."""
    drawn = []

    def pick(sampling, logits):
        drawn.extend(row[:3].tobytes() for row in sampling._random.gumbel(size=logits.shape))
        return logits.argmax(axis=1)

    monkeypatch.setattr(Sampling, "_pick", pick)
    network = HearingNetwork()
    transcribe(network, speech([20] * 100), FREE.changed({"temperature": 0.5}))
    assert sum(network.batches) > 1
    assert len(set(drawn)) == len(drawn)


def test_nan_logits_are_an_error(transcribe):
    class Overflowing(HearingNetwork):
        def logits(self, tokens):
            return super().logits(tokens) * np.float32(np.nan)

    with pytest.raises(NumericError, match="dtype='float32'"):
        transcribe(Overflowing(), speech([20] * 3), TranscribeOptions())
