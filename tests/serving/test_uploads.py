"""Visitors' files: only those in the folder are touched, and none stays."""

import os
import shutil
import sys
import time

import pytest
from fake_lanes import wait_until
from fake_page import write_wav

from maxwhisper import audio
from maxwhisper.errors import AudioError
from maxwhisper.serving import uploads as uploads_module
from maxwhisper.serving.status import RunCancelled
from maxwhisper.serving.uploads import KEPT_IN_MEMORY, Uploads, make_upload_folder


@pytest.fixture
def uploads(tmp_path):
    root = tmp_path / "uploads"
    root.mkdir()
    return Uploads(root)


def send(uploads, name="voice.wav", seconds=0.5):
    """What gradio does: a new file in the place of an equal one that was there."""
    folder = uploads.root / f"hash-of-{name}"
    folder.mkdir(exist_ok=True)
    return write_wav(uploads.root / "sending", seconds).rename(folder / name)


def upload(uploads, *args, **kwargs):
    """The visitor's own name of what was sent."""
    return uploads.adopt(send(uploads, *args, **kwargs))


def test_upload_is_decoded_once_and_deleted(uploads):
    path = upload(uploads)
    waveform = uploads.waveform(path, is_upload=True)
    assert waveform.shape == (8000,)
    assert list(uploads.root.iterdir()) == []
    assert uploads.waveform(path, is_upload=True) is waveform  # a repeated run


def test_who_sends_the_same_file_has_his_own(uploads):
    mine, theirs = upload(uploads), upload(uploads)
    assert mine.name == theirs.name == "voice.wav"
    assert uploads.waveform(theirs, is_upload=True).size == 8000
    uploads.forget(theirs)  # they close the page
    assert not theirs.exists()
    assert uploads.waveform(mine, is_upload=True).size == 8000
    assert list(uploads.root.iterdir()) == []


def test_what_was_sent_anew_is_not_deleted_with_the_older_one(uploads):
    theirs, sent = upload(uploads), send(uploads)
    uploads.waveform(theirs, is_upload=True)
    assert uploads.waveform(uploads.adopt(sent), is_upload=True).size == 8000
    assert list(uploads.root.iterdir()) == []


def test_a_stop_ends_the_reading_and_the_file_can_be_run_again(uploads, monkeypatch):
    path = upload(uploads)
    with monkeypatch.context() as patch:
        patch.setattr(audio, "_CHILD", (sys.executable, "-c", "import time; time.sleep(600)"))
        with pytest.raises(RunCancelled):
            uploads.waveform(path, is_upload=True, cancelled=lambda: True)
    assert uploads.waveform(path, is_upload=True).size == 8000


def test_a_recording_to_be_forgotten_leaves_memory(uploads):
    path = upload(uploads)
    uploads.waveform(path, is_upload=True)
    uploads.forget(path)
    with pytest.raises(AudioError, match="already deleted"):
        uploads.waveform(path, is_upload=True)


def test_bundled_clip_stays_where_it_is(uploads, tmp_path):
    clip = write_wav(tmp_path / "clip.wav")
    assert uploads.waveform(clip, is_upload=False).shape == (16_000,)
    assert clip.exists()


@pytest.mark.parametrize("path", ["/etc/hostname", "/proc/self/environ", "uploads/../secret.wav"])
def test_path_outside_the_folder_is_refused(uploads, tmp_path, path):
    write_wav(tmp_path / "secret.wav")
    for use in (uploads.adopt, lambda path: uploads.waveform(path, is_upload=True)):
        with pytest.raises(AudioError, match="expected an uploaded recording"):
            use(uploads.root.parent / path)
    assert (tmp_path / "secret.wav").exists()


def test_link_that_leads_out_of_the_folder_is_refused(uploads, tmp_path):
    link = uploads.root / "voice.wav"
    link.symlink_to(write_wav(tmp_path / "secret.wav"))
    with pytest.raises(AudioError, match="expected an uploaded recording"):
        uploads.waveform(link, is_upload=True)


def test_unreadable_upload_is_deleted_too(uploads):
    sent = uploads.root / "song.mp3"
    sent.write_bytes(bytes(range(256)))
    own = uploads.adopt(sent)
    with pytest.raises(AudioError):
        uploads.waveform(own, is_upload=True)
    assert list(uploads.root.iterdir()) == []


def test_what_can_be_run_is_told_from_what_is_gone(uploads):
    good, bad = upload(uploads), upload(uploads, "blip.wav", seconds=0.05)
    assert uploads.is_there(good)
    uploads.waveform(good, is_upload=True)
    assert uploads.is_there(good), "in memory"
    with pytest.raises(AudioError):
        uploads.waveform(bad, is_upload=True)
    assert not uploads.is_there(bad)


