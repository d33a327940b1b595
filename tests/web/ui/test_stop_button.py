"""Run and Stop give themselves back whatever becomes of the work."""

import threading
import time
from types import SimpleNamespace

import gradio as gr
import pytest

from maxwhisper.engines.status import RunCancelled
from maxwhisper.web.ui.stop_button import Stoppable

ANNA, BORIS = (SimpleNamespace(session_hash=name) for name in ("anna", "boris"))


@pytest.fixture
def runs():
    with gr.Blocks():
        return Stoppable(gr.Button("Run"), gr.Button("Stop"))


def counting(cancelled):
    for n in range(3):
        if cancelled():
            raise RunCancelled
        yield (n,)


def seen(shown):
    """What is drawn, and whether Run and Stop can be pressed."""
    *drawn, run, stop = shown
    return *drawn, run.interactive, stop.interactive


def test_steps_then_what_is_over(runs):
    steps = list(map(seen, runs.steps(ANNA, counting, lambda note: (f"over{note}",))))
    assert steps == [*((n, False, True) for n in range(3)), ("over", True, False)]


@pytest.mark.parametrize(("who", "n_steps"), [(ANNA, 2), (BORIS, 4)])
def test_stop_ends_the_run_of_its_own_session(runs, who, n_steps):
    asked = threading.Event()

    def patient(cancelled):
        for step in counting(cancelled):
            yield step
            asked.wait()

    steps = runs.steps(ANNA, patient, lambda note: (note,))
    shown = [next(steps)]
    answered = runs._halt(who)
    asked.set()
    assert (answered.value, answered.interactive) == ("Stopping…" if who is ANNA else "Stop", False)
    shown += steps
    assert len(shown) == n_steps
    assert seen(shown[-1]) == ("stopped" if who is ANNA else "", True, False)


def test_stop_stays_pressed_while_the_work_winds_down(runs):
    asked = threading.Event()

    def deaf(cancelled):
        yield (0,)
        asked.wait()
        yield (1,)

    steps = runs.steps(ANNA, deaf, lambda note: ("over",))
    assert next(steps)[-1].interactive
    runs._halt(ANNA)
    asked.set()
    stop = next(steps)[-1]
    assert (stop.value, stop.interactive) == ("Stopping…", False)
    assert next(steps)[-1].value == "Stop"


def test_a_step_that_hangs_keeps_nobody_for_five_seconds(runs):
    hung = threading.Event()

    def stuck(cancelled):
        yield (0,)
        hung.wait()

    steps = runs.steps(ANNA, stuck, lambda note: (note,))
    next(steps)
    runs._halt(ANNA)
    started_s = time.monotonic()
    assert [seen(shown) for shown in steps] == [("stopped", True, False)]
    assert time.monotonic() - started_s < 5
    hung.set()


def test_an_error_comes_after_the_buttons(runs):
    def failing(cancelled):
        yield (0,)
        raise KeyError("why")

    steps = runs.steps(ANNA, failing, lambda note: ("over",))
    assert seen(next(steps)) == (0, False, True)
    assert seen(next(steps)) == ("over", True, False)
    with pytest.raises(KeyError, match="why"):
        next(steps)


def test_a_reader_who_leaves_stops_the_work(runs):
    stopped = []

    def work(cancelled):
        stopped.append(cancelled)
        yield (0,)

    steps = runs.steps(ANNA, work, lambda note: ())
    next(steps)
    steps.close()
    assert stopped[0]()


def test_sessions_are_forgotten_when_their_run_is_over(runs):
    asked = threading.Event()

    def patient(cancelled):
        yield next(counting(cancelled))
        asked.wait()
        yield from counting(cancelled)

    first, second = (runs.steps(ANNA, patient, lambda note: (note,)) for _ in range(2))
    next(first)
    next(second)  # the same visitor again: Stop is for this one
    first.close()
    runs._halt(ANNA)
    asked.set()
    assert [seen(shown)[0] for shown in second] == ["stopped"]
    for steps in (runs.steps(BORIS, counting, lambda note: ()), first):
        list(steps)
    assert runs._running == {}
