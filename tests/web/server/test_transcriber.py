"""Jobs of several callers: those that wait with the same settings are decoded together."""

import threading

import pytest

from maxwhisper.audio.load import decode
from maxwhisper.engines.status import RunCancelled
from maxwhisper.errors import OptionError
from maxwhisper.options import TranscribeOptions
from maxwhisper.web.server.fair_use import FairUse, Limits
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.server.transcriber import Job, Transcriber, transcribe_each
from maxwhisper.web.server.uploads import Uploads
from tests.fakes.engine_processes import pools, wait_until
from tests.fakes.page import write_wav


@pytest.fixture
def desk(monkeypatch, tmp_path):
    """A transcriber, and the file in which the fake engine writes the sizes of its groups."""
    monkeypatch.setenv("FAKE_ENGINE_HEARS_LENGTHS", "1")
    monkeypatch.setenv("FAKE_ENGINE_GROUPS", str(tmp_path / "groups"))
    (tmp_path / "uploads").mkdir()
    with pools(monkeypatch) as make:
        uploads = Uploads(tmp_path / "uploads")
        yield Transcriber(make(), uploads, VisitorQueue(FairUse(Limits()))), tmp_path / "groups"


def start(transcriber, tmp_path, seconds, cancelled=None, **changes):
    """Run a job of that many seconds in a thread. Returns the thread and a list of its outcome."""
    clip = write_wav(tmp_path / f"{seconds}.wav", seconds)
    with clip.open("rb") as file:
        path = transcriber.uploads.adopt(
            transcriber.uploads.store(file, clip.stat().st_size, "127.0.0.1")
        )
    transcriber.uploads.check(path)
    options = TranscribeOptions(language="en").changed(changes)
    job = Job(path, True, "maxwhisper", "demo", options, "127.0.0.1")
    outcome = []

    def run():
        try:
            outcome.append(transcriber.run(job, lambda step: None, cancelled or threading.Event()))
        except (RunCancelled, OptionError) as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def together(transcriber, tmp_path, plans):
    """Run jobs of which the first has the turn, while somebody holds the device, and the others
    wait. Returns their outcomes."""
    running = []
    with transcriber.pool.device(lambda: False):
        for number, plan in enumerate(plans, 1):
            running.append(start(transcriber, tmp_path, **plan))
            wait_until(lambda number=number: len(transcriber.queue.places) == number)
    for thread, _ in running:
        thread.join(60)
    return [outcome for _, (outcome,) in running]


def test_callers_who_wait_are_decoded_together_and_get_their_own_texts(desk, tmp_path):
    transcriber, groups = desk
    lengths = [1.0, 1.5, 2.0, 2.5]
    done = together(transcriber, tmp_path, [{"seconds": seconds} for seconds in lengths])
    assert groups.read_text() == "3\n", "one had the turn, three waited"
    assert [each.n_together for each in done] == [1, 3, 3, 3]
    for seconds, each in zip(lengths, done, strict=True):
        assert each.timed.transcript.text.endswith(f" {round(16_000 * seconds)} samples")
    assert not [path for path in transcriber.uploads.root.rglob("*") if path.is_file()]


def test_other_settings_and_long_recordings_have_turns_of_their_own(desk, tmp_path):
    transcriber, groups = desk
    plans = [{"seconds": 1.0}, {"seconds": 1.1}, {"seconds": 1.2, "task": "translate"}]
    done = together(transcriber, tmp_path, [*plans, {"seconds": 31.0}])
    assert [each.n_together for each in done] == [1, 1, 1, 1]
    assert not groups.exists()


def test_who_leaves_stops_nobody_else(desk, tmp_path):
    transcriber, _ = desk
    gone = threading.Event()
    gone.set()
    plans = [{"seconds": 1.0}, {"seconds": 1.5}, {"seconds": 2.0}]
    running = []
    with transcriber.pool.device(lambda: False):
        for number, plan in enumerate(plans, 1):
            running.append(start(transcriber, tmp_path, **plan))
            wait_until(lambda number=number: len(transcriber.queue.places) == number)
        left, (error,) = leave(transcriber, tmp_path, gone)
        assert not left.is_alive()
        assert isinstance(error, RunCancelled)
    for thread, _ in running:
        thread.join(60)
    assert [outcome.n_together for _, (outcome,) in running] == [1, 2, 2]


def leave(transcriber, tmp_path, gone):
    thread, outcome = start(transcriber, tmp_path, 2.5, cancelled=gone)
    thread.join(30)
    return thread, outcome


def test_an_error_of_the_group_reaches_each_of_it(desk, tmp_path):
    transcriber, _ = desk
    plan = {"initial_prompt": "refuse"}
    done = together(transcriber, tmp_path, [{"seconds": 1 + i / 4, **plan} for i in range(3)])
    assert [type(each) for each in done] == [OptionError] * 3


@pytest.mark.parametrize("words", [False, True])
def test_the_demo_network_hears_the_same_together_as_alone(engine, words):
    talk = decode("examples/clips/talk.flac")
    waveforms = [talk[:160_000], talk[160_000:400_000], decode("examples/clips/plain.flac")]
    options = TranscribeOptions(language="en", temperature=0.0, word_timestamps=words)
    heard = dict(transcribe_each(engine, waveforms, options))
    for index, waveform in enumerate(waveforms):
        alone = engine.transcribe(waveform, options)
        assert heard[index].text == alone.text
        assert [w.word for w in heard[index].words] == [w.word for w in alone.words]
