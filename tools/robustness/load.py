"""The suite `load`: up to a hundred visitors at once, slow senders among them.

Each visitor opens the page and races a clip. What it hears must be what a visitor alone heard, its
wait no more than the races before it, and the engines never at work at the same time: their CPU
time, read from outside, tells.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import combinations
from pathlib import Path

from tools.robustness.crowd import Clip, Visit, Visitor, slow_senders, wave
from tools.robustness.page import ROOT, Page, running_page
from tools.robustness.suite import Case, SuiteRun, Unexpected

BAR = (
    "1, 8, 32 and 100 visitors, slow senders among them: no refusal for opening the page, never "
    "two measured runs at once, no wait beyond the races before, no foreign word in 1,600 "
    "transcripts, growth below 1 MiB per 100 races"
)
NAMES = ("plain.flac", "numbers.flac", "noisy.flac", "two_voices.flac", "silence.flac")
WAVES, SHORT_WAVES = (1, 8, 32, 100), (1, 4)
ROUNDS = 3  # of the waves
GROWTH_RACES, WARM_RACES = 120, 30  # of one visitor, one after the other; the first ones warm up
MIN_TRANSCRIPTS = 1600
MAX_GROWTH_MIB = 1.0
VISITORS_PER_SLOW = 8
# Between two turns: a race is saved and drawn, the next recording is decoded, events travel.
MAX_IDLE_S = 2.0
SAMPLE_S = 0.2
MIN_SHARE = 0.5  # of a sample in which an engine at work has a CPU
MAX_TOGETHER = 3  # samples in which the same two engines are at work: a change of turns is in one


def cases(run: SuiteRun) -> Iterator[Case]:
    clips = [Clip(name, (ROOT / "examples" / "clips" / name).read_bytes()) for name in NAMES]
    n_transcripts = 0
    with running_page() as page:
        alone = {}
        for number, clip in enumerate(clips):
            visit = Visitor(page.host, page.port, 200 + number).visit(clip)
            yield Case("alone", clip.name, partial(check_heard, visit, visit.texts))
            alone[clip.name] = visit.texts
        for n in SHORT_WAVES if run.is_short else WAVES * ROUNDS:
            n_slow = max(1, n // VISITORS_PER_SLOW)
            with slow_senders(page.host, page.port, n_slow), cpu_samples(page) as samples:
                visits = wave(page.host, page.port, clips, n)
            n_transcripts += sum(len(visit.texts) for visit in visits)
            yield from judged(run, visits, alone)
            yield Case(f"{n} visitors", "one engine at a time", partial(check_alone, samples))
        if not run.is_short:
            yield from _growth(run, page, clips, alone)
            n_transcripts += 3 * GROWTH_RACES
            yield Case("all", f"{MIN_TRANSCRIPTS} transcripts", partial(_enough, n_transcripts))


def judged(
    run: SuiteRun, visits: Sequence[Visit], alone: dict[str, dict[str, str]]
) -> Iterator[Case]:
    """The cases of one wave."""
    group = f"{len(visits)} visitors"
    for visit in visits:
        yield Case(group, f"{visit.visitor}: opens the page", partial(check_opened, visit))
        heard = partial(check_heard, visit, alone[visit.clip])
        yield Case(group, f"{visit.visitor}: hears its clip", heard)
        yield Case(group, f"{visit.visitor}: waits", partial(check_wait, run, visit, visits))
        run.measure(f"{group}: seconds of waiting", visit.waited_s)


def check_opened(visit: Visit) -> None:
    """Raise `Unexpected` unless every request that opens the page was answered well."""
    refused = [status for status in visit.statuses if status != 200]
    if refused or len(visit.statuses) < 3:
        raise Unexpected(f"expected status 200 for each request, got {refused}; {visit.problem}")


def check_heard(visit: Visit, alone: dict[str, str]) -> None:
    """Raise `Unexpected` unless all three engines heard what they heard for one visitor alone."""
    if visit.problem or len(visit.texts) != 3:
        raise Unexpected(f"expected three texts, got {len(visit.texts)}: {visit.problem}")
    for engine, text in visit.texts.items():
        if text != alone[engine]:
            raise Unexpected(f"expected of {engine}: {alone[engine]!r:.150}, got {text!r:.150}")


def check_wait(run: SuiteRun, visit: Visit, visits: Sequence[Visit]) -> None:
    """Raise `Unexpected` for a race that was overtaken, or that waited while no race before it was
    running."""
    others = [each for each in visits if each is not visit and each.started_s]
    if not visit.started_s:
        raise Unexpected(f"expected a turn, got none: {visit.problem}")
    between = [each for each in others if visit.joined_s < each.started_s < visit.started_s]
    if len(between) > visit.told[0]:
        raise Unexpected(f"expected {visit.told[0]} races before it, got {len(between)}")
    busy_s = sum(
        max(0.0, min(each.ended_s, visit.started_s) - max(each.started_s, visit.joined_s))
        for each in others
    )
    idle_s = (visit.waited_s - busy_s) / (visit.told[0] + 1)
    run.measure("seconds between two turns", idle_s)
    if idle_s > MAX_IDLE_S:
        raise Unexpected(f"expected a turn within {MAX_IDLE_S:g} s of the last, got {idle_s:.1f} s")


def check_alone(samples: Sequence[frozenset[int]]) -> None:
    """Raise `Unexpected` if the same two engines were at work for longer than turns change."""
    together: dict[tuple[int, ...], int] = {}
    for working in samples:
        pairs = set(combinations(sorted(working), 2))
        together = {pair: together.get(pair, 0) + 1 for pair in pairs}
        for pair, n in together.items():
            if n >= MAX_TOGETHER:
                raise Unexpected(f"processes {pair} computed at once for {n * SAMPLE_S:.1f} s")
    if not any(samples):
        raise Unexpected("expected engines at work, got none")


@contextmanager
def cpu_samples(page: Page) -> Iterator[list[frozenset[int]]]:
    """While open, add a sample every `SAMPLE_S`: the engine processes that computed."""
    samples: list[frozenset[int]] = []
    done = threading.Event()

    def sample() -> None:
        before, before_s = _cpu_s(page.process.pid), time.monotonic()
        while not done.wait(SAMPLE_S):
            now, now_s = _cpu_s(page.process.pid), time.monotonic()
            least = MIN_SHARE * (now_s - before_s)
            working = (pid for pid in now if now[pid] - before.get(pid, now[pid]) >= least)
            samples.append(frozenset(working))
            before, before_s = now, now_s

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield samples
    finally:
        done.set()
        sampler.join()


def _cpu_s(parent: int) -> dict[int, float]:
    """CPU seconds of each engine: a child of the page that holds a model, so more than 100 MiB."""
    seconds = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended
            continue
        is_engine = int(fields[1]) == parent and int(fields[21]) * 4096 > 100 * 2**20
        if is_engine:
            ticks = int(fields[11]) + int(fields[12])
            seconds[int(path.parent.name)] = ticks / os.sysconf("SC_CLK_TCK")
    return seconds


def _growth(
    run: SuiteRun, page: Page, clips: Sequence[Clip], alone: dict[str, dict[str, str]]
) -> Iterator[Case]:
    """Race after race of one visitor; the page's memory must not grow."""
    visitor, before_mib = Visitor(page.host, page.port, 0), 0.0
    for number in range(WARM_RACES + GROWTH_RACES):
        if number == WARM_RACES:
            before_mib = _resident_mib(page)
        clip = clips[number % len(clips)]
        # Visits of one address are bounded per hour, so each comes from another one.
        visitor = Visitor(page.host, page.port, 300 + number)
        visit = Visit(number, clip.name)
        visitor.race(clip, visit)
        yield Case(
            "one after the other", f"race {number}", partial(check_heard, visit, alone[clip.name])
        )
    growth_mib = (_resident_mib(page) - before_mib) * 100 / GROWTH_RACES
    run.measure("MiB of growth per 100 races", growth_mib)
    yield Case("one after the other", "growth", partial(_check_growth, growth_mib))


def _check_growth(growth_mib: float) -> None:
    if growth_mib >= MAX_GROWTH_MIB:
        raise Unexpected(f"expected less than {MAX_GROWTH_MIB:g} MiB, got {growth_mib:.2f} MiB")


def _resident_mib(page: Page) -> float:
    pages = int(Path(f"/proc/{page.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _enough(n_transcripts: int) -> None:
    if n_transcripts < MIN_TRANSCRIPTS:
        raise Unexpected(f"expected {MIN_TRANSCRIPTS} transcripts, got {n_transcripts}")
