"""Recordings in, transcripts out as they are done: together, one by one, and interrupted."""

import errno
import json
import os
import shutil
import signal
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from maxwhisper import cli
from maxwhisper.cli import output
from maxwhisper.engine import EachEngine
from maxwhisper.errors import DeviceError, NumericError, OptionError
from tests.fakes.engines import TEXT, FakeEngine

MODULE = cli.transcribe.__module__


class ManyFake(FakeEngine):
    """Transcribes many; `wrong` maps the number of a call to the error that it raises, or to the
    index of the recording that fails."""

    def __init__(self, wrong=None):
        super().__init__("many")
        self.wrong, self.groups = wrong or {}, []

    def transcribe_each(self, audios, options, on_segment=None, *, batch_size=8, vad=None):
        self.groups.append((len(audios), batch_size, vad))
        wrong = self.wrong.get(len(self.groups))
        if isinstance(wrong, BaseException):
            raise wrong
        for index, audio in enumerate(audios):
            done = super().transcribe(audio, options, lambda each, i=index: on_segment(i, each))
            yield index, NumericError("not a number") if index == wrong else done


@pytest.fixture
def use(monkeypatch):
    def install(engine, group_s=600.0):
        monkeypatch.setattr(sys.modules[MODULE], "load_engine", lambda args, name: engine)
        monkeypatch.setattr(sys.modules[MODULE], "GROUP_S", group_s)
        return engine

    return install


