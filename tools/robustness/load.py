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
from difflib import SequenceMatcher
from functools import partial
from itertools import combinations
from pathlib import Path
from statistics import median

from tools.robustness.crowd import Clip, Visit, Visitor, slow_senders, wave
from tools.robustness.page import Page, running_page
from tools.robustness.processes import held_mib, stands_still
from tools.robustness.recordings import CLIPS, said, words
from tools.robustness.suite import Case, SuiteRun, Unexpected

BAR = (
    "1, 8, 32 and 100 visitors, slow senders among them: no refusal for opening the page, never "
    "two measured runs at once, no wait beyond the races before, no foreign word in 1,600 "
    "transcripts, growth below 1 MiB per 100 races"
)
# How much of its text (clips.json) the bundled network hears at least, of the words in common with
# all words. Noise and voices that alternate are harder, numbers may be figures, and no word is
# right for silence.
LEAST_HEARD = {
    "plain.flac": 0.95,
    "numbers.flac": 0.85,
    "noisy.flac": 0.8,
    "two_voices.flac": 0.9,
    "silence.flac": 1.0,
}
WAVES, SHORT_WAVES = (1, 8, 32, 100), (1, 4)
ROUNDS = 3  # of the waves
# Races one after the other, each of another visitor. The first ones warm up: over 880 races the
# memory of the last engine rose until race 120, and no more afterwards.
GROWTH_RACES, WARM_RACES = 200, 120
LEVEL_RACES = 20  # whose median is a level: what one race holds comes and goes
MIN_TRANSCRIPTS = 1600
MAX_GROWTH_MIB = 1.0
VISITORS_PER_SLOW = 8
# Between two turns: a race is saved and drawn, the next recording is decoded, events travel.
MAX_IDLE_S = 2.0
SAMPLE_S = 0.2
MIN_SHARE = 0.5  # of a sample in which an engine at work has a CPU
MAX_TOGETHER = 3  # samples in which the same two engines are at work: a change of turns is in one
# Of the samples with an engine at work, how many have two: at most 0.08 with changes of turns, 0.22
# to 0.35 when the others do not stand still. A wave that is over soon says nothing.
MAX_SHARE, LEAST_SAMPLES = 0.15, 20


