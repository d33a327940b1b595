"""Damaged headers: the damage is known by its number, and a child that dies or lies is seen."""

import subprocess
from functools import partial

import pytest

from tools.robustness import fuzz
from tools.robustness.__main__ import run_named
from tools.robustness.suite import SuiteRun, Unexpected


def test_a_number_decides_about_the_damage():
    sound, regions = bytes(range(256)) * 4, [(0, 100), (500, 600)]
    damages = [fuzz.damaged(sound, regions, number) for number in range(500)]
    assert damages == [fuzz.damaged(sound, regions, number) for number in range(500)]
    assert len(set(damages)) > 400
    assert sum(damage == sound for damage in damages) < 10


@pytest.mark.parametrize(
    ("code", "answer", "reason"),
    [
        (-11, "", "ended with -11 at case"),
        (0, '{"read": 1, "refused": 1, "growth_mib": 0, "slowest_s": 0, "wrong": ["case 3"]}', "1"),
        (0, '{"read": 1, "refused": 1, "growth_mib": 999, "slowest_s": 0, "wrong": []}', "999 MiB"),
    ],
)
def test_a_child_that_dies_or_grows_or_fails_is_seen(monkeypatch, code, answer, reason):
    def ended(*_arguments, **_settings):
        return subprocess.CompletedProcess((), code, answer, "")

    monkeypatch.setattr(subprocess, "run", ended)
    target = fuzz.Target("wav", partial(fuzz._write_audio, "wav", "pcm_s16le"))
    with pytest.raises(Unexpected, match=reason):
        fuzz._read_all(SuiteRun(), target, range(2))


@pytest.mark.slow
@pytest.mark.faults
def test_the_short_form_passes():
    record = run_named("fuzz", SuiteRun(is_short=True))
    assert record.failures == []
    assert record.n_cases == len(fuzz.targets())
    for target in fuzz.targets():
        assert record.measured[f"{target.name}: refused"] > 0
