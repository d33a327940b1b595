"""The suite `archives`: a thousand recordings, one process and a cluster, killed and undisturbed.

The recordings are made of what is said in the bundled clips, and some are broken. The command line
transcribes them as a user would; files, manifest and table of each run are compared.
"""

import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import librosa
import numpy as np

from tools.robustness.page import ROOT
from tools.robustness.processes import children, held_mib, read
from tools.robustness.recordings import CLIPS, RATE, Samples, clips, pcm16, wav
from tools.robustness.suite import Case, SuiteRun, Unexpected

BAR = (
    "1,000 recordings of 1 s to 20 min, 2 % of them broken: complete, the same and nothing twice "
    "after kills of the process, of workers and of a node; a cluster with one worker loses at most "
    "5 % of the throughput; 200 short files at least 2.5 times as fast as one by one; memory flat "
    "within 5 % over an hour of audio"
)
N_RECORDINGS, N_SHORT_RUN = 1000, 30
N_LONG, N_VERY_LONG = 15, 5  # of 1 to 5 minutes, and of 20
SHORTEST_S, SHORT_S, MINUTES_S, LONGEST_S = 1.0, 20.0, (60.0, 300.0), 1200.0
BROKEN = (b"", b"not a recording at all", b"RIFF\x24\x00\x00\x00WAVEfmt ")
ONE_IN = 50  # recordings is broken
N_KILLS = 5  # of the process
N_SHORT_FILES, LEAST_GAIN = 200, 2.5
MAX_LOSS, MAX_GROWTH = 0.05, 0.05
MEMORY_AUDIO_S, MEMORY_FILE_S = 5400.0, 30.0  # the first half hour warms up
WAIT_S = 1800.0
SET_ASIDE = 3  # the exit code


def cases(run: SuiteRun) -> Iterator[Case]:
    with tempfile.TemporaryDirectory(prefix="robustness-") as folder:
        archive = Archive(Path(folder), run)
        yield Case("undisturbed", "every recording once", archive.run_calmly)
        yield Case("killed", "process, again and again", archive.run_killed)
        yield Case("killed", "a rerun has nothing to do", archive.run_again)
        yield Case("cluster", "three nodes, undisturbed", partial(archive.run_cluster, "cluster"))
        if run.is_short:  # it ends before anything can be killed
            return
        disturbed = partial(archive.run_cluster, "disturbed", is_disturbed=True)
        yield Case("cluster", "workers and a node killed", disturbed)
        yield Case("speed", "a cluster with one worker", archive.compare_one_worker)
        yield Case("speed", "a cluster with two workers", archive.compare_two_workers)
        yield Case("speed", f"{N_SHORT_FILES} short files", archive.compare_short_files)
        yield Case("memory", "an hour of audio", archive.watch_memory)


