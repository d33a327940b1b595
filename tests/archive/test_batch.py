"""`maxwhisper batch` from folder to files: what is written, set aside, skipped, and done again."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from maxwhisper import cli
from maxwhisper.archive.manifest import Entry
from maxwhisper.audio.load import decode
from maxwhisper.cli.batch import _Progress
from tests.fakes import archive as fakes

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "examples" / "clips" / "plain.flac"


@pytest.fixture
def clips(tmp_path):
    return fakes.make_archive(tmp_path / "clips", 12)


def run(*arguments):
    return cli.main(["batch", *map(str, arguments)])


def manifest(folder):
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    return {entry["source"]: entry for entry in map(json.loads, lines)}


def contents(folder):
    """Every file that is no record of the run."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("manifest.jsonl", "journal.jsonl", ".lock")
    }


@pytest.mark.slow
def test_threads_are_given_to_the_engine(tmp_path):
    """In a process of its own: MAX starts its threads once."""
    command = [sys.executable, "-m", "maxwhisper", "batch", str(CLIP), "-o", str(tmp_path)]
    ended = subprocess.run([*command, "--threads", "1"], capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    assert "kettle" in (tmp_path / "plain.txt").read_text()


def test_a_folder_becomes_files_and_a_manifest(teller, clips, tmp_path):
    out = tmp_path / "out"
    assert run(clips, "-o", out, "-f", "txt,srt,jsonl") == 0
    entries = manifest(out)
    recordings = sorted(clips.rglob("*.wav"))
    assert list(entries) == sorted(map(str, recordings))
    for path in recordings:
        want = fakes.transcript_of(decode(path))
        base = out / path.parent.relative_to(clips) / path.stem
        lines = base.with_suffix(".txt").read_text().splitlines()
        assert lines == [segment.text.strip() for segment in want.segments]
        segments = [
            json.loads(line) for line in base.with_suffix(".jsonl").read_text().splitlines()
        ]
        assert [(s["text"], s["start"]) for s in segments] == [
            (s.text, s.start) for s in want.segments
        ]
        entry = entries[str(path)]
        assert (entry["status"], entry["tries"], entry["language"]) == ("done", 1, "en")
        assert entry["audio_s"] == pytest.approx(want.duration, abs=1e-3)
        assert set(entry["files"]) == {
            str(base.with_suffix(f".{e}")) for e in ("txt", "srt", "jsonl")
        }


def test_what_fails_is_set_aside_and_tried_again(teller, clips, tmp_path, capfd):
    bad, loud = clips / "a" / "bad.mp3", clips / "loud.wav"
    bad.write_bytes(b"no recording at all")
    fakes.write_wav(loud, 1.0, 99, loudness=fakes.LOUD + 5000)
    out = tmp_path / "out"
    assert run(clips, "missing.wav", "-o", out) == 3
    entries = manifest(out)
    failed = {os.path.basename(s): e["code"] for s, e in entries.items() if e["status"] == "failed"}
    assert failed == {
        "bad.mp3": "not_audio",
        "loud.wav": "NumericError",
        "missing.wav": "unreadable",
    }
    assert all(e["reason"] for e in entries.values() if e["status"] == "failed")
    assert "12 transcribed, 3 set aside" in capfd.readouterr().err
    fakes.write_wav(loud, 1.0, 99)
    heard = teller.n_heard
    assert run(clips, "missing.wav", "-o", out) == 3
    assert teller.n_heard == heard + 1  # of those with samples, only the one that was mended
    entries = manifest(out)
    assert (entries[str(bad)]["status"], entries[str(bad)]["tries"]) == ("failed", 2)
    assert (entries[str(loud)]["status"], entries[str(loud)]["tries"]) == ("done", 2)


@pytest.mark.parametrize(
    ("change", "n_heard"),
    [
        (lambda clips, out: None, 0),
        (lambda clips, out: (out / "a" / "0001.txt").unlink(), 1),
        (lambda clips, out: fakes.write_wav(clips / "a" / "0001.wav", 1.0, 77), 1),
        (lambda clips, out: os.utime(clips / "a" / "0001.wav"), 0),  # read again, but the same
        (lambda clips, out: fakes.write_wav(clips / "new.wav", 1.0, 78), 1),
        (lambda clips, out: shutil.rmtree(out), 12),
    ],
    ids=["nothing", "no file", "other audio", "other time", "new", "no output"],
)
def test_a_rerun_does_what_is_missing_or_changed(teller, clips, tmp_path, change, n_heard):
    out = tmp_path / "out"
    assert run(clips, "-o", out) == 0
    change(clips, out)
    before = teller.n_heard
    assert run(clips, "-o", out) == 0
    assert teller.n_heard - before == n_heard
    fresh = tmp_path / "fresh"
    assert run(clips, "-o", fresh) == 0
    assert contents(out) == contents(fresh)


@pytest.mark.parametrize("flags", [["--beam_size", "3"], ["--vad_threshold", "0.6"]], ids=str)
def test_other_settings_are_another_text(teller, clips, tmp_path, flags):
    out = tmp_path / "out"
    assert run(clips, "-o", out) == 0
    assert run(clips, "-o", out, "--batch_size", "3") == 0  # no text depends on it
    assert teller.n_heard == 12
    assert run(clips, "-o", out, *flags) == 0
    assert teller.n_heard == 24


def test_a_template_names_the_files(teller, clips, tmp_path, capfd):
    out = tmp_path / "out"
    assert run(clips, "-o", out, "-f", "txt", "--template", "{source}/{name}.{format}") == 0
    assert (clips / "a" / "0001.wav.txt").is_file()
    assert contents(out) == {}
    for template, wrong in (("{title}.{format}", "{title}"), ("{folder}/x.{format}", "{stem}")):
        assert run(clips, "-o", out, "--template", template) == 1
        assert wrong in capfd.readouterr().err
    shutil.copy(clips / "a" / "0001.wav", clips / "a" / "0001.flac")
    assert run(clips, "-o", out) == 1
    assert "2 recordings would be written to" in capfd.readouterr().err


def test_limit_and_sample_take_some(teller, clips, tmp_path):
    assert run(clips, "-o", tmp_path / "one", "--limit", "5") == 0
    assert teller.n_heard == 5
    assert run(clips, "-o", tmp_path / "two", "--sample", "25%") == 0
    assert run(clips, "-o", tmp_path / "two", "--sample", "0.25") == 0  # the same ones
    assert teller.n_heard == 8


@pytest.mark.parametrize("name", ["openai-whisper", "faster-whisper"])
def test_the_other_engines(teller, clips, tmp_path, name):
    out = tmp_path / "out"
    assert run(clips, "-o", out, "--engine", name) == 0
    assert len(manifest(out)) == 12


def test_a_dry_run_writes_nothing(teller, clips, tmp_path, capfd):
    out = tmp_path / "out"
    assert run(clips, "-o", out, "--dry-run", "--json") == 0
    found = json.loads(capfd.readouterr().out)
    seconds = sum(len(decode(path)) / 16_000 for path in clips.rglob("*.wav"))
    assert found["n_recordings"] == 12
    assert found["hours"] * 3600 == pytest.approx(seconds, rel=0.01)
    assert found["run_hours"] == pytest.approx(found["hours"] / found["rtfx"])
    assert not out.exists()
    assert teller.n_heard == 0


def test_a_second_run_into_the_same_folder_is_refused(teller, clips, tmp_path, capfd):
    from maxwhisper.archive.manifest import only_run

    with only_run(str(tmp_path / "out")):
        assert run(clips, "-o", tmp_path / "out") == 1
    assert "another run writes into" in capfd.readouterr().err


def test_an_interrupt_keeps_what_is_done(teller, clips, tmp_path, monkeypatch):
    out = tmp_path / "out"
    transcribe = teller.transcribe

    def interrupted(*args, **mode):
        if teller.n_heard == 6:
            raise KeyboardInterrupt
        return transcribe(*args, **mode)

    teller.transcribe = interrupted
    assert run(clips, "-o", out, "--batch_size", "2") == 130
    teller.transcribe = transcribe
    assert run(clips, "-o", out) == 0
    assert teller.n_heard == 12
    assert len(manifest(out)) == 12


def test_a_file_that_crashes_the_decoder_is_set_aside(teller, clips, tmp_path, monkeypatch):
    from maxwhisper.audio import decoders
    from tests.fakes.audio_files import FRAGILE

    monkeypatch.setattr(decoders, "_PROGRAM", FRAGILE)
    shutil.copy(clips / "a" / "0001.wav", clips / "crash.wav")
    for tries in (1, 2):
        assert run(clips, "-o", tmp_path / "out") == 3
        entry = manifest(tmp_path / "out")[str(clips / "crash.wav")]
        assert (entry["code"], entry["tries"]) == ("decoder_crashed", tries)
    assert teller.n_heard == 12


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_bar_of_recordings(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = _Progress()
    shown.start(4, 6)
    for number in range(3):
        shown.add(Entry(f"/{number}.wav", "done", audio_s=1800.0))
    shown._bar.refresh()
    drawn = terminal.getvalue()
    shown.close()
    assert "2 of 6 recordings are done: 4 to do" in drawn
    assert "3/4" in drawn
    assert "1.50 h of audio" in drawn


def test_a_log_has_a_line_every_half_minute(monkeypatch, capfd):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shown = _Progress()
    shown.start(8, 8)
    lines = []
    for number, failed in enumerate(["", "", "broken", ""]):
        now[0] += 20
        shown.add(Entry(f"/{number}.wav", "done", audio_s=600.0, reason=failed))
        lines.append(capfd.readouterr().err)
    assert [line.count(" of 8 recordings") for line in lines] == [0, 1, 0, 1]
    assert lines[1] == (
        "2 of 8 recordings, 0.33 h of audio, 30.0× real time, 0 set aside, about 2 min left\n"
    )
    assert "/2.wav: broken" in lines[2]
    assert "4 of 8 recordings, 0.67 h of audio, 30.0× real time, 1 set aside" in lines[3]
    assert "about 80.0 s left" in lines[3]
