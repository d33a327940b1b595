"""Seeking, whatever the windows contain: every mode ends, and its segments are in range.

Without a network: windows contain any tokens, timestamps in any order, and words with any times. So
the loops are tested beyond what the decoding rules allow. Segments are compared with a simple twin
that splits by hand.
"""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maxwhisper.audio.vad import Span
from maxwhisper.decoding.alignment import WordTiming
from maxwhisper.decoding.window import WindowDecoder, WindowQuality, WindowResult
from maxwhisper.network.dims import Dims
from maxwhisper.options import StreamOptions, TranscribeOptions
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcribe import batched, live_window, sequential
from maxwhisper.transcribe.clips import seek_clips
from maxwhisper.transcribe.live_window import LiveWindowTranscriber
from maxwhisper.transcribe.segments import Window, window_segments
from maxwhisper.transcribe.stream import Stream
from tests.fakes.properties import properties

DIMS = Dims(1, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1)
TOKENIZER = get_tokenizer(DIMS)
BEGIN = TOKENIZER.timestamp_begin
WORDS = TOKENIZER.encode(" one two. three")
HOP = 160  # samples per frame

# The fixture that replaces `speech_spans` does so for every example.
fixture_stays = settings(
    properties,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

positions = st.sampled_from([0, 0, 1, 2, 50, 749, 1499, 1500]) | st.integers(0, 1500)
tokens = st.sampled_from(WORDS) | positions.map(lambda position: BEGIN + position)
stuck = st.lists(tokens, max_size=3).map(lambda said: [*said, BEGIN, BEGIN])  # ends where it begins
anything = (st.lists(tokens, max_size=8) | stuck).map(tuple)


@st.composite
def well_formed(draw):
    """What the rules allow: text in pairs of increasing timestamps, with any ending."""
    marks = sorted(draw(st.lists(positions, min_size=1, max_size=7, unique=True)))
    said = [BEGIN + marks[0]]
    for start, end in zip(marks[::2], marks[1::2], strict=False):
        text = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=2))
        said = [*said[:-1], BEGIN + start, *text, BEGIN + end, BEGIN + end]
    tail = draw(st.lists(st.sampled_from(WORDS), max_size=2))
    return tuple(said[:-1] if draw(st.booleans()) and len(said) > 1 else [*said, *tail])


def result(said, avg_logprob=-0.2, no_speech_prob=0.1, temperature=0.0):
    return WindowResult(said, "", WindowQuality(avg_logprob, no_speech_prob, 1.0, temperature))


def results_of(windows):
    return st.builds(
        result,
        windows,
        avg_logprob=st.sampled_from([-0.2, -2.0]),
        no_speech_prob=st.sampled_from([0.1, 0.9]),
        temperature=st.sampled_from([0.0, 0.8]),
    )


class Script:
    """The same few windows repeatedly, at most `max_windows`; words without gaps, of varying
    lengths."""

    def __init__(self, windows, lengths_s, max_windows):
        self.windows, self.lengths_s, self.max_windows = windows, lengths_s, max_windows
        self.seen = []  # windows that were encoded

    def decode(self, decoder, encoded, n_windows, prompt, seeks=None):
        n = len(self.seen)
        assert n <= self.max_windows, "no end in sight"
        return [self.windows[(n - row) % len(self.windows)] for row in range(n_windows)]

    def align(self, decoder, encoded, texts, n_frames):
        return [self._words(text, frames) for text, frames in zip(texts, n_frames, strict=True)]

    def _words(self, text, n_frames):
        at, found = 0.0, []
        for i, token in enumerate(text):
            length_s = self.lengths_s[(i + len(self.seen)) % len(self.lengths_s)]
            end = min(at + length_s, n_frames / 100)
            word = TOKENIZER.decode([token])
            found.append(WordTiming(word, [token], at, end, (0.1, 0.9)[i % 2]))
            at = end
        return found

    def padded_window(self, mel, window):
        self.seen.append(window)
        return mel[:0]


def scripts(windows):
    return st.builds(
        Script,
        st.lists(results_of(windows), min_size=1, max_size=4),
        st.lists(st.sampled_from([0.0, 0.004, 0.3, 2.5]), min_size=1, max_size=3),
        st.just(4000),
    )