@dataclass
class Archive:
    """The recordings, made at the first use, and the outputs of every run, in `folder`."""

    folder: Path
    run: SuiteRun
    texts: dict[str, bytes] = field(default_factory=dict)  # of the undisturbed run

    @property
    def clips(self) -> Path:
        clips = self.folder / "clips"
        if not clips.exists():
            n = N_SHORT_RUN if self.run.is_short else N_RECORDINGS
            make_recordings(clips, lengths(n, is_short=self.run.is_short), range(7, n, ONE_IN))
        return clips

    def run_calmly(self) -> None:
        n_broken = len(range(7, N_SHORT_RUN if self.run.is_short else N_RECORDINGS, ONE_IN))
        summary = finished(start(self.clips, self.folder / "calm"), SET_ASIDE)
        entries = manifest(self.folder / "calm")
        self.run.measure("hours of audio", sum(each["audio_s"] for each in entries) / 3600)
        expect("recordings in the manifest", len(entries), len(list(self.clips.iterdir())))
        expect("recordings set aside", summary["n_failed"], n_broken)
        unexplained = [e["source"] for e in entries if e["status"] == "failed" and not e["reason"]]
        expect("recordings set aside without a reason", unexplained, [])
        expect("texts", len(files(self.folder / "calm", ".txt")), len(entries) - n_broken)
        silent = [name for name, text in files(self.folder / "calm", ".txt").items() if not text]
        if len(silent) > len(entries) / 10:
            raise Unexpected(f"expected words in nine of ten texts, got none in {len(silent)}")

    def run_killed(self) -> None:
        out, chance = self.folder / "killed", random.Random(3)
        n_lines = len(list(self.clips.iterdir()))
        n_kills = 0
        for number in range(N_KILLS):
            process = start(self.clips, out)
            enough = n_lines * (number + chance.random()) / (N_KILLS + 1)
            while process.poll() is None and lines(out) < enough:
                time.sleep(0.01)
            kill(process)
            n_kills += process.returncode == -signal.SIGKILL
        if n_kills < N_KILLS - 1:
            raise Unexpected(f"expected {N_KILLS} kills before the end, got {n_kills}")
        finished(start(self.clips, out), SET_ASIDE)
        self._check_same("killed")

    def run_again(self) -> None:
        before = written_at(self.folder / "killed")
        finished(start(self.clips, self.folder / "killed"), SET_ASIDE)
        expect("files written again", changed(before, written_at(self.folder / "killed")), [])

    def run_cluster(self, name: str, is_disturbed: bool = False) -> None:
        out = self.folder / name
        with ray_nodes(3) as (address, remove_node):
            flags = ("--ray", address, "--threads", "1", "--devices", "2")
            process = start(self.clips, out, *flags)
            if is_disturbed:
                disturb(process, out, len(list(self.clips.iterdir())), remove_node)
            finished(process, SET_ASIDE)
        self._check_same(name)

    def _check_same(self, name: str) -> None:
        """Raise `Unexpected` unless the run called `name` has written what the calm one has."""
        calm, other = self.folder / "calm", self.folder / name
        for ending in (".txt", ".json"):
            expected, found = files(calm, ending), files(other, ending)
            expect(f"names of the {ending} files", sorted(found), sorted(expected))
            differing = [each for each in expected if alike(expected[each]) != alike(found[each])]
            expect(f"{ending} files that differ", differing, [])
        kept = ("source", "status", "code", "reason", "key", "audio_s", "language")
        outcomes = [
            [{k: entry[k] for k in kept if k in entry} for entry in manifest(folder)]
            for folder in (calm, other)
        ]
        expect("outcomes in the manifest", outcomes[1], outcomes[0])
        rows = [table(folder) for folder in (calm, other)]
        expect("rows of the table that stand twice", len(rows[1]) - len(set(rows[1])), 0)
        expect("rows of the table", rows[1], rows[0])

    def compare_one_worker(self) -> None:
        """Both with one thread that transcribes; the other processor decodes. From the first
        recording that is done to the last: what starts once is not throughput."""
        out = self.folder / "one"
        alone = throughput(start(self.clips, out, "--threads", "1", formats="txt,json"), out)
        with ray_nodes(1) as (address, _):
            flags = ("--ray", address, "--threads", "1", "--devices", "1")
            out = self.folder / "one-worker"
            cluster = throughput(start(self.clips, out, *flags, formats="txt,json"), out)
        self.run.measure("recordings per second, one process with one thread", alone)
        self.run.measure("recordings per second, a cluster with one worker", cluster)
        if cluster < (1 - MAX_LOSS) * alone:
            raise Unexpected(f"expected {alone:.1f} recordings per second, got {cluster:.1f}")

    def compare_two_workers(self) -> None:
        """No bar: how much the second processor brings, which decodes as well."""
        with ray_nodes(2) as (address, _):
            flags = ("--ray", address, "--threads", "1", "--devices", "2")
            out = self.folder / "two-workers"
            two = throughput(start(self.clips, out, *flags, formats="txt,json"), out)
        self.run.measure("recordings per second, a cluster with two workers", two)

    def compare_short_files(self) -> None:
        """The command line with all files, its start included, against one file after another with
        a model that is loaded before the clock starts, which is how the command line worked."""
        clips = self.folder / "short"
        make_recordings(clips, [1 + 4 * (i % 17) / 17 for i in range(N_SHORT_FILES)])
        paths = sorted(map(str, clips.iterdir()))
        code = (
            "import sys, time, maxwhisper; model = maxwhisper.load('demo'); "
            "model.transcribe(sys.argv[1], language='en'); start = time.perf_counter(); "
            "[model.transcribe(path, language='en') for path in sys.argv[1:]]; "
            "print(time.perf_counter() - start)"
        )
        gains = []
        for _ in range(3):
            one_by_one = subprocess.run(
                [sys.executable, "-c", code, *paths], cwd=ROOT, capture_output=True, check=True
            )
            start_s = time.perf_counter()
            together = [sys.executable, "-m", "maxwhisper", "transcribe", *paths]
            subprocess.run(
                [*together, "--language", "en", "--output_dir", str(self.folder / "written")],
                cwd=ROOT,
                capture_output=True,
                check=True,
            )
            gains.append(float(one_by_one.stdout) / (time.perf_counter() - start_s))
        gain = statistics.median(gains)
        self.run.measure(f"{N_SHORT_FILES} files: gain, with the command's start counted", gain)
        if gain < LEAST_GAIN:
            raise Unexpected(f"expected {LEAST_GAIN:g} times as fast, got {gain:.2f} {gains}")

    def watch_memory(self) -> None:
        clips = self.folder / "hour"
        make_recordings(clips, [MEMORY_FILE_S] * int(MEMORY_AUDIO_S / MEMORY_FILE_S))
        out = self.folder / "hour-out"
        process, held = start(clips, out, formats="txt,json"), []
        while process.poll() is None:
            held.append((lines(out), resident_mib(process.pid)))
            time.sleep(0.05)
        finished(process, 0)
        n = MEMORY_AUDIO_S / MEMORY_FILE_S
        thirds = [[mib for done, mib in held if i <= 3 * done / n < i + 1] for i in range(3)]
        if not all(thirds):
            raise Unexpected(f"expected samples in each third of the run, got {thirds}")
        second, third = max(thirds[1]), max(thirds[2])
        self.run.measure("MiB, the process and its decoders, second half hour", second)
        self.run.measure("MiB, the process and its decoders, third half hour", third)
        if third > (1 + MAX_GROWTH) * second:
            raise Unexpected(f"expected at most {second:.0f} MiB and 5 %, got {third:.0f} MiB")


