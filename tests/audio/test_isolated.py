"""Decoding in a child process gives the same samples and errors, and the child can be killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from maxwhisper.audio import load as audio
from maxwhisper.audio.load import decode, decode_in_child
from maxwhisper.errors import AudioError
from tests.fakes.audio_files import encode, silent_flac, wav


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "tone.flac"
    path.write_bytes(encode("flac", "flac", seconds=20))
    return path


def stand_in(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Make the child run `program` instead of the decoder."""
    monkeypatch.setattr(audio, "_CHILD", (sys.executable, "-c", program))


def test_same_samples_and_quick_to_start(recording: Path) -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        waveform = decode_in_child(recording, max_seconds=600).waveform
        seconds.append(time.perf_counter() - start)
    print(f"20 s of flac in a child: {min(seconds):.2f} s")
    np.testing.assert_array_equal(waveform, decode(recording))
    waveform[0] = 0  # the caller's own memory
    assert min(seconds) < 1.5


def test_same_errors(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    path.write_bytes(wav()[:9_000])
    with pytest.raises(AudioError, match="states 96000 bytes") as caught:
        decode_in_child(path, max_seconds=600)
    assert caught.value.code == "truncated"


def test_limit_reaches_the_child(recording: Path) -> None:
    with pytest.raises(AudioError, match=r"longer than 19\.5 s") as caught:
        decode_in_child(recording, max_seconds=19.5)
    assert caught.value.code == "too_long"
    assert len(decode_in_child(recording, max_seconds=None).waveform) == 320_000


def test_relative_path_and_odd_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-v \n$(x).wav").write_bytes(wav())
    assert len(decode_in_child("-v \n$(x).wav", max_seconds=600).waveform) == 48_000


def test_hang_is_killed(recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid_file = tmp_path / "pid"
    stand_in(
        monkeypatch,
        f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid()));time.sleep(60)",
    )
    start = time.perf_counter()
    message = r"stopped after \d\.\d s; the limit is 2 s\. .* long .* short.* busy"
    with pytest.raises(AudioError, match=message) as caught:
        decode_in_child(recording, max_seconds=600, timeout_s=2)
    assert caught.value.code == "timeout"
    assert time.perf_counter() - start < 4
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_a_cancelled_child_is_killed(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = tmp_path / "pid"
    stand_in(
        monkeypatch,
        f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid()));time.sleep(600)",
    )
    start = time.perf_counter()
    with pytest.raises(AudioError) as caught:
        decode_in_child(
            recording, max_seconds=600, timeout_s=300, cancelled=lambda: bool(_size(pid_file))
        )
    assert caught.value.code == "cancelled"
    assert time.perf_counter() - start < 300, "not by its time limit"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize("program", ["import os; os.abort()", "raise SystemExit(3)", "pass"])
def test_crash_is_an_audio_error(
    program: str, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, program)
    with pytest.raises(AudioError, match="exit status") as caught:
        decode_in_child(recording, max_seconds=600)
    assert caught.value.code == "decoder_crashed"


def test_half_an_answer_is_a_crash(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, """print('{"samples": 4}'); print("abc")""")
    with pytest.raises(AudioError) as caught:
        decode_in_child(recording, max_seconds=600)
    assert caught.value.code == "decoder_crashed"


def test_secrets_stay_with_the_parent(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    stand_in(monkeypatch, "import os; os._exit(7 if 'SECRET_TOKEN' in os.environ else 8)")
    with pytest.raises(AudioError, match="exit status 8"):
        decode_in_child(recording, max_seconds=600)


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ("bytearray(2 << 30)", "MemoryError"),
        ("open('/dev/null'); [open('/dev/null') for _ in range(40)]", "Too many open files"),
        ("print('x' * 100, file=open('big', 'w'), flush=True)", "File too large"),
    ],
)
def test_child_is_limited(program: str, outcome: str, tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="this system has no process limits")
    if sys.platform != "linux":
        pytest.skip("address-space limits are only reliable on Linux")
    script = f"import signal; from maxwhisper.audio.isolated import limit_this_process\n{program}"
    script = script.replace("\n", "\nlimit_this_process(5)\n")
    root = Path(audio.__file__).parents[2]
    child = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode != 0
    assert outcome in child.stderr


def test_ten_minutes_fit_into_the_childs_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    path.write_bytes(silent_flac(hours=1 / 6))
    assert len(decode_in_child(path, max_seconds=600).waveform) == 600 * 16_000


def test_the_child_writes_no_file_for_a_long_recording(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform != "linux":
        pytest.skip("file-size limits are only reliable on Linux")
    with_less_memory = "import sys; from maxwhisper.audio import isolated, samples; "
    with_less_memory += "samples.IN_MEMORY_SAMPLES = 1000; isolated.main(*sys.argv[1:])"
    stand_in(monkeypatch, with_less_memory)
    with pytest.raises(AudioError, match="a temporary file, which cannot be written") as caught:
        decode_in_child(recording, max_seconds=600)
    assert caught.value.code == "too_long"
