"""Engines and the page killed, stopped and out of memory, at every moment.

The page is the real one with its three engines. A race of a bundled clip shows what visitors get.
The suite reads what anybody can: the page's answers, /readyz and the list of processes.
"""

import os
import re
import resource
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tools.robustness.page import Page, running_page
from tools.robustness.processes import children, read, runs
from tools.robustness.racing import Progress, check_words, race
from tools.robustness.recordings import CLIPS
from tools.robustness.suite import Case, SuiteRun, Unexpected

BAR = (
    "other lanes answer; the engine is back in 60 s; nothing left in temporary folders; a restart "
    "is clean"
)
BACK_S = 60.0
FOLLOW_S = 0.2  # between two looks at an engine that was harmed
GONE_S = 10.0  # processes of a page that was killed
EXIT_S = 30.0  # the page after SIGTERM
LINGER_S = 15.0  # a recording is deleted within this after its race
CLIP = CLIPS / "plain.flac"
LONG_CLIP = CLIPS / "talk.flac"  # 10 MB of samples: few processes have as much memory at hand
# What only one engine's process has mapped.
LIBRARIES = {
    "faster-whisper": "/ctranslate2/",
    "openai-whisper": "/torch/lib/",
    "maxwhisper": "/modular/",
}
FAULTS = ("killed", "stopped", "out of memory")
MOMENTS = ("idle", "in its turn", "in another's turn", "loading", "warming up")


def cases(run: SuiteRun) -> Iterator[Case]:
    """Every fault in every engine at every moment, then the page itself. An engine is given up
    after four deaths in ten minutes, so a page lives for one moment, or less."""
    with tempfile.TemporaryDirectory(prefix="robustness-") as cache:
        stage = Stage(run, {"MAXWHISPER_CACHE": cache})  # graphs and weights are prepared once
        if run.is_short:
            yield from _short_cases(stage)
            return
        for moment in MOMENTS[:3]:
            yield from _struck_engines(stage, moment, FAULTS, tuple(LIBRARIES))
        for moment in MOMENTS[3:]:  # the process that loads comes of another death
            for fault in FAULTS:
                yield from _struck_engines(stage, moment, (fault,), tuple(LIBRARIES))
        for engine in LIBRARIES:  # which may answer from memory that it has, but not each time
            yield Case(
                "engine out of memory", f"{engine} ran out", partial(_ran_out, stage, engine)
            )
        yield Case("page", "SIGTERM under load", partial(_end_page, stage))
        yield Case("page", "SIGKILL under load", partial(_kill_page, stage))
        yield Case("page", "SIGKILL, an engine stopped", partial(_kill_page, stage, True))


@dataclass(frozen=True)
class Stage:
    """The run, and the settings of every page in it."""

    run: SuiteRun
    settings: Mapping[str, str]
    exhausted: set[str] = field(default_factory=set)  # engines that ran out of memory


def _short_cases(stage: Stage) -> Iterator[Case]:
    """One engine and one page, both killed."""
    with running_page(environment=stage.settings) as page:
        scene = Scene(page, stage.run)
        yield Case("healthy page", "before", scene.prepare)
        check = partial(_strike, scene, "maxwhisper", "killed", "in its turn")
        yield Case("engine killed", "maxwhisper in its turn", check)
        yield Case("page", "SIGKILL under load, an engine stopped", partial(_kill, scene, True))


def _struck_engines(
    stage: Stage, moment: str, faults: tuple[str, ...], engines: tuple[str, ...]
) -> Iterator[Case]:
    with running_page(environment=stage.settings) as page:
        scene = Scene(page, stage.run, stage.exhausted)
        what = f"{', '.join(faults)}, {moment}"
        yield Case("healthy page", f"before engines are {what}", scene.prepare)
        for fault in faults:
            for engine in engines:
                check = partial(_strike, scene, engine, fault, moment)
                yield Case(f"engine {fault}", f"{engine} {moment}", check)
        yield Case("healthy page", f"after engines were {what}", scene.check)


