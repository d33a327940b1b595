"""Suite `caches`: every cached file damaged in every way, a read-only cache, and no room.

A real cache of the bundled checkpoint is filled once. Each case damages a copy of it and starts an
engine on the copy. What is right comes from elsewhere: the text from the list of the clips, the
files from the cache before the damage, byte for byte.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tools.robustness.cache_damage import (
    Tree,
    copy_tree,
    damages_of,
    into_file,
    leave_folder,
    read_only,
    remove,
    tree_of,
)
from tools.robustness.page import ROOT
from tools.robustness.recordings import CLIPS, said
from tools.robustness.suite import Case, SuiteRun, Unexpected

BAR = (
    "every cached file empty, cut, one bit flipped, of another kind, missing; read-only; no room: "
    "heals by itself or one line; right text"
)
CLIP = "plain.flac"  # 10 s, two sentences that every engine hears to the letter
OURS, FASTER = "maxwhisper", "faster-whisper"
ENGINES = (OURS, FASTER, "openai-whisper")  # the last keeps nothing in the cache
MAX_LINE = 300  # characters of a refusal, without folders
NO_ROOM_BYTES = 100_000  # less than the largest file of every entry
START_S = 300.0
SHORT = {
    ("graphs.mef", "one bit flipped"),
    ("manifest.json", "a list"),
    ("answer.npz", "no arrays"),
}

# Nothing that worked before is remembered: every start tries and checks all of the cache.
FORGETFUL = {**os.environ, "XDG_STATE_HOME": os.devnull}
# Runs a command as root without the right to ignore the mode of files, which root has otherwise.
WITHOUT_ROOT_POWERS = (
    sys.executable,
    "-c",
    "import ctypes, os, sys\n"
    "for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH\n"
    "    failed = ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP\n"
    "    assert os.getuid() or not failed, 'root cannot give up its powers here'\n"
    "os.execv(sys.argv[1], sys.argv[1:])",
)
# Runs a command that can write no file beyond a size.
WITHOUT_ROOM = (
    sys.executable,
    "-c",
    "import os, resource, sys\n"
    f"resource.setrlimit(resource.RLIMIT_FSIZE, ({NO_ROOM_BYTES}, {NO_ROOM_BYTES}))\n"
    "os.execv(sys.argv[1], sys.argv[1:])",
)
# Starts an engine anew for every line that it reads, [name, cache], and transcribes the clip.
STARTER = """
import json, sys, traceback
from pathlib import Path
from maxwhisper import checkpoint
from maxwhisper.audio.load import decode
from maxwhisper.engine import load_engine
from maxwhisper.errors import MaxWhisperError
from maxwhisper.options import TranscribeOptions
weights, clip = checkpoint.load(), decode(Path(sys.argv[1]))
for line in sys.stdin:
    name, cache = json.loads(line)
    try:
        engine = load_engine(name, weights, device="cpu", cache_dir=Path(cache))
        options = TranscribeOptions(language="en", temperature=0.0)
        answer = {"text": engine.transcribe(clip, options).text}
    except MaxWhisperError as error:
        answer = {"refusal": str(error)}
    except Exception as error:
        answer = {"traceback": traceback.format_exc()}
    print("ANSWER" + json.dumps(answer), flush=True)