def lengths(n: int, *, is_short: bool) -> list[float]:
    """Seconds of `n` recordings: most are short, some take minutes."""
    chance = random.Random(1)
    n_long = 0 if is_short else N_LONG + N_VERY_LONG
    seconds = [chance.uniform(SHORTEST_S, SHORT_S) for _ in range(n - n_long)]
    if not is_short:
        seconds += [chance.uniform(*MINUTES_S) for _ in range(N_LONG)] + [LONGEST_S] * N_VERY_LONG
    chance.shuffle(seconds)
    return seconds


def make_recordings(folder: Path, seconds: Sequence[float], broken: Sequence[int] = ()) -> None:
    """Write WAV files of these lengths: what is said in the clips, in random order. Those whose
    number is in `broken` are no recordings."""
    folder.mkdir()
    spoken, chance = utterances(), random.Random(2)
    for number, length in enumerate(seconds):
        path = folder / f"{number:04d}.wav"
        if number in broken:
            path.write_bytes(BROKEN[number // ONE_IN % len(BROKEN)])
            continue
        parts, n = [], 0
        while n < length * RATE:
            parts.append(chance.choice(spoken))
            n += len(parts[-1])
        path.write_bytes(wav(pcm16(np.concatenate(parts)[: int(length * RATE)])))


def utterances() -> list[Samples]:
    """What is said in the clips, each with the pause after it."""
    found = []
    for clip in clips():
        samples, rate = librosa.load(CLIPS / clip["file"], sr=None)
        starts = [int(each["start"] * rate) for each in clip["utterances"]]
        if starts:
            found += [part for part in np.split(samples, starts[1:]) if len(part)]
    return found


class Batch(subprocess.Popen[str]):
    """`maxwhisper batch`, as the leader of a process group; its messages are in `log`."""

    log: Path


def start(clips: Path, out: Path, *flags: str, formats: str = "txt,json,parquet") -> Batch:
    """Begin with a folder. With a table the journal has its lines every half minute, without one
    a line as soon as a recording is done."""
    command = [sys.executable, "-m", "maxwhisper", "batch", str(clips), "-o", str(out)]
    log = out.parent / f"{out.name}.log"
    with log.open("a") as messages:
        batch = Batch(
            [*command, "-f", formats, "--language", "en", "--json", *flags],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
            start_new_session=True,
        )
    batch.log = log
    return batch


def finished(process: Batch, code: int) -> dict[str, Any]:
    """The summary of a run, which must end with this exit code."""
    text, _ = process.communicate(timeout=WAIT_S)
    if process.returncode != code:
        why = " ".join(read(process.log).splitlines()[-3:])
        raise Unexpected(f"expected exit code {code}, got {process.returncode}: {why}")
    summary: dict[str, Any] = json.loads(text)
    return summary


def kill(process: Batch) -> None:
    """SIGKILL for the process alone; what it started must end by itself."""
    process.kill()
    process.communicate()


def throughput(process: Batch, out: Path) -> float:
    """Recordings per second, between the first and the last line of the journal."""
    seen: list[tuple[float, int]] = []
    while process.poll() is None:
        n = lines(out)
        if n and (not seen or n > seen[-1][1]):
            seen.append((time.perf_counter(), n))
        time.sleep(0.02)
    finished(process, SET_ASIDE)
    (first_s, first), (last_s, last) = seen[0], seen[-1]
    return (last - first) / (last_s - first_s)


def disturb(process: Batch, out: Path, n: int, remove_node: Callable[[], None]) -> None:
    """Kill a worker, then a node, then another worker, while the run goes on."""
    killed: set[int] = set()
    for share, what in ((0.2, "worker"), (0.4, "node"), (0.6, "worker")):
        while process.poll() is None and lines(out) < share * n:
            time.sleep(0.02)
        if process.poll() is not None:
            raise Unexpected(f"expected a run that lasts until a {what} is killed")
        if what == "node":
            remove_node()
            continue
        alive = [pid for pid in transcribers() if pid not in killed]
        if not alive:
            raise Unexpected("expected a worker to kill, got none")
        killed.add(alive[0])
        os.kill(alive[0], signal.SIGKILL)


def transcribers() -> list[int]:
    """The processes of Ray that have loaded MAX."""
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if read(path).startswith("ray::") and "/modular/" in read(path.with_name("maps"))
    ]


@contextmanager
def ray_nodes(n: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """A cluster of `n` nodes on this machine: its address, and a function that kills a node."""
    from ray.cluster_utils import Cluster

    each: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 300 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=each | {"include_dashboard": False})
    more = [cluster.add_node(**each) for _ in range(n - 1)]
    try:
        yield cluster.address, lambda: cluster.remove_node(more.pop(), allow_graceful=False)
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Unexpected(f"{what}: expected {expected!r:.150}, got {found!r:.150}")


def lines(out: Path) -> int:
    """Recordings that a run has done so far."""
    return read(out / "journal.jsonl").count("\n")


def manifest(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def files(out: Path, ending: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.rglob(f"*{ending}"))}


def alike(content: bytes) -> bytes:
    """A file without the last digits of its scores: batches of other sizes sum in another order."""
    return re.sub(rb"(-?\d+\.\d{3})\d+", rb"\1", content)


def table(out: Path) -> list[str]:
    """The rows of the table, sorted, without the digits that `alike` leaves out."""
    import pyarrow.parquet as parquet

    rows = [
        alike(json.dumps(row, sort_keys=True).encode()).decode()
        for path in (out / "segments").glob("*.parquet")
        for row in parquet.read_table(path).to_pylist()
    ]
    return sorted(rows)


def written_at(out: Path) -> dict[str, int]:
    endings = (".txt", ".json", ".parquet")
    return {path.name: path.stat().st_mtime_ns for path in out.rglob("*") if path.suffix in endings}


def changed(before: dict[str, int], after: dict[str, int]) -> list[str]:
    return sorted(name for name in before | after if before.get(name) != after.get(name))


def resident_mib(pid: int) -> float:
    """Memory of a process and of those that it started, without the files that they map."""
    return sum(map(held_mib, (pid, *children(pid))))
