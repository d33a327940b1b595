"""Who has the network, and in which order: fair, free after Ctrl-C, and never in a fork."""

import os
import random
import signal
import threading
import time

import pytest

from maxwhisper.clock import StageClock
from maxwhisper.errors import EngineUnavailable
from maxwhisper.transcribe.scheduling import (
    FairLock,
    Step,
    complete,
    found,
    in_turns,
    segments_only,
)

LONG_S = 10.0  # nobody waits this long, unless for ever


def start(target):
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def until(is_true):
    end_s = time.monotonic() + LONG_S
    while not is_true():
        assert time.monotonic() < end_s
        time.sleep(0.001)


def is_free(turns):
    """True if another thread gets a turn."""
    done = threading.Event()

    def take():
        with turns.turn(StageClock()):
            done.set()

    start(take)
    return done.wait(LONG_S)


def test_turns_are_given_in_the_order_of_asking():
    turns, order, clocks = FairLock(), [], [StageClock() for _ in range(20)]

    def take(number):
        with turns.turn(clocks[number]):
            order.append(number)

    with turns.turn(StageClock()):
        threads = []
        for number in range(20):
            threads.append(start(lambda number=number: take(number)))
            until(lambda number=number: len(turns._queue) == number + 2)
    for thread in threads:
        thread.join(LONG_S)
    assert order == list(range(20))
    assert all(set(clock.seconds) == {"waiting"} for clock in clocks)


def test_only_one_has_the_network():
    turns, holders, most = FairLock(), [], []

    def work():
        clock = StageClock()
        for _ in range(200):
            with turns.turn(clock):
                for _ in range(2):
                    holders.append(1)
                    time.sleep(0)
                    most.append(len(holders))
                    holders.pop()
                    with turns.released(clock):
                        time.sleep(0)

    threads = [start(work) for _ in range(8)]
    for thread in threads:
        thread.join(LONG_S)
    assert (len(most), set(most)) == (3200, {1})
    assert is_free(turns)


def steps(n, log):
    try:
        for number in range(n):
            log.append(number)
            yield Step([(0, f"segment {number}")], float(number), float(n))
        return "done"
    finally:
        log.append("closed")


def test_others_have_the_network_between_two_steps():
    turns, log = FairLock(), []
    segments = segments_only(found(in_turns(steps(3, log), turns, StageClock())))
    assert next(segments) == "segment 0"
    assert is_free(turns)
    with turns.turn(StageClock()):  # also in the same thread
        pass
    assert list(segments) == ["segment 1", "segment 2"]


def test_what_is_left_early_is_closed():
    turns, log = FairLock(), []
    for _ in segments_only(found(in_turns(steps(3, log), turns, StageClock()))):
        break
    assert log == [0, "closed"]
    assert is_free(turns)


def test_a_callback_that_fails_closes_the_rest():
    def fail(*_):
        raise OSError("the disk is full")

    for arguments in ({"progress": fail}, {}):
        turns, log = FairLock(), []
        segments = found(in_turns(steps(3, log), turns, StageClock()), **arguments)
        with pytest.raises(OSError, match="disk"):
            complete(segments, None if arguments else fail)
        assert log == [0, "closed"]
        assert is_free(turns)


def test_the_result_and_the_progress_are_told():
    told = []
    turns, log = FairLock(), []
    all_steps = in_turns(steps(3, log), turns, StageClock())
    assert complete(found(all_steps, lambda *seconds: told.append(seconds))) == "done"
    assert told == [(0.0, 3.0), (1.0, 3.0), (2.0, 3.0)]


class Interrupted(KeyboardInterrupt):
    pass


def test_ctrl_c_at_any_moment_leaves_it_free():
    """A signal every few microseconds, in a turn, before it, after it, and while waiting."""
    turns, clock, n_interrupts = FairLock(), StageClock(), 0
    busy, is_over = random.Random(0), threading.Event()

    def disturb():
        while not is_over.is_set():
            with turns.turn(StageClock()):
                time.sleep(1e-5)

    def interrupt(*_):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    other = start(disturb)
    try:
        for _ in range(2000):
            try:
                signal.setitimer(signal.ITIMER_REAL, busy.uniform(1e-6, 3e-4))
                for _ in range(20):
                    with turns.turn(clock):
                        pass
            except Interrupted:
                n_interrupts += 1
            finally:
                while True:
                    try:
                        signal.setitimer(signal.ITIMER_REAL, 0)
                        break
                    except Interrupted:
                        pass
    finally:
        is_over.set()
        signal.signal(signal.SIGALRM, before)
    other.join(LONG_S)
    assert n_interrupts > 100
    assert is_free(turns)


def test_nobody_gets_a_closed_one():
    turns, refused = FairLock(), []

    def take():
        try:
            with turns.turn(StageClock()):
                pass
        except EngineUnavailable as error:
            refused.append(error)

    with turns.turn(StageClock()):
        waiting = start(take)
        until(lambda: len(turns._queue) == 2)
        turns.close()
    waiting.join(LONG_S)
    take()
    assert [str(error) for error in refused] == ["this model is closed: load it again"] * 2


def test_a_turn_within_a_turn_is_an_error_and_no_wait_for_ever():
    turns, refused = FairLock(), []

    def nest():
        for _ in range(2):
            with turns.turn(StageClock()):
                with turns.released(StageClock()), turns.turn(StageClock()):
                    pass  # the network is anybody's
                try:
                    with turns.turn(StageClock()):
                        pass
                except EngineUnavailable as error:
                    refused.append(str(error))

    nesting = start(nest)
    nesting.join(LONG_S)
    assert not nesting.is_alive()
    assert len(refused) == 2
    assert "decoding a window with this model already" in refused[0]
    assert is_free(turns)


def test_a_fork_is_told_to_spawn():
    turns = FairLock()
    read, write = os.pipe()
    if not (child := os.fork()):
        signal.alarm(int(LONG_S))
        try:
            with turns.turn(StageClock()):
                os.write(write, b"a turn")
        except EngineUnavailable as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert b"get_context('spawn')" in os.read(read, 1000)