def cases(run: SuiteRun) -> Iterator[Case]:
    clips = [Clip(name, (CLIPS / name).read_bytes()) for name in LEAST_HEARD]
    n_transcripts = 0
    with running_page() as page:
        alone = {}
        for number, clip in enumerate(clips):
            visit = Visitor(page.host, page.port, 200 + number).visit(clip)
            yield Case("alone", clip.name, partial(check_spoken, visit))
            alone[clip.name] = visit.texts
        for n in SHORT_WAVES if run.is_short else WAVES * ROUNDS:
            n_slow = max(1, n // VISITORS_PER_SLOW)
            with slow_senders(page.host, page.port, n_slow), cpu_samples(page) as samples:
                visits = wave(page.host, page.port, clips, n)
            n_transcripts += sum(len(visit.texts) for visit in visits)
            yield from judged(run, visits, alone)
            yield Case(visitors(n), "one engine at a time", partial(check_alone, samples))
    if not run.is_short:
        with running_page() as page:
            yield from _growth(run, page, clips, alone)
        n_transcripts += 3 * (WARM_RACES + GROWTH_RACES)
        yield Case("all", f"{MIN_TRANSCRIPTS} transcripts", partial(_enough, n_transcripts))


def judged(
    run: SuiteRun, visits: Sequence[Visit], alone: dict[str, dict[str, str]]
) -> Iterator[Case]:
    """The cases of one wave."""
    group = visitors(len(visits))
    for visit in visits:
        yield Case(group, f"{visit.visitor}: opens the page", partial(check_opened, visit))
        heard = partial(check_heard, visit, alone[visit.clip])
        yield Case(group, f"{visit.visitor}: hears its clip", heard)
        yield Case(group, f"{visit.visitor}: waits", partial(check_wait, run, visit, visits))
        run.measure(f"{group}: seconds of waiting", visit.waited_s)


def visitors(n: int) -> str:
    """The name of a group of cases."""
    return "1 visitor" if n == 1 else f"{n} visitors"


def check_opened(visit: Visit) -> None:
    """Raise `Unexpected` unless every request that opens the page was answered well."""
    refused = [status for status in visit.statuses if status != 200]
    if refused or len(visit.statuses) < 3:
        raise Unexpected(f"expected status 200 for each request, got {refused}; {visit.problem}")


def check_spoken(visit: Visit) -> None:
    """Raise `Unexpected` unless all three engines heard what is said in the clip."""
    if visit.problem or len(visit.texts) != 3:
        raise Unexpected(f"expected three texts, got {len(visit.texts)}: {visit.problem}")
    right = said(visit.clip)
    for engine, text in visit.texts.items():
        share = SequenceMatcher(None, words(right), words(text), autojunk=False).ratio()
        if share < LEAST_HEARD[visit.clip]:
            raise Unexpected(f"expected of {engine}: {right!r:.150}, got {text!r:.150}")


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
    """Raise `Unexpected` if the same two engines were at work for longer than turns change, or two
    engines more often."""
    together: dict[tuple[int, ...], int] = {}
    for working in samples:
        pairs = set(combinations(sorted(working), 2))
        together = {pair: together.get(pair, 0) + 1 for pair in pairs}
        for pair, n in together.items():
            if n >= MAX_TOGETHER:
                raise Unexpected(f"processes {pair} computed at once for {n * SAMPLE_S:.1f} s")
    busy = [working for working in samples if working]
    if not busy:
        raise Unexpected("expected engines at work, got none")
    share = sum(len(working) > 1 for working in busy) / len(busy)
    if len(busy) >= LEAST_SAMPLES and share > MAX_SHARE:
        raise Unexpected(f"two engines computed at once in {share:.0%} of {len(busy)} samples")


@contextmanager
def cpu_samples(page: Page) -> Iterator[list[frozenset[int]]]:
    """While open, add a sample every `SAMPLE_S`: the engine processes that computed and do not
    stand still at its end. The turn of a short clip is over within a sample: without the second
    condition an engine and the next one would be at work at once."""
    samples: list[frozenset[int]] = []
    done = threading.Event()

    def sample() -> None:
        before, before_s = _cpu_s(page.process.pid), time.monotonic()
        while not done.wait(SAMPLE_S):
            now, now_s = _cpu_s(page.process.pid), time.monotonic()
            least = MIN_SHARE * (now_s - before_s)
            working = (pid for pid in now if now[pid] - before.get(pid, now[pid]) >= least)
            samples.append(frozenset(pid for pid in working if not stands_still(pid)))
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
    """Race after race on a new page; neither its memory nor that of its engines may grow."""
    levels_mib: dict[str, list[float]] = {}
    for number in range(WARM_RACES + GROWTH_RACES):
        clip = clips[number % len(clips)]
        # Visits of one address are bounded per hour, so each comes from another one.
        visitor = Visitor(page.host, page.port, 300 + number)
        visit = Visit(number, clip.name)
        visitor.race(clip, visit)
        yield Case(
            "one after the other", f"race {number}", partial(check_heard, visit, alone[clip.name])
        )
        if number >= WARM_RACES:
            for process, mib in _resident_mib(page).items():
                levels_mib.setdefault(process, []).append(mib)
    for process, levels in levels_mib.items():
        growth_mib = growth(levels)
        run.measure(f"MiB of growth per 100 races, {process}", growth_mib)
        yield Case(
            "one after the other", f"growth of {process}", partial(_check_growth, growth_mib)
        )


def growth(levels_mib: Sequence[float]) -> float:
    """MiB per 100 races, of the memory held after each of them: from the median of the first
    `LEVEL_RACES` to that of the last."""
    first, last = levels_mib[:LEVEL_RACES], levels_mib[-LEVEL_RACES:]
    n_between = len(levels_mib) - LEVEL_RACES
    return (median(last) - median(first)) * 100 / n_between


def _check_growth(growth_mib: float) -> None:
    if growth_mib >= MAX_GROWTH_MIB:
        raise Unexpected(f"expected less than {MAX_GROWTH_MIB:g} MiB, got {growth_mib:.2f} MiB")


def _resident_mib(page: Page) -> dict[str, float]:
    """What the page and its engines hold, by process: without the files that they map."""
    pids = {"the page": page.process.pid} | {
        f"engine {number}": pid for number, pid in enumerate(sorted(_cpu_s(page.process.pid)), 1)
    }
    return {name: held_mib(pid) for name, pid in pids.items()}


def _enough(n_transcripts: int) -> None:
    if n_transcripts < MIN_TRANSCRIPTS:
        raise Unexpected(f"expected {MIN_TRANSCRIPTS} transcripts, got {n_transcripts}")