@pytest.fixture
def clips(tmp_path):
    """Five seconds of silence, in five files of a folder."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(5):
        with wave.open(str(folder / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(np.zeros(16_000, "<i2").tobytes())
    return folder


def lines(capfd):
    out, err = capfd.readouterr()
    return [json.loads(line) for line in out.splitlines()], err


def test_a_fake_that_transcribes_many_is_such_an_engine():
    assert isinstance(ManyFake(), EachEngine)
    assert not isinstance(FakeEngine("plain"), EachEngine)


def test_several_recordings_are_transcribed_together_in_groups(use, clips, capfd):
    engine = use(ManyFake(), group_s=2.0)
    assert cli.main([str(clips), "--json"]) == 0
    found, err = lines(capfd)
    assert [each["file"] for each in found] == [str(clips / f"{n}.wav") for n in range(5)]
    assert {each["text"] for each in found} == {TEXT}
    assert engine.groups == [(2, 8, False), (2, 8, False)]
    assert err.splitlines()[-1].startswith("5 transcribed, 0 failed; 5.0 s of audio in ")


@pytest.mark.parametrize(
    ("flags", "group"),
    [
        (["--batch_size", "4"], (5, 4, True)),
        (["--vad"], None),
        (["--vad", "--batch_size", "4"], (5, 4, True)),
        (["--word_timestamps"], (5, 8, False)),
        (["--sequential"], None),
        (["--engine", "faster-whisper"], None),
        (["--word_timestamps", "--hallucination_silence_threshold", "2"], None),
    ],
    ids=str,
)
def test_what_decides_whether_they_are_together(use, clips, flags, group):
    engine = use(ManyFake())
    assert cli.main([str(clips), *flags]) == 0
    assert engine.groups == ([] if group is None else [group])
    assert len(engine.calls) == 5


def test_a_recording_of_several_windows_has_the_text_that_it_has_alone(use, clips, capfd):
    """It is not cut, as a batch would cut it, unless batches are asked for."""
    with wave.open(str(clips / "1.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(31 * 16_000 * 2))
    engine = use(ManyFake())
    assert cli.main([str(clips), "--json"]) == 0
    assert engine.groups == [(4, 8, False)]
    found, _ = lines(capfd)
    assert [Path(each["file"]).stem for each in found] == ["0", "2", "3", "4", "1"]
    engine = use(ManyFake())
    assert cli.main([str(clips), "--batch_size", "8"]) == 0
    assert engine.groups == [(5, 8, True)]


def test_one_recording_is_transcribed_window_by_window(use, clips):
    engine = use(ManyFake())
    assert cli.main([str(clips / "1.wav")]) == 0
    assert (engine.groups, engine.modes) == ([], [(None, None)])


def test_text_for_people_names_each_recording(use, clips, capfd):
    use(ManyFake())
    assert cli.main([str(clips / "0.wav"), str(clips / "1.wav")]) == 0
    line = "[00:00.000 → 00:01.000] and so my fellow Americans\n"
    expected = f"{clips / '0.wav'}:\n{line}{clips / '1.wav'}:\n{line}"
    assert capfd.readouterr().out == expected


def test_a_name_with_a_line_break_is_one_line(use, clips, capfd):
    use(ManyFake())
    odd = shutil.copy(clips / "0.wav", clips / "a\nb \x1b[2Jc.wav")
    assert cli.main([str(odd), str(clips / "1.wav"), "-o", str(clips / "out"), "-f", "txt"]) == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[0].endswith("a\\nb \\x1b[2Jc.wav:")
    assert "a\\nb \\x1b[2Jc.txt" in err
    assert (clips / "out" / "a\nb \x1b[2Jc.txt").read_text() == f"{TEXT.strip()}\n"


@pytest.mark.parametrize(
    ("wrong", "failed", "code"),
    [
        ({1: 1}, ["1.wav"], 1),
        ({2: DeviceError("no memory")}, ["2.wav", "3.wav"], 1),
        ({1: DeviceError("no memory")}, ["0.wav", "1.wav"], 1),
    ],
)
def test_what_fails_in_a_group_does_not_stop_the_others(use, clips, capfd, wrong, failed, code):
    use(ManyFake(wrong), group_s=2.0)
    (clips / "bad.wav").write_text("no sound")
    assert cli.main([str(clips), "--json", "-f", "srt"]) == code
    found, err = lines(capfd)
    assert len(found) == 6
    broken = [Path(each["file"]).name for each in found if "error" in each]
    assert broken == [*failed, "bad.wav"]
    assert err.count("maxwhisper: error: ") == len(broken)
    assert f"{6 - len(broken)} transcribed, {len(broken)} failed" in err.splitlines()[-1]
    assert sorted(path.stem for path in clips.glob("*.srt")) == sorted(
        Path(each["file"]).stem for each in found if "error" not in each
    )


def test_an_error_in_the_middle_of_a_group_keeps_what_is_done(use, clips, capfd):
    class Broken(ManyFake):
        def transcribe_each(self, *args, **mode):
            yield next(super().transcribe_each(*args, **mode))
            raise DeviceError("no memory")

    use(Broken())
    assert cli.main([str(clips), "--json"]) == 1
    found, err = lines(capfd)
    assert [each.get("text") for each in found] == [TEXT, None, None, None, None]
    assert err.count("no memory") == 4


def test_an_option_that_no_recording_can_have_is_said_once(use, clips, capfd):
    use(ManyFake({1: OptionError("no alignment heads")}))
    assert cli.main([str(clips), "--json"]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("no alignment heads")) == ("", 1)


def test_resume_skips_what_is_written(use, clips, capfd):
    first, second = use(ManyFake()), ManyFake()
    assert cli.main([str(clips), "-f", "srt,txt"]) == 0
    (clips / "3.txt").unlink()
    use(second)
    assert cli.main([str(clips), "--resume", "-f", "srt", "--format", "txt"]) == 0
    assert (len(first.calls), len(second.calls)) == (5, 1)
    assert capfd.readouterr().err.splitlines()[-1].startswith("1 transcribed, 0 failed, 4 skipped")
    assert (clips / "3.txt").exists()


def test_formats_are_beside_the_recording_or_below_the_folder(use, clips, tmp_path):
    use(ManyFake())
    deep = clips / "deep"
    deep.mkdir()
    shutil.copy(clips / "0.wav", deep)
    assert cli.main([str(clips), "-f", "srt,vtt"]) == 0
    assert {path.suffix for path in clips.glob("0.*")} == {".wav", ".srt", ".vtt"}
    assert {path.suffix for path in deep.iterdir()} == {".wav", ".srt", ".vtt"}
    assert cli.main([str(clips), "-f", "txt", "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "deep" / "0.txt").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_keeps_what_is_done(use, clips, capfd, number, code):
    """In the middle of the second group of recordings that are decoded together."""

    class Interrupted(ManyFake):
        def transcribe_each(self, *args, **mode):
            for done in super().transcribe_each(*args, **mode):
                if (len(self.groups), done[0]) == (2, 1):
                    os.kill(os.getpid(), number)
                yield done

    use(Interrupted(), group_s=2.0)
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main([str(clips), "--json", "-f", "txt"]) == code
    assert signal.getsignal(signal.SIGTERM) is before
    found, err = lines(capfd)
    assert [Path(each["file"]).name for each in found] == ["0.wav", "1.wav", "2.wav"]
    assert sorted(path.name for path in clips.iterdir() if path.suffix != ".wav") == [
        "0.txt",
        "1.txt",
        "2.txt",
    ]
    assert "3 transcribed" in err.splitlines()[-1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "no space left")])
def test_a_file_is_the_old_or_the_new_one(tmp_path, monkeypatch, error):
    path = tmp_path / "talk.srt"
    path.write_text("old")
    write = Path.write_bytes

    def half(self, data):
        write(self, data[:2])
        raise error

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises((KeyboardInterrupt, output.OutputError)):
        output.write_file(path, "new text")
    monkeypatch.undo()
    assert [each.name for each in tmp_path.iterdir()] == ["talk.srt"]
    assert path.read_text() == "old"
    output.write_file(path, "new text")
    assert path.read_text() == "new text"


def test_a_link_stays_a_link_and_a_device_is_written_into(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    link = tmp_path / "link.txt"
    link.symlink_to("real.txt")
    output.write_file(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"
    output.write_file(Path("/dev/null"), "nothing")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("name", ["", "1.wav"])
def test_a_full_standard_output_ends_it_in_one_line(use, clips, monkeypatch, capfd, name):
    """And not with an error for every recording."""
    use(FakeEngine("plain"))
    full = os.open("/dev/full", os.O_WRONLY)
    kept = os.dup(1)
    os.dup2(full, 1)
    try:
        code = cli.main([str(clips / name)])
    finally:
        os.dup2(kept, 1)
        os.close(full)
        os.close(kept)
    assert code == 1
    assert capfd.readouterr().err.count("maxwhisper: error: ") == 1


def test_a_reader_that_went_away_ends_it(use, clips, capfd):
    use(ManyFake())
    read_end, write_end = os.pipe()
    os.close(read_end)
    kept = os.dup(1)
    os.dup2(write_end, 1)
    try:
        code = cli.main([str(clips), "--json"])
    finally:
        os.dup2(kept, 1)
        os.close(write_end)
        os.close(kept)
    assert code == 141
    assert "Traceback" not in capfd.readouterr().err
