"""Visitors' files: only files in the folder are used, and all are deleted."""

import os
import shutil
import sys
import time

import numpy as np
import pytest

from maxwhisper.audio import load as audio
from maxwhisper.engines.status import RunCancelled
from maxwhisper.errors import AudioError
from maxwhisper.web.server import uploads as uploads_module
from maxwhisper.web.server.uploads import MAX_IN_MEMORY, Uploads, make_upload_folder
from maxwhisper.web.ui.recorder import taken
from tests.fakes.audio_files import encode, tone, wav
from tests.fakes.engine_processes import wait_until
from tests.fakes.page import write_wav


@pytest.fixture
def uploads(tmp_path):
    root = tmp_path / "uploads"
    root.mkdir()
    return Uploads(root)


def send(uploads, name="voice.wav", seconds=0.5):
    """Store a file as gradio does: it replaces an equal file."""
    folder = uploads.root / f"hash-of-{name}"
    folder.mkdir(exist_ok=True)
    return write_wav(uploads.root / "sending", seconds).rename(folder / name)


def upload(uploads, *args, **kwargs):
    """The visitor's private path of an uploaded file."""
    return uploads.adopt(send(uploads, *args, **kwargs))


def test_upload_is_decoded_once_and_deleted(uploads):
    path = upload(uploads)
    waveform = uploads.waveform(path, is_upload=True)
    assert waveform.shape == (8000,)
    assert list(uploads.root.iterdir()) == []
    assert uploads.waveform(path, is_upload=True) is waveform  # a repeated run


def test_visitors_who_send_the_same_file_have_their_own_paths(uploads):
    mine, theirs = upload(uploads), upload(uploads)
    assert mine.name == theirs.name == "voice.wav"
    assert uploads.waveform(theirs, is_upload=True).size == 8000
    uploads.forget(theirs)  # they close the page
    assert not theirs.exists()
    assert uploads.waveform(mine, is_upload=True).size == 8000
    assert list(uploads.root.iterdir()) == []


def test_a_file_sent_again_is_not_deleted_with_the_older_one(uploads):
    theirs, sent = upload(uploads), send(uploads)
    uploads.waveform(theirs, is_upload=True)
    assert uploads.waveform(uploads.adopt(sent), is_upload=True).size == 8000
    assert list(uploads.root.iterdir()) == []


def test_a_stop_ends_decoding_and_the_file_can_be_run_again(uploads, monkeypatch):
    path = upload(uploads)
    with monkeypatch.context() as patch:
        patch.setattr(audio, "_CHILD", (sys.executable, "-c", "import time; time.sleep(600)"))
        with pytest.raises(RunCancelled):
            uploads.waveform(path, is_upload=True, cancelled=lambda: True)
    assert uploads.waveform(path, is_upload=True).size == 8000


def test_a_forgotten_recording_leaves_memory(uploads):
    path = upload(uploads)
    uploads.waveform(path, is_upload=True)
    uploads.forget(path)
    with pytest.raises(AudioError, match="was deleted"):
        uploads.waveform(path, is_upload=True)


def test_bundled_clip_stays_where_it_is(uploads, tmp_path):
    clip = write_wav(tmp_path / "clip.wav")
    assert uploads.waveform(clip, is_upload=False).shape == (16_000,)
    assert clip.exists()


@pytest.mark.parametrize("path", ["/etc/hostname", "/proc/self/environ", "uploads/../secret.wav"])
def test_path_outside_the_folder_is_refused(uploads, tmp_path, path):
    write_wav(tmp_path / "secret.wav")
    for use in (uploads.adopt, lambda path: uploads.waveform(path, is_upload=True)):
        with pytest.raises(AudioError, match="This is not an upload"):
            use(uploads.root.parent / path)
    assert (tmp_path / "secret.wav").exists()


def test_a_link_out_of_the_folder_is_refused(uploads, tmp_path):
    link = uploads.root / "voice.wav"
    link.symlink_to(write_wav(tmp_path / "secret.wav"))
    with pytest.raises(AudioError, match="This is not an upload"):
        uploads.waveform(link, is_upload=True)


