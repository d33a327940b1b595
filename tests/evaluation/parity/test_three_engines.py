"""The bundled checkpoint in all three engines: one text for every clip of the project."""

import json
from pathlib import Path

import pytest

from maxwhisper.audio.load import decode
from maxwhisper.engine import load_engine
from maxwhisper.options import TranscribeOptions

CLIPS = Path(__file__).parents[3] / "examples" / "clips"
OPTIONS = TranscribeOptions(language="en", temperature=0.0)
SHORT = [clip["file"] for clip in json.loads((CLIPS / "clips.json").read_text())]
SHORT.remove("talk.flac")  # 161.5 s: `evaluate` compares it


@pytest.fixture(scope="module")
def baselines(checkpoint, tmp_path_factory):
    pytest.importorskip("whisper")
    pytest.importorskip("faster_whisper")
    cache = tmp_path_factory.mktemp("cache")
    return [
        load_engine(name, checkpoint, device="cpu", cache_dir=cache)
        for name in ("openai-whisper", "faster-whisper")
    ]


@pytest.mark.parametrize("clip", SHORT)
def test_three_engines_give_one_text(engine, baselines, clip):
    waveform = decode(CLIPS / clip)
    texts = {e.info.name: e.transcribe(waveform, OPTIONS).text for e in (engine, *baselines)}
    assert len(set(texts.values())) == 1, texts