@dataclass
class Scene:
    """A page with its engines, and what must be the same after each fault."""

    page: Page
    run: SuiteRun
    exhausted: set[str] = field(default_factory=set)
    heard: dict[Path, Mapping[str, str]] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)

    def prepare(self) -> None:
        """Race once, and keep what was heard and what is in the temporary folder."""
        check_words(self.texts(CLIP), CLIP)
        time.sleep(1.0)
        self.files = _files(self.page.temporary)

    def texts(self, clip: Path) -> Mapping[str, str]:
        """What each engine hears when nothing is wrong; raced once."""
        if clip not in self.heard:
            heard = race(self.page, clip)
            if set(heard.texts) != set(LIBRARIES):
                raise Unexpected(f"expected three texts, got {heard}")
            self.heard[clip] = heard.texts
        return self.heard[clip]

    def check(self) -> None:
        """Every engine answers as before."""
        heard = race(self.page, CLIP)
        if heard.texts != self.texts(CLIP):
            raise Unexpected(f"expected {self.texts(CLIP)}, got {heard}")

    def pids(self) -> dict[str, int]:
        """The process of each engine that has loaded its library."""
        found = {}
        for pid in children(self.page.process.pid):
            maps = read(Path(f"/proc/{pid}/maps"))
            name = next((n for n, library in LIBRARIES.items() if library in maps), None)
            if name is not None:
                found[name] = pid
        return found

    def state(self, engine: str) -> str:
        """What /readyz says of an engine."""
        lines = self.page.request("GET", "/readyz").text.splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith(f"{engine}: "))


def _strike(scene: Scene, engine: str, fault: str, moment: str) -> None:
    """Bring `engine` to the moment, do it harm, and see what visitors get."""
    struck: list[tuple[int, float]] = []  # process and time
    back_s: list[float] = []  # when another process was ready

    def follow(pid: int) -> None:
        while not back_s and time.monotonic() < struck[0][1] + BACK_S:
            if scene.pids().get(engine, pid) != pid and scene.state(engine) == "ready":
                back_s.append(time.monotonic())
            time.sleep(FOLLOW_S)

    def strike(pid: int) -> None:
        if not struck:
            _harm(pid, fault)
            struck.append((pid, time.monotonic()))
            threading.Thread(target=follow, args=(pid,), daemon=True).start()

    def watch(phases: Progress) -> None:
        running = {name for name, phase in phases.items() if phase == "running"}
        if (moment == "in its turn" and engine in running) or (
            moment == "in another's turn" and running - {engine}
        ):
            strike(pids[engine])

    clip = LONG_CLIP if fault == "out of memory" else CLIP
    expected = scene.texts(clip)
    pids = scene.pids()
    if moment in ("loading", "warming up"):
        strike(_process_while(scene, engine, moment.split()[0]))
    elif moment == "idle":
        strike(pids[engine])
    try:
        heard = race(scene.page, clip, watch)
    finally:
        for pid, _ in struck:
            if runs(pid):
                _limit_memory(pid, resource.RLIM_INFINITY)
    if not struck:
        raise Unexpected(f"the moment never came: {heard}")
    pid, struck_s = struck[0]
    _check_lanes(expected, engine, heard.texts, heard.refused)
    if fault == "out of memory" and ("memory" in heard.refused.get(engine, "") or not runs(pid)):
        scene.exhausted.add(engine)  # it has said so, or ended, and nothing else was done to it
    if fault == "killed" or engine in heard.refused or not runs(pid):
        _wait(
            lambda: bool(back_s),
            struck_s + BACK_S + 2 * FOLLOW_S,
            lambda: f"expected {engine} back in {BACK_S:.0f} s, got {scene.state(engine)}",
        )
        scene.run.measure(f"seconds until an engine {fault} is back", back_s[0] - struck_s)
    elif scene.state(engine) != "ready":
        raise Unexpected(f"expected {engine} ready after its answer, got {scene.state(engine)}")
    _check_files(scene.page, scene.files)


def _ran_out(stage: Stage, engine: str) -> None:
    if engine not in stage.exhausted:
        raise Unexpected(f"expected a race in which {engine} had no memory, got none")


def _check_lanes(
    expected: Mapping[str, str], engine: str, texts: Mapping[str, str], refused: Mapping[str, str]
) -> None:
    """Other lanes have the right text; the struck one has it, or a reason in words."""
    for name, text in expected.items():
        if name == engine and name in refused:
            if not re.search("restarting|restarted|memory|not ready", refused[name]):
                raise Unexpected(f"expected a reason, got {refused[name]}")
        elif texts.get(name) != text:
            raise Unexpected(f"{name}: expected {text!r}, got {texts.get(name)!r} {refused}")