def test_unreadable_upload_is_deleted_too(uploads):
    sent = uploads.root / "song.mp3"
    sent.write_bytes(bytes(range(256)))
    own = uploads.adopt(sent)
    with pytest.raises(AudioError):
        uploads.waveform(own, is_upload=True)
    assert list(uploads.root.iterdir()) == []


def test_a_deleted_recording_is_not_available(uploads):
    good, bad = upload(uploads), upload(uploads, "blip.wav", seconds=0.05)
    assert uploads.is_available(good)
    uploads.waveform(good, is_upload=True)
    assert uploads.is_available(good), "in memory"
    with pytest.raises(AudioError):
        uploads.waveform(bad, is_upload=True)
    assert not uploads.is_available(bad)


def test_after_a_timeout_the_recording_can_be_run_again(uploads, monkeypatch):
    def late(*_, **__):
        raise AudioError("timeout", "it is this machine that is busy, try again later")

    path = upload(uploads)
    with monkeypatch.context() as patch:
        patch.setattr(uploads_module, "decode_in_child", late)
        with pytest.raises(AudioError, match="try again"):
            uploads.waveform(path, is_upload=True)
    assert uploads.waveform(path, is_upload=True).size == 8000


@pytest.mark.parametrize("folder", ["", "hash-of-it"])
def test_a_file_that_is_no_recording_is_refused_and_gone_at_once(uploads, folder):
    sent = uploads.root / folder / "song.mp3"
    sent.parent.mkdir(exist_ok=True)
    sent.write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3")
    with pytest.raises(AudioError, match=r"is a PDF document, not audio\. Choose") as caught:
        uploads.adopt(sent)
    assert caught.value.code == "not_audio"
    assert list(uploads.root.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (encode("flac", "flac")[:20_000], "truncated"),
        (np.random.default_rng(1).bytes(5_000), "not_audio"),
        (encode("mp4", "", with_picture=True, with_sound=False), "no_audio_stream"),
        (wav(tone(16_000, 3.0)), "too_long"),
        (wav(tone(16_000, 0.01)), "too_short"),
    ],
    ids=["empty", "cut", "noise", "video only", "too long", "too short"],
)
def test_a_bad_recording_is_refused_and_gone_on_arrival(uploads, monkeypatch, content, code):
    monkeypatch.setattr(uploads_module, "MAX_AUDIO_S", 2.0)
    sent = uploads.root / "hash" / "voice.wav"
    sent.parent.mkdir()
    sent.write_bytes(content)
    player, own, problem = taken(uploads, str(sent))
    assert (player, own) == (None, None)
    assert 'role="alert"' in problem
    assert list(uploads.root.iterdir()) == []
    sent.parent.mkdir()
    sent.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        uploads.check(uploads.adopt(sent))
    assert caught.value.code == code


def test_a_recording_is_decoded_once_on_arrival_and_deleted_when_it_is_run(uploads, monkeypatch):
    _, own, problem = taken(uploads, str(send(uploads)))
    assert (own.is_file(), problem) == (True, "")
    monkeypatch.setattr(uploads_module, "decode_in_child", None)  # nothing is decoded again
    assert uploads.waveform(own, is_upload=True).size == 8000
    assert list(uploads.root.iterdir()) == []


def test_a_checked_recording_that_left_memory_is_decoded_again(uploads):
    paths = [upload(uploads, f"{i}.wav") for i in range(MAX_IN_MEMORY + 1)]
    assert [uploads.check(path) for path in paths] == [""] * len(paths)
    for path in paths:
        assert uploads.waveform(path, is_upload=True).size == 8000
    assert list(uploads.root.iterdir()) == []