def test_what_a_busy_machine_could_not_read_in_time_can_be_run_again(uploads, monkeypatch):
    def late(*_, **__):
        raise AudioError("timeout", "it is this machine that is busy, try again later")

    path = upload(uploads)
    with monkeypatch.context() as patch:
        patch.setattr(uploads_module, "decode_in_child", late)
        with pytest.raises(AudioError, match="try again"):
            uploads.waveform(path, is_upload=True)
    assert uploads.waveform(path, is_upload=True).size == 8000


def test_what_is_surely_no_recording_is_refused_before_it_is_run(uploads):
    sent = uploads.root / "song.mp3"
    sent.write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3")
    with pytest.raises(AudioError, match="got a PDF document: choose another file") as caught:
        uploads.adopt(sent)
    assert caught.value.code == "not_audio"
    assert list(uploads.root.iterdir()) == [sent], "no name of their own"


def test_recording_shorter_than_a_word_is_refused(uploads):
    with pytest.raises(AudioError, match=r"expected at least 0\.1 s of sound, got 0\.050 s"):
        uploads.waveform(upload(uploads, seconds=0.05), is_upload=True)


def test_recording_over_the_limit_is_refused(uploads, monkeypatch):
    monkeypatch.setattr(uploads_module, "MAX_AUDIO_S", 1.0)
    with pytest.raises(AudioError, match="got more: cut the recording, or run it on") as caught:
        uploads.waveform(upload(uploads, seconds=2.0), is_upload=True)
    assert caught.value.code == "too_long"


def test_memory_keeps_the_last_few_recordings(uploads):
    paths = [upload(uploads, f"{i}.wav") for i in range(KEPT_IN_MEMORY + 1)]
    for path in paths:
        uploads.waveform(path, is_upload=True)
    assert uploads.waveform(paths[-1], is_upload=True).size == 8000
    with pytest.raises(AudioError, match="already deleted: upload it again"):
        uploads.waveform(paths[0], is_upload=True)


def test_clips_do_not_push_a_visitors_recording_out_of_memory(uploads, tmp_path):
    own = upload(uploads)
    waveform = uploads.waveform(own, is_upload=True)
    for i in range(KEPT_IN_MEMORY):
        clip = write_wav(tmp_path / f"clip{i}.wav", 0.5)
        assert uploads.waveform(clip, is_upload=False).size == 8000
    assert uploads.waveform(own, is_upload=True) is waveform


def test_sweep_removes_what_is_old_and_nothing_else(tmp_path):
    patient, hasty = Uploads(tmp_path, time_to_live_s=60), Uploads(tmp_path, time_to_live_s=0)
    path = upload(patient)
    os.utime(path, (0, 0))  # an old file, copied here just now
    patient.sweep()
    assert path.exists()
    time.sleep(0.01)
    hasty.sweep()
    assert list(tmp_path.iterdir()) == []


def test_sweep_forgets_recordings_in_memory(tmp_path):
    uploads = Uploads(tmp_path, time_to_live_s=0)
    path = upload(uploads)
    uploads.waveform(path, is_upload=True)
    uploads.sweep()
    with pytest.raises(AudioError, match="already deleted"):
        uploads.waveform(path, is_upload=True)


def test_janitor_works_until_the_folder_is_wiped(tmp_path):
    root = tmp_path / "uploads"
    root.mkdir()
    uploads = Uploads(root, time_to_live_s=0)
    path = upload(uploads)
    uploads.start_janitor(every_s=0.02)
    deadline = time.monotonic() + 5
    while path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    uploads.wipe()
    assert not root.exists()


def test_an_error_ends_neither_the_janitor_nor_its_other_work(tmp_path, capsys):
    def fail():
        raise PermissionError("a folder of somebody else")

    uploads = Uploads(tmp_path, time_to_live_s=0)
    uploads.start_janitor(every_s=0.02, also=fail)
    try:
        for _ in range(2):
            wait_until(lambda: "somebody else" in capsys.readouterr().err)
        left = tmp_path / "left"  # in one step: the janitor sweeps all the time
        left.touch()
        wait_until(lambda: not left.exists(), timeout_s=5)
    finally:
        uploads.wipe()  # its errors would be seen by the tests that follow


def test_folder_is_private_empty_and_alone(tmp_path):
    dead = tmp_path / "maxwhisper-uploads-999999999"
    alive = tmp_path / f"maxwhisper-uploads-{os.getppid()}"
    own = tmp_path / f"maxwhisper-uploads-{os.getpid()}"
    for folder in (dead, alive, own):
        folder.mkdir()
        (folder / "voice.wav").touch()
    made = make_upload_folder(tmp_path)
    assert made == own
    assert list(made.iterdir()) == []
    assert made.stat().st_mode & 0o077 == 0
    assert alive.exists()
    assert not dead.exists()
    shutil.rmtree(made)
