"""Visitors at once on the real page with fake engines; and judges that see what they must."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from tests.fakes.page import served_page, write_wav
from tools.robustness import load
from tools.robustness.__main__ import run_named
from tools.robustness.crowd import Clip, Visit, Visitor, slow_senders, wave
from tools.robustness.suite import SuiteRun, Unexpected, run_suite

N_VISITORS = 12  # more than gradio's queue had places


def test_visitors_at_once_open_the_page_wait_in_turn_and_hear_their_own_clip(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_ENGINE_HEARS_LENGTHS", "1")
    clips = [
        Clip(f"{n}.wav", write_wav(tmp_path / f"{n}.wav", 0.5 + n / 4).read_bytes())
        for n in range(4)
    ]
    with served_page(monkeypatch, tmp_path) as (address, *_):
        host, port = urlsplit(address).hostname, urlsplit(address).port
        alone = {clip.name: Visitor(host, port, 90).visit(clip).texts for clip in clips}
        assert len({text for texts in alone.values() for text in texts.values()}) == len(clips)
        with slow_senders(host, port, 2):
            visits = wave(host, port, clips, N_VISITORS)

    class Suite:
        BAR = load.BAR

        @staticmethod
        def cases(run):
            yield from load.judged(run, visits, alone)

    record = run_suite("load", Suite, SuiteRun(is_short=True))
    assert record.failures == []
    assert record.n_cases == 3 * N_VISITORS
    assert max(visit.told[0] for visit in visits) >= 4, "they waited for each other"


HEARD = dict.fromkeys(("one", "two", "three"), "the quick fox")


def visit(number, joined_s, started_s, ended_s, told):
    seen = Visit(number, "clip", [200, 200, 200], 4, "", [told, 0], joined_s, started_s, ended_s)
    seen.texts = dict(HEARD)
    return seen


def test_a_good_visit_passes():
    first, second = visit(0, 0.0, 0.1, 5.0, 0), visit(1, 0.2, 5.3, 9.0, 1)
    load.check_opened(first)
    load.check_heard(first, HEARD)
    for one in (first, second):
        load.check_wait(SuiteRun(), one, [first, second])


def test_a_page_load_that_was_refused_is_seen():
    refused = visit(0, 0.0, 0.1, 5.0, 0)
    refused.statuses.append(503)
    with pytest.raises(Unexpected, match="got \\[503\\]"):
        load.check_opened(refused)


def test_a_foreign_word_is_seen():
    foreign = visit(0, 0.0, 0.1, 5.0, 0)
    foreign.texts["two"] = "the quick fox and"
    with pytest.raises(Unexpected, match="expected of two"):
        load.check_heard(foreign, HEARD)
    del foreign.texts["two"]
    with pytest.raises(Unexpected, match="expected three texts, got 2"):
        load.check_heard(foreign, HEARD)


def test_a_race_that_was_overtaken_or_waited_for_nobody_is_seen():
    early = visit(0, 0.0, 9.0, 12.0, 0)
    with pytest.raises(Unexpected, match="expected 0 races before it, got 1"):
        load.check_wait(SuiteRun(), early, [early, visit(1, 1.0, 1.5, 8.9, 0)])
    with pytest.raises(Unexpected, match=r"expected a turn within 2 s of the last, got 9\.0 s"):
        load.check_wait(SuiteRun(), early, [early])


@pytest.mark.parametrize(
    ("samples", "is_fine"),
    [
        ([{1}, {1, 2}, {2}, {2, 3}, {3}], True),  # turns change
        ([{1}, {1, 2}, {1, 2}, {1, 2}, {2}], False),
        ([{1, 2, 3}, {1, 3}, {1, 3}], False),
        ([set(), set()], False),  # nothing was seen at all
        ([{1}, {1, 2}, {2}, {3}, {3}, {1}] * 4, False),  # at each second change of turns
        ([{1}, {1}, {1, 2}, {2}, {2}, {3}, {3}, {3}, {1}, {1}] * 4, True),
    ],
)
def test_engines_at_work_at_once_are_seen(samples, is_fine):
    sampled = [frozenset(each) for each in samples]
    if is_fine:
        load.check_alone(sampled)
    else:
        with pytest.raises(Unexpected):
            load.check_alone(sampled)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("take_turns", [True, False])
def test_a_sample_tells_turns_from_work_at_once(take_turns, monkeypatch):
    """Turns shorter than a sample, as those of short clips are."""
    monkeypatch.setattr(load, "MIN_SHARE", 0.05)  # of a machine that others use too
    busy = "held = bytearray(b'x') * (130 << 20); print(flush=True)\nwhile True: pass"
    engines = [
        subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) for _ in range(2)
    ]
    try:
        for engine in engines:
            engine.stdout.readline()
        page = SimpleNamespace(process=SimpleNamespace(pid=os.getpid()))
        with load.cpu_samples(page) as samples:
            for turn in range(20):
                if take_turns:
                    engines[turn % 2].send_signal(signal.SIGSTOP)
                    engines[1 - turn % 2].send_signal(signal.SIGCONT)
                time.sleep(0.1)
        with nullcontext() if take_turns else pytest.raises(Unexpected, match="computed at once"):
            load.check_alone(samples)
    finally:
        for engine in engines:
            engine.kill()
            engine.communicate()


def test_a_text_that_nobody_spoke_is_seen():
    heard = Visit(0, "silence.flac")
    heard.texts = dict.fromkeys(("one", "two", "three"), "")
    load.check_spoken(heard)
    heard.clip = "plain.flac"
    with pytest.raises(Unexpected, match="expected of one: 'The kettle"):
        load.check_spoken(heard)


def test_growth_is_a_slope_and_not_what_one_race_holds():
    steady = [100.0 + 8 * (number % 3) for number in range(200)]
    assert load.growth(steady) == 0
    leak = [mib + 0.02 * number for number, mib in enumerate(steady)]
    assert load.growth(leak) == pytest.approx(2.0, rel=0.1)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_short_form_passes():
    """The real page with its three engines."""
    record = run_named("load", SuiteRun(is_short=True))
    assert record.failures == []
    assert {"alone", "1 visitor", "4 visitors"} == {group.name for group in record.groups}
