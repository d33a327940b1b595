"""Measure what each stage of an archive's run costs here, with the functions that a run calls.

Out: a `ScaleRecord`. The head of a cluster is measured on a local one whose engine hears nothing.
"""

import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import maxwhisper
from maxwhisper import checkpoint, machine
from maxwhisper.archive import cluster, stages
from maxwhisper.archive.job import Job
from maxwhisper.archive.ledger import Ledger
from maxwhisper.archive.pools import Pools
from maxwhisper.archive.sources import Source
from maxwhisper.audio.decoders import Decoders
from maxwhisper.audio.load import decode
from maxwhisper.engine import ENGINES
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.options import GREEDY
from maxwhisper.transcript import Transcript
from tools.archive_scale.record import Costs, ScaleRecord
from tools.robustness.recordings import encode

TALK = Path(__file__).parents[2] / "examples" / "clips" / "talk.flac"
CODEC = "mp3, 64 kbit/s"  # speech as archives store it
N_EMPTY = 400  # recordings for the head of a cluster
_NOTHING = "nothing"
_LOAD = "import maxwhisper; maxwhisper.load({model!r}, device={device!r})"


class Nothing:
    """An engine that hears nothing, at no cost."""

    def transcribe(self, waveform: Any, *_: Any, **__: Any) -> Transcript:
        return Transcript("", "en", (), len(waveform) / SAMPLE_RATE)


def create_nothing(*_: Any, **__: Any) -> Nothing:
    return Nothing()


def measure(model: str, device: str, n_rounds: int, say: Callable[[str], None]) -> ScaleRecord:
    """Measure every cost `n_rounds` times and keep the medians."""
    described = machine.describe()
    rounds: dict[str, list[float]] = {name: [] for name in Costs.__struct_fields__}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        recording, waveform = folder / "talk.mp3", decode(TALK)
        recording.write_bytes(encode("mp3", "libmp3lame", SAMPLE_RATE, waveform[None]))
        engine = maxwhisper.load(model, device=device)
        dtype = engine.info.dtype
        job = Job("maxwhisper", model, engine.checkpoint.digest, dtype, str(folder / "out"), GREEDY)
        with Decoders() as decoders:
            stages.decode(Source(str(recording)), job, decoders)  # starts the child process
            for number in range(n_rounds):
                say(f"round {number + 1} of {n_rounds}")
                costs, output = _round(recording, job, decoders, engine)
                costs["load_s"] = _seconds(lambda: _load(model, device))
                costs["driver_s"] = _in_own_process(_driver_s, folder / str(number))
                for name, value in costs.items():
                    rounds[name].append(value)
        audio_s = len(waveform) / SAMPLE_RATE
        source_bytes = recording.stat().st_size / audio_s
        engine.close()
    medians = {name: statistics.median(values) for name, values in rounds.items()}
    spread = {name: (max(v) - min(v)) / medians[name] for name, v in rounds.items()}
    return ScaleRecord(
        machine=described,
        model=model,
        codec=CODEC,
        source_bytes=round(source_bytes, 1),
        output_bytes=round(output / audio_s, 1),
        n_rounds=n_rounds,
        costs=Costs(**{name: float(f"{value:.4g}") for name, value in medians.items()}),
        spread={name: round(value, 3) for name, value in spread.items()},
    )


def _round(
    recording: Path, job: Job, decoders: Decoders, engine: Any
) -> tuple[dict[str, float], int]:
    """Decode, transcribe and write the talk once; the costs, and the bytes that were written."""
    decoded = stages.decode(Source(str(recording)), job, decoders)
    audio_s = decoded.entry.audio_s
    start_s = time.perf_counter()
    ((_, outcome),) = stages.transcribe(engine, [decoded.waveform], job)
    transcribed_s = time.perf_counter()
    entry = stages.write(decoded, outcome, job)
    written_s = time.perf_counter()
    costs = {
        "decode_s": decoded.entry.seconds / audio_s,
        "transcribe_s": (transcribed_s - start_s) / audio_s,
        "write_s": written_s - transcribed_s,
    }
    return costs, sum(Path(file).stat().st_size for file in entry.files)


def _in_own_process(function: Callable[[Path], float], folder: Path) -> float:
    """Call a function where MAX is not loaded, as it is not in the head of a cluster: pyarrow and
    Ray crash beside it if it came first."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, folder).result()


def _driver_s(folder: Path) -> float:
    """Seconds of this process, the head of a local cluster, for each recording of a run."""
    sources = []
    (folder / "in").mkdir(parents=True)
    for number in range(N_EMPTY):
        path = folder / "in" / f"{number:04}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            file.writeframes(bytes(2 * SAMPLE_RATE))
        sources.append(Source(str(path)))
    (folder / "out").mkdir()
    job = Job(_NOTHING, _NOTHING, "0" * 64, "float32", str(folder / "out"), batch_size=None)
    ledger = Ledger(job)
    engines = {**ENGINES, _NOTHING: f"{__name__}:create_nothing"}
    loading = cluster.Loading(_NOTHING, checkpoint.DEFAULT_MODEL, engines=engines)
    cluster.connect("local")
    start_s = time.process_time()
    cluster.run(loading, job, sources, ledger, Pools("cpu", "float32", 1, 1, threads=1))
    seconds = time.process_time() - start_s
    summary = ledger.finish()
    if summary.n_done != N_EMPTY:
        raise RuntimeError(f"expected {N_EMPTY} recordings, got {summary}")
    return seconds / N_EMPTY


def _load(model: str, device: str) -> None:
    command = [sys.executable, "-c", _LOAD.format(model=model, device=device)]
    subprocess.run(command, check=True, capture_output=True)


def _seconds(function: Callable[[], None]) -> float:
    start_s = time.perf_counter()
    function()
    return time.perf_counter() - start_s
