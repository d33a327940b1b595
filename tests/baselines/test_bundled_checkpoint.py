"""The bundled checkpoint in both baselines, unchanged: their own loaders, the same text."""

from pathlib import Path

import pytest

from maxwhisper.audio.load import decode
from maxwhisper.checkpoint import load
from maxwhisper.checkpoint.convert import save_openai_pt
from maxwhisper.engine import load_engine
from maxwhisper.options import TranscribeOptions

CLIP = Path(__file__).parents[2] / "examples" / "clips" / "plain.flac"
OPTIONS = TranscribeOptions(language="en", temperature=0.0)

whisper = pytest.importorskip("whisper")
pytest.importorskip("faster_whisper")


@pytest.fixture(scope="module")
def checkpoint():
    return load("demo")


@pytest.fixture(scope="module")
def transcripts(checkpoint, tmp_path_factory):
    """What each baseline makes of one clip, by name."""
    cache, waveform = tmp_path_factory.mktemp("cache"), decode(CLIP)
    return {
        name: load_engine(name, checkpoint, device="cpu", cache_dir=cache).transcribe(
            waveform, OPTIONS
        )
        for name in ("openai-whisper", "faster-whisper")
    }


def test_both_baselines_say_the_same(transcripts):
    ours, theirs = (
        [(s.text, s.tokens) for s in transcript.segments if s.text.strip()]  # faster drops the rest
        for transcript in transcripts.values()
    )
    assert ours
    assert ours == theirs, "a difference has to be explained in the model card"


def test_openai_whispers_own_loader_reads_our_pt(checkpoint, transcripts, tmp_path):
    save_openai_pt(checkpoint, tmp_path / "demo.pt")
    model = whisper.load_model(str(tmp_path / "demo.pt"), device="cpu")
    assert not model.is_multilingual
    result = model.transcribe(decode(CLIP), language="en", temperature=0, fp16=False)
    assert result["text"] == transcripts["openai-whisper"].text
