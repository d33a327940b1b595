"""Short recordings that are decoded together have the text that each has alone."""

import json
import sys
from pathlib import Path

from maxwhisper import cli

CLIPS = Path(__file__).parents[2] / "examples" / "clips"
SHORT = [str(CLIPS / f"{name}.flac") for name in ("plain", "numbers", "two_voices")]


def frames(segment):
    """Start and end in frames of 10 ms."""
    return round(segment["start"] * 100), round(segment["end"] * 100)


def test_text_and_times_are_those_of_each_alone(engine, monkeypatch, capfd):
    module = sys.modules[cli.transcribe.__module__]
    monkeypatch.setattr(module, "load_engine", lambda args, name: engine)
    answers = []
    for flags in ([], ["--sequential"]):
        assert cli.main([*SHORT, "--json", "--language", "en", *flags]) == 0
        documents = map(json.loads, capfd.readouterr().out.splitlines())
        answers.append(
            [
                (each["file"], each["text"], [frames(segment) for segment in each["segments"]])
                for each in documents
            ]
        )
    together, alone = answers
    assert together == alone
    assert all(len(text) > 20 for _, text, _ in together)