def _process_while(scene: Scene, engine: str, phase: str) -> int:
    """End the engine's process, and return the next one once it is `phase`."""
    before = scene.pids()[engine]
    others = set(children(scene.page.process.pid))
    os.kill(before, signal.SIGKILL)
    _wait(
        lambda: scene.state(engine).startswith(phase),
        time.monotonic() + BACK_S,
        lambda: f"expected {engine} {phase}, got {scene.state(engine)}",
        every_s=0.01,
    )
    (new,) = set(children(scene.page.process.pid)) - others
    library = LIBRARIES[engine]  # before it, the process is like any other that starts Python
    _wait(
        lambda: library in read(Path(f"/proc/{new}/maps")),
        time.monotonic() + BACK_S,
        lambda: f"expected {library} in process {new} of {engine}, got none",
        every_s=0.002,
    )
    return new


def _harm(pid: int, fault: str) -> None:
    if fault == "out of memory":
        status = read(Path(f"/proc/{pid}/status"))
        size = re.search(r"^VmSize:\s+(\d+) kB", status, re.MULTILINE)
        assert size is not None, "the process has ended"
        _limit_memory(pid, int(size[1]) * 1024)
    else:
        os.kill(pid, signal.SIGKILL if fault == "killed" else signal.SIGSTOP)


def _limit_memory(pid: int, n_bytes: int) -> None:
    """No more address space than this; it can be raised again."""
    resource.prlimit(pid, resource.RLIMIT_AS, (n_bytes, resource.RLIM_INFINITY))


def _end_page(stage: Stage) -> None:
    """SIGTERM while races run: it exits, and leaves neither a process nor a file."""
    with running_page(environment=stage.settings) as page:
        processes = _load(page)
        started_s = time.monotonic()
        page.process.terminate()
        page.process.wait(EXIT_S)
        stage.run.measure("seconds until a page has ended", time.monotonic() - started_s)
        if page.process.returncode:
            raise Unexpected(f"expected exit code 0, got {page.process.returncode}: {page.tail()}")
        _check_gone(processes)
        _check_files(page, set())


def _kill_page(stage: Stage, is_engine_stopped: bool = False) -> None:
    """SIGKILL for the page alone while races run: its engines end too, even one that is stopped,
    and a restart in its folder is clean."""
    with running_page(environment=stage.settings) as page:
        _kill(Scene(page, stage.run), is_engine_stopped)
        left = _files(page.temporary)
        with running_page(page.temporary.parent, stage.settings, wait=False) as again:
            stage.run.measure("seconds until a restarted page is ready", again.wait_until_ready())
            scene = Scene(again, stage.run)
            scene.prepare()
            if kept := left & scene.files:
                raise Unexpected(f"expected nothing of the page that was killed, got {kept}")


def _kill(scene: Scene, is_engine_stopped: bool) -> None:
    """Kill the page alone, perhaps after stopping one of its engines; no process may stay."""
    processes = _load(scene.page)
    if is_engine_stopped:
        os.kill(scene.pids()["maxwhisper"], signal.SIGSTOP)
    scene.page.process.kill()
    scene.page.process.wait()
    _check_gone(processes)


def _load(page: Page) -> list[int]:
    """Start three races, wait until one runs, and return the page's processes."""
    runs = threading.Event()

    def note(phases: Progress) -> None:
        if "running" in phases.values():
            runs.set()

    def visit() -> None:
        try:
            race(page, CLIP, note)
        except (OSError, RuntimeError):  # the page ends in the middle
            return

    for _ in range(3):
        threading.Thread(target=visit, daemon=True).start()
    if not runs.wait(BACK_S):
        raise Unexpected(f"no race has begun within {BACK_S:.0f} s")
    return children(page.process.pid)


def _check_gone(processes: list[int]) -> None:
    _wait(
        lambda: not any(map(runs, processes)),
        time.monotonic() + GONE_S,
        lambda: f"expected no process, got {[pid for pid in processes if runs(pid)]}",
    )


def _check_files(page: Page, expected: set[Path]) -> None:
    """Nothing is in the temporary folder but what is `expected`."""
    _wait(
        lambda: _files(page.temporary) <= expected,
        time.monotonic() + LINGER_S,
        lambda: f"left in the temporary folder: {sorted(_files(page.temporary) - expected)}",
    )


def _wait(
    is_so: Callable[[], bool], until_s: float, problem: Callable[[], str], every_s: float = 0.1
) -> None:
    while not is_so():
        if time.monotonic() > until_s:
            raise Unexpected(problem())
        time.sleep(every_s)


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}