def test_a_damaged_recording_is_kept_and_says_what_is_lost(uploads):
    sent = uploads.root / "voice.webm"
    data = encode("webm", "libopus", seconds=10)
    sent.write_bytes(data[:40_000] + bytes(2_000) + data[42_000:])
    _, own, problem = taken(uploads, str(sent))
    assert "s in the middle could not be decoded" in problem
    assert "no engine hears that part" in problem
    assert "in the middle" in uploads.recording(own, is_upload=True).warning


def test_recording_shorter_than_a_word_is_refused(uploads):
    with pytest.raises(AudioError, match=r"has 0\.050 s of audio; the minimum is 0\.1 s"):
        uploads.waveform(upload(uploads, seconds=0.05), is_upload=True)


def test_recording_over_the_limit_is_refused(uploads, monkeypatch):
    monkeypatch.setattr(uploads_module, "MAX_AUDIO_S", 1.0)
    with pytest.raises(AudioError, match="longer than") as caught:
        uploads.waveform(upload(uploads, seconds=2.0), is_upload=True)
    assert caught.value.code == "too_long"


def test_memory_keeps_the_last_few_recordings(uploads):
    paths = [upload(uploads, f"{i}.wav") for i in range(MAX_IN_MEMORY + 1)]
    for path in paths:
        uploads.waveform(path, is_upload=True)
    assert uploads.waveform(paths[-1], is_upload=True).size == 8000
    with pytest.raises(AudioError, match=r"was deleted\. Upload it again"):
        uploads.waveform(paths[0], is_upload=True)


def test_clips_do_not_push_a_visitors_recording_out_of_memory(uploads, tmp_path):
    own = upload(uploads)
    waveform = uploads.waveform(own, is_upload=True)
    for i in range(MAX_IN_MEMORY):
        clip = write_wav(tmp_path / f"clip{i}.wav", 0.5)
        assert uploads.waveform(clip, is_upload=False).size == 8000
    assert uploads.waveform(own, is_upload=True) is waveform


def test_sweeping_deletes_old_files_only(tmp_path):
    patient, hasty = Uploads(tmp_path, time_to_live_s=60), Uploads(tmp_path, time_to_live_s=0)
    path = upload(patient)
    os.utime(path, (0, 0))  # an old file, copied here just now
    patient.sweep()
    assert path.exists()
    time.sleep(0.01)
    hasty.sweep()
    assert list(tmp_path.iterdir()) == []


def test_sweeping_drops_recordings_from_memory(tmp_path):
    uploads = Uploads(tmp_path, time_to_live_s=0)
    path = upload(uploads)
    uploads.waveform(path, is_upload=True)
    uploads.sweep()
    with pytest.raises(AudioError, match="was deleted"):
        uploads.waveform(path, is_upload=True)


def test_sweeping_goes_on_until_the_folder_is_wiped(tmp_path):
    root = tmp_path / "uploads"
    root.mkdir()
    uploads = Uploads(root, time_to_live_s=0)
    path = upload(uploads)
    uploads.start_sweeping(every_s=0.02)
    deadline = time.monotonic() + 5
    while path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    uploads.wipe()
    assert not root.exists()


def test_sweeping_begins_at_start(tmp_path):
    uploads = Uploads(tmp_path, time_to_live_s=0)
    left = tmp_path / "left"
    left.touch()
    time.sleep(0.01)
    tasks = []
    uploads.start_sweeping(every_s=3600, also=lambda: tasks.append(1))
    wait_until(lambda: tasks == [1] and not left.exists(), timeout_s=5)
    uploads.wipe()


def test_an_error_ends_neither_the_sweeping_nor_its_other_work(tmp_path, caplog):
    def fail():
        raise PermissionError("a folder of somebody else")

    uploads = Uploads(tmp_path, time_to_live_s=0)
    uploads.start_sweeping(every_s=0.02, also=fail)
    try:
        for _ in range(2):
            caplog.clear()
            wait_until(lambda: "somebody else" in caplog.text)
        left = tmp_path / "left"  # in one step: the thread sweeps all the time
        left.touch()
        wait_until(lambda: not left.exists(), timeout_s=5)
    finally:
        uploads.wipe()  # later tests would see its errors


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
