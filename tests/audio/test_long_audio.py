"""Hours of audio through decoder and log-mel, in a separate process: memory stays flat."""

import json
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
MB = 1_000_000
# argv: wav file. Out: JSON. `before` is the memory of the loaded model; the peak includes loading.
PROGRAM = """
import json, resource, sys, time
import maxwhisper
from maxwhisper.audio.load import decode
from maxwhisper.network.dims import N_FRAMES, N_SAMPLES

network = maxwhisper.load().network
before = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
started = time.perf_counter()
waveform = decode(sys.argv[1])
mel = network.log_mel(waveform, N_SAMPLES)
for start in range(0, len(mel) - N_FRAMES, N_FRAMES):
    frames = mel[start : start + N_FRAMES]
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
peak = int(status["VmHWM"].split()[0]) * 1024  # ru_maxrss would count the parent before exec()
seconds = time.perf_counter() - started
print(json.dumps([len(waveform), frames.shape, before, peak, seconds]))
"""


def write_noise(path: Path, hours: int) -> None:
    """Write a wav file that repeats one minute of noise."""
    minute = np.random.default_rng(0).normal(0, 3000, 60 * 16_000).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        for _ in range(60 * hours):
            file.writeframesraw(minute)


@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc")
@pytest.mark.parametrize(
    ("hours", "max_mb"), [(1, 300), pytest.param(10, 300, marks=pytest.mark.slow)]
)
def test_memory_is_flat(hours, max_mb, engine, figure, tmp_path):
    """The `engine` fixture compiles the graphs before the process is measured."""
    path = tmp_path / "long.wav"
    write_noise(path, hours)
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    path.unlink()  # pytest keeps the folder, and this is 115 MB an hour
    assert child.returncode == 0, child.stderr
    n_samples, shape, before, peak, seconds = json.loads(child.stdout)
    assert (n_samples, shape) == (hours * 3600 * 16_000, [3000, engine.dims.n_mels])
    figure((peak - before) / MB, max_mb, f"MB above the model, {hours} h of audio, {seconds:.0f} s")