"""


def cases(run: SuiteRun) -> Iterator[Case]:
    """Yield the cases; the short form has our engine only and one damage of each large file."""
    with tempfile.TemporaryDirectory(prefix="robustness-caches-") as made:
        lab = Laboratory(Path(made), run)
        try:
            engines = ENGINES[:1] if run.is_short else ENGINES
            for name in engines:
                yield Case("filled from nothing", name, partial(lab.fill, name))
            yield from _damaged_files(lab)
            if not run.is_short:
                yield from _damaged_folders(lab)
            yield from _whole_cache(lab, engines)
        finally:
            lab.close()


def _damaged_files(lab: "Laboratory") -> Iterator[Case]:
    for path, content in lab.sound.items():
        if not content:  # a folder, or a file without content
            continue
        for name, damage in damages_of(path, content).items():
            if not lab.run.is_short or (Path(path).name, name) in SHORT:
                yield lab.case(f"{_kind(path)}: a file is {name}", path, damage)


def _damaged_folders(lab: "Laboratory") -> Iterator[Case]:
    entries = [path for path, content in lab.sound.items() if content is None and "/" in path]
    for path in entries:
        kind = f"{_kind(path)}: its folder"
        yield lab.case(f"{kind} is missing", path, remove)
        yield lab.case(f"{kind} is a file", path, into_file)
        yield lab.case(f"{kind} is missing, its lock is a folder", path, leave_folder(".lock"))
        yield lab.case(f"{kind} is half made", path, leave_folder(".unfinished"))


def _whole_cache(lab: "Laboratory", engines: tuple[str, ...]) -> Iterator[Case]:
    for name in engines:
        yield Case("read-only, complete", name, partial(lab.read_only_complete, name))
    for name in () if lab.run.is_short else (OURS, FASTER):  # those that keep something
        yield Case("read-only, empty", name, partial(lab.read_only_empty, name))
        yield Case("read-only, damaged", name, partial(lab.read_only_damaged, name))
        yield Case("no room", name, partial(lab.no_room, name))
        yield Case("filled by three at once", name, partial(lab.filled_at_once, name))
        yield Case("killed while it is filled", name, partial(lab.killed, name))


def _kind(path: str) -> str:
    return path.partition("/")[0]


def _engine(path: str) -> str:
    return FASTER if _kind(path) == "ctranslate2" else OURS


class Laboratory:
    """A filled cache, copies of it to damage, and what has to hold afterwards."""

    def __init__(self, folder: Path, run: SuiteRun) -> None:
        self.run = run
        self.sound: Tree = {}  # the files of the filled cache
        self._full, self._copy = folder / "full", folder / "copy"
        self._right = said(CLIP)
        self._starter = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(CLIPS / CLIP)],
            cwd=ROOT,
            env=FORGETFUL,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def close(self) -> None:
        self._starter.kill()
        self._starter.communicate()

    def case(self, group: str, path: str, damage: Callable[[Path], object]) -> Case:
        return Case(group, path, partial(self.heals, path, damage))

    def fill(self, name: str) -> None:
        self._starts_right(name, self._full)
        self.sound = tree_of(self._full)

    def heals(self, path: str, damage: Callable[[Path], object]) -> None:
        """A damaged copy gives the right text, and afterwards every file is as it was."""
        self._fresh_copy()
        damage(self._copy / path)
        if tree_of(self._copy) == self.sound:
            raise Unexpected("the damage changed nothing: the case proves nothing")
        self.run.measure("seconds to heal", self._starts_right(_engine(path), self._copy))
        self._is_sound(self.sound)

    def read_only_complete(self, name: str) -> None:
        self._fresh_copy()
        with read_only(self._copy):
            self._right_text(self._transcribe(name, WITHOUT_ROOT_POWERS))
        self._is_sound(self.sound)

    def read_only_empty(self, name: str) -> None:
        self._empty_copy()
        with read_only(self._copy):
            self._one_line(self._transcribe(name, WITHOUT_ROOT_POWERS), "writable folder")
        self._is_sound({})

    def read_only_damaged(self, name: str) -> None:
        self._fresh_copy()
        path = next(
            path for path in self.sound if path.endswith("manifest.json") and _engine(path) == name
        )
        (self._copy / path).write_bytes(b"")
        damaged = tree_of(self._copy)
        with read_only(self._copy):
            self._one_line(self._transcribe(name, WITHOUT_ROOT_POWERS), "writable folder")
        self._is_sound(damaged)

    def no_room(self, name: str) -> None:
        """A line and nothing half made; with room again it heals."""
        self._empty_copy()
        self._one_line(self._transcribe(name, WITHOUT_ROOM), "cannot be saved")
        left = [path for path, content in tree_of(self._copy).items() if content]
        if left:
            raise Unexpected(f"expected nothing left without room, got {left}")
        self._starts_right(name, self._copy)
        self._is_sound(self._part_of(name))

    def filled_at_once(self, name: str) -> None:
        self._empty_copy()
        started = [self._start_transcribing(name) for _ in range(3)]
        for process in started:
            self._right_text(_ended(process))
        self._is_sound(self._part_of(name))

    def killed(self, name: str) -> None:
        """SIGKILL as soon as an entry is half made; the next start clears it away."""
        self._empty_copy()
        process = self._start_transcribing(name)
        deadline_s = time.monotonic() + START_S
        while not list(self._copy.glob("*/*.unfinished")):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise Unexpected("expected an entry that is half made, got none")
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        self._starts_right(name, self._copy)
        self._is_sound(self._part_of(name))

    def _starts_right(self, name: str, cache: Path) -> float:
        """Start the engine in the process that is there already; return the seconds."""
        assert self._starter.stdin
        assert self._starter.stdout
        start_s = time.perf_counter()
        self._starter.stdin.write(json.dumps([name, str(cache)]) + "\n")
        self._starter.stdin.flush()
        for line in self._starter.stdout:
            if line.startswith("ANSWER"):
                break
        else:
            raise Unexpected("the process that starts engines died")
        answer = json.loads(line.removeprefix("ANSWER"))
        if " ".join(answer.get("text", "").split()) != self._right:
            raise Unexpected(f"expected the right text, got {str(answer)[-300:]}")
        return time.perf_counter() - start_s

    def _start_transcribing(
        self, name: str, launcher: tuple[str, ...] = ()
    ) -> "subprocess.Popen[str]":
        """The command line in a process of its own, on the copy of the cache."""
        clip = str(CLIPS / CLIP)
        options = ["--json", "--engine", name, "--cache_dir", str(self._copy), "--device", "cpu"]
        options += ["--language", "en", "--temperature", "0"]
        return subprocess.Popen(
            [*launcher, sys.executable, "-m", "maxwhisper", "transcribe", clip, *options],
            cwd=ROOT,
            env=FORGETFUL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _transcribe(
        self, name: str, launcher: tuple[str, ...]
    ) -> "subprocess.CompletedProcess[str]":
        return _ended(self._start_transcribing(name, launcher))

    def _right_text(self, ended: "subprocess.CompletedProcess[str]") -> None:
        if ended.returncode or self._right not in " ".join(ended.stdout.split()):
            raise Unexpected(f"expected the right text, got {(ended.stdout + ended.stderr)[-300:]}")

    def _one_line(self, ended: "subprocess.CompletedProcess[str]", word: str) -> None:
        """An exit code, and an error in a line that says `word`."""
        lines = ended.stderr.replace(str(self._copy), "").splitlines()
        error = lines[-1] if lines else ""
        is_typed = error.startswith("maxwhisper: error: ") and word in error
        if (
            not ended.returncode
            or not is_typed
            or len(error) > MAX_LINE
            or "Traceback" in ended.stderr
        ):
            raise Unexpected(f"expected a line with {word!r}, got {ended.stderr[-300:]}")

    def _part_of(self, name: str) -> Tree:
        """What one engine alone keeps."""
        return {path: content for path, content in self.sound.items() if _engine(path) == name}

    def _is_sound(self, expected: Tree) -> None:
        found = tree_of(self._copy)
        different = sorted(
            path for path in {*found, *expected} if found.get(path, 0) != expected.get(path, 0)
        )
        if different:
            raise Unexpected(f"expected the files as they were, these differ: {different[:3]}")

    def _fresh_copy(self) -> None:
        copy_tree(self._full, self._copy)

    def _empty_copy(self) -> None:
        remove(self._copy)
        self._copy.mkdir()


def _ended(process: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
    try:
        output, errors = process.communicate(timeout=START_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Unexpected(f"expected an end within {START_S:.0f} s") from None
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
