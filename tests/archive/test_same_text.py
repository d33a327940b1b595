"""An archive has the text that each recording has alone in batches, whatever shares its batches."""

import json

import pytest

from maxwhisper.archive import one_process
from maxwhisper.archive.job import Job
from maxwhisper.archive.ledger import Ledger
from maxwhisper.archive.sources import find_all
from maxwhisper.options import TranscribeOptions
from tests.conftest import CLIPS

NAMES = ("numbers", "plain", "two_voices")


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_the_text_is_that_of_each_recording_alone(engine, clip, tmp_path, temperature):
    options = TranscribeOptions(temperature=temperature)
    alone = {name: engine.transcribe(clip(name), options, batch_size=8) for name in NAMES}
    assert all(transcript.text.strip() for transcript in alone.values())
    sources = find_all([str(CLIPS / f"{name}.flac") for name in NAMES])
    for batch_size in (1, 3, 8):
        out = tmp_path / str(batch_size)
        job = Job("maxwhisper", "demo", "", "float32", str(out), options, batch_size)
        ledger = Ledger(job)
        one_process.run(engine, job, ledger.todo(sources), ledger)
        assert ledger.finish().n_done == len(NAMES)
        for name in NAMES:
            found = json.loads((out / f"{name}.json").read_text())
            want = alone[name]
            assert found["text"] == want.text, (name, batch_size)
            tokens = [segment["tokens"] for segment in found["segments"]]
            assert tokens == [list(segment.tokens) for segment in want.segments]


def test_samples_of_a_window_do_not_depend_on_its_batch(engine, clip):
    """At a temperature above 0 the same recording twice, alone and beside another, is the same."""
    options = TranscribeOptions(temperature=1.0)
    first, other = clip(NAMES[1]), clip(NAMES[2])
    alone = dict(engine.transcribe_each([first], options, batch_size=1))[0].text
    beside = dict(engine.transcribe_each([other, first], options, batch_size=8))[1].text
    assert alone == beside
    another = TranscribeOptions(temperature=1.0, seed=1)
    assert alone != dict(engine.transcribe_each([first], another, batch_size=1))[0].text