@pytest.fixture(scope="module")
def play():
    """play(script): every mode decodes the script from now on; returns a network for them."""
    patch = pytest.MonkeyPatch()

    def install(script):
        patch.setattr(WindowDecoder, "decode", lambda *arguments: script.decode(*arguments))
        patch.setattr(WindowDecoder, "align", lambda *arguments: script.align(*arguments))
        for mode in (sequential, live_window):
            patch.setattr(mode, "padded_window", script.padded_window)
        return SimpleNamespace(
            dims=DIMS, alignment_heads=((0, 0),), log_mel=log_mel, encode=lambda mel: None
        )

    def log_mel(waveform, padding):
        return np.zeros(((len(waveform) + padding) // HOP, 1), np.float32)

    yield install
    patch.undo()


def split_twin(said, window):
    """(tokens, start, end) of each segment, and the next seek: by hand, token by token."""
    pieces, piece = [], []
    for before, token in zip((0, *said), said, strict=False):
        if before >= BEGIN and token >= BEGIN:  # a pair: one segment ends, another begins
            pieces.append(piece)
            piece = []
        piece.append(token)

    def at(token):
        return window.seek / 100 + max(0, token - BEGIN) * 0.02

    if not pieces:
        times = [token for token in said if token >= BEGIN]
        end = at(times[-1]) if times and times[-1] > BEGIN else window.end / 100
        return [(piece, window.seek / 100, end)], window.end
    seek = window.seek + 2 * (pieces[-1][-1] - BEGIN)
    if len(piece) > 1 and piece[-1] >= BEGIN:  # closed, and nothing opened
        pieces.append(piece)
        seek = window.end
    return [(piece, at(piece[0]), at(piece[-1])) for piece in pieces], seek


windows = st.builds(Window, st.integers(0, 9000), st.integers(1, 3000))


@properties
@given(anything, windows)
def test_segments_of_any_tokens(said, window):
    segments, seek = window_segments(result(said), window, TOKENIZER, first_id=3)
    wanted, wanted_seek = split_twin(said, window)
    assert seek == wanted_seek >= window.seek
    assert [list(segment.tokens) for segment in segments] == [piece for piece, _, _ in wanted]
    for i, (segment, (piece, start, end)) in enumerate(zip(segments, wanted, strict=True)):
        assert (segment.start, segment.end) == pytest.approx((start, end), abs=1e-9)
        assert segment.text == TOKENIZER.decode([token for token in piece if token < BEGIN])
        assert (segment.id, segment.seek) == (3 + i, window.seek)
        for time in (segment.start, segment.end):
            assert window.start_s <= time <= window.start_s + 30 + 1e-9


recordings = st.sampled_from([1, 150, 2999, 3001, 7000]) | st.integers(0, 3500)  # frames
times_s = st.sampled_from([0.0, 0.005, 1.0, 30.0, 99.0]) | st.integers(0, 3500).map((0.01).__mul__)
requests = st.builds(
    TranscribeOptions,
    word_timestamps=st.booleans(),
    condition_on_previous_text=st.booleans(),
    clip_timestamps=st.just("0") | st.lists(times_s, max_size=5).map(tuple),
)
thresholds = st.sampled_from([None, 0.0, 0.5, 3.0])


def silent(n_frames):
    return np.zeros(n_frames * HOP, np.float32)


def rises(segments):
    times = [time for segment in segments for time in (segment.start, segment.end)]
    return all(later >= earlier - 1e-9 for earlier, later in pairwise(times))


def sequentially(play, script, n_frames, options):
    network = play(script)
    return sequential.transcribe(network, silent(n_frames), options)


@properties
@given(scripts(anything), recordings, requests, thresholds)
def test_the_sequential_mode_ends(play, script, n_frames, options, threshold_s):
    """Whatever the windows contain. A window begins after the one before it, and is within its
    clip."""
    if options.word_timestamps:
        options = options.changed({"hallucination_silence_threshold": threshold_s})
    clips = seek_clips(options.clip_timestamps, n_frames)
    transcript = sequentially(play, script, n_frames, options)
    assert [segment.id for segment in transcript.segments] == list(range(len(transcript.segments)))
    assert transcript.text == "".join(segment.text for segment in transcript.segments)
    assert {window.seek for window in script.seen} >= {
        clip.start for clip in clips if clip.start < clip.end
    }
    for window in script.seen:
        assert any(clip.start <= window.seek < window.end <= clip.end for clip in clips)
    if len(clips) == 1:
        assert all(before.seek < after.seek for before, after in pairwise(script.seen))


@properties
@given(scripts(well_formed()), recordings)
def test_times_of_the_sequential_mode_rise(play, script, n_frames):
    """If windows contain what the decoding rules allow."""
    transcript = sequentially(play, script, n_frames, TranscribeOptions())
    assert rises(transcript.segments)
    for segment in transcript.segments:
        assert 0 <= segment.start <= segment.end <= segment.seek / 100 + 30 + 1e-9


spans = st.lists(st.integers(0, 40).map((100 * HOP).__mul__), max_size=8).map(sorted)


@pytest.fixture
def batches(play, monkeypatch):
    """batches(script, lengths, edges, …): recordings with speech between pairs of edges."""

    def run(script, lengths, edges, batch_size, options):
        def speech_spans(waveform, vad):
            found = [
                Span(a, min(b, len(waveform)))
                for a, b in zip(edges[::2], edges[1::2], strict=False)
            ]
            return [span for span in found if span.start < span.end]

        monkeypatch.setattr(batched, "speech_spans", speech_spans)
        return batched.transcribe_batch(
            play(script),
            [silent(n_frames) for n_frames in lengths],
            options,
            batch_size=batch_size,
            vad=None if edges is None else batched.PAUSES,
        )

    return run


several = st.lists(recordings, min_size=1, max_size=3)
batch_sizes = st.integers(1, 4)


@fixture_stays
@given(scripts(anything), several, spans | st.none(), batch_sizes, requests)
def test_the_batched_mode_ends(batches, script, lengths, edges, batch_size, options):
    """Whatever the windows contain. No segment exceeds its recording."""
    transcripts = batches(script, lengths, edges, batch_size, options)
    for n_frames, transcript in zip(lengths, transcripts, strict=True):
        for segment in transcript.segments:
            assert 0 <= segment.start <= n_frames / 100
            assert segment.end <= n_frames / 100


@fixture_stays
@given(scripts(well_formed()), several, spans | st.none(), batch_sizes)
def test_times_of_the_batched_mode_rise(batches, script, lengths, edges, batch_size):
    for transcript in batches(script, lengths, edges, batch_size, TranscribeOptions()):
        assert rises(transcript.segments)


class Voice:
    """Speech between pairs of edges."""

    def __init__(self, edges):
        self.edges, self.n, self.speech_end = edges, 0, 0

    def hear(self, samples):
        self.n += len(samples)
        for start, end in zip(self.edges[::2], self.edges[1::2], strict=False):
            if start < self.n:
                self.speech_end = min(end, self.n)


hows = st.builds(
    StreamOptions,
    hop_s=st.sampled_from([0.5, 2.0, 7.0]),
    window_s=st.sampled_from([7.0, 12.0, 30.0]),
    keep_up=st.booleans(),
)


@properties
@given(
    scripts(well_formed()) | scripts(anything),
    st.lists(st.sampled_from([1, 40_000, 100_000, 200_000]), min_size=2, max_size=6),
    hows,
    spans | st.none(),
)
def test_a_stream_ends(play, script, chunks, how, edges):
    """Words are committed in order of time, and committed words stay in the transcript."""
    window = LiveWindowTranscriber(play(script), TranscribeOptions())
    stream = Stream(window, how, None if edges is None else Voice(edges))
    committed = [word for n in chunks for word in stream.feed(np.zeros(n, np.float32)).committed]
    words = stream.finish().words
    assert words[: len(committed)] == tuple(committed)
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert all(0 < window.size <= 3000 for window in script.seen)
    assert len(script.seen) <= sum(chunks) // HOP  # each advances by at least a frame
