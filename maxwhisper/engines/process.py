"""One engine in a child process: the parent's side of the channel.

In: an engine's name, then commands. Out: the items of each answer. Whatever the process does, no
call here waits for ever: see `EngineProcess.run`. In one process the libraries' thread pools fight
over the cores even while idle: faster-whisper took 2.5 s beside torch and MAX for what takes it
1.0 s alone (10 s clip, 2 cores). Here an idle engine sleeps. The benchmark uses a process as it is;
the page has a supervisor around it. One caller at a time.
"""

import contextlib
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from maxwhisper import engine
from maxwhisper.engines import channel, messages, worker
from maxwhisper.engines.load import cpu_s_of
from maxwhisper.engines.status import Cancelled, RunCancelled
from maxwhisper.errors import MaxWhisperError

POLL_S = 0.1  # how soon a stop or a death is noticed
CANCEL_GRACE_S = 15.0  # an engine that has not stopped by then is killed: half a window on 2 cores
CLOSE_S = 10.0  # an idle engine ends at once when we hang up; a busy one is killed after this
ANSWER_S = 10.0  # an idle engine begins with a command within milliseconds
PAUSE_S = 1.0  # a process stands still within milliseconds of SIGSTOP, unless it waits for a disk
IDLE_S = 20.0  # who has computed nothing for so long waits for something that never comes
IDLE_SHARE = 0.02  # of a CPU: nothing. Threads of MAX 26.7.0 that only wait take 0.007
STOPPED_S = 5.0  # Ctrl-Z and `fg` stop and continue page and engines together, within a moment


class EngineFailed(MaxWhisperError):
    """A command failed. The text is for records and operators, `message` for everyone."""

    trouble = "failed"  # what the engine did

    def __init__(self, summary: str, message: str = "") -> None:
        super().__init__(summary)
        self.message = message or summary


class EngineRefused(EngineFailed):
    """The engine does not offer what the command wants; `message` is in its own words."""


class EngineExhausted(EngineFailed):
    """Memory ran out within the process, which may not work as it should any more."""

    trouble = "ran out of memory"


class EngineDied(EngineFailed):
    """The process ended before it had answered."""

    trouble = "crashed"


class EngineStuck(EngineDied):
    """The process was killed: it did not begin with a command, or the system had stopped it."""

    trouble = "stopped answering"


class EngineSilent(EngineFailed):
    """The process gave no answer in time, and was killed."""


@dataclass
class Deadline:
    """`seconds` for a whole command or, where it `renews`, for each item of its answer."""

    seconds: float = math.inf
    renews: bool = False


class _Patience:
    """How long a command may take from now on, by `deadline`. `until_s` is on the monotonic clock.

    Until the process has begun with a command that is `ANSWER_S`; a process that has yet to start
    gets the whole deadline for it.
    """

    def __init__(self, command: messages.Command, deadline: Deadline) -> None:
        self.deadline = deadline
        self.has_begun = self.is_loading = isinstance(command, messages.Load)
        self.is_stopping = False
        seconds = deadline.seconds if self.has_begun else min(ANSWER_S, deadline.seconds)
        self.until_s = time.monotonic() + seconds
        self.stopped_since_s: float | None = None  # by the system, since this moment
        self._at_work: tuple[float, float] | None = None  # when it last was, and its CPU time then

    def begin(self) -> None:
        """The process has begun."""
        if not self.has_begun:
            self.has_begun = True
            self.renew()

    def hear(self) -> None:
        """An item has come."""
        self._at_work = None
        if self.deadline.renews:
            self.renew()

    def stop(self) -> None:
        """A stop was asked for."""
        self.is_stopping = True
        self.until_s = min(self.until_s, time.monotonic() + CANCEL_GRACE_S)

    def is_idle(self, now_s: float, cpu_s: float | None) -> bool:
        """True if the process has used no CPU time for `IDLE_S`, of `cpu_s` so far. It may wait as
        long as it likes for a download, while it loads."""
        if cpu_s is None or self.is_loading or not self.has_begun:
            return False
        since_s, before_s = self._at_work or (now_s, cpu_s)
        if self._at_work is None or cpu_s - before_s > IDLE_SHARE * IDLE_S:
            self._at_work = now_s, cpu_s
            return False
        return now_s - since_s > IDLE_S

    def renew(self) -> None:
        """Give the process all its time again."""
        self._at_work = None
        if not self.is_stopping:
            self.until_s = time.monotonic() + self.deadline.seconds


class EngineProcess:
    """Engine `name` in a process that starts at once and ends with `close` or `stop`."""

    def __init__(self, name: str) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy our threads' locks
        self._channel, theirs = channel.pair()
        registry = dict(engine.ENGINES)
        self._process = context.Process(
            target=worker.main, args=(theirs, name, registry), name=name, daemon=True
        )
        self.is_stopped = False  # ended on purpose: no crash
        self.is_paused = False
        self._process.start()
        theirs.close()  # the child is now the only holder: its death is our end-of-file

    @property
    def sentinel(self) -> int:
        """Becomes ready when the process ends, see `multiprocessing.connection.wait`."""
        return self._process.sentinel

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    @property
    def is_frozen(self) -> bool:
        """True while the process is stopped, as by SIGSTOP. False where the system cannot tell."""
        if not hasattr(os, "waitid") or self._process.pid is None:
            return False
        looks = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self._process.pid, looks) is not None
        except ChildProcessError:  # it has ended
            return False

    @property
    def is_stuck(self) -> bool:
        """True while somebody else than `pause` has stopped the process."""
        return self.is_frozen and not self.is_paused

    def run(
        self,
        command: messages.Command,
        cancelled: Cancelled = lambda: False,
        deadline: Deadline | None = None,
    ) -> Iterator[Any]:
        """Send `command` and yield the items of its answer, as `messages` says.

        An engine is killed that does not begin within `ANSWER_S`, is too slow, is frozen for
        `STOPPED_S`, computes nothing for `IDLE_S`, or does not stop within `CANCEL_GRACE_S` after
        `cancelled`. Closing the iterator early cancels the command. Raises `EngineFailed` or
        `RunCancelled`.
        """
        self._post(command)
        patience = _Patience(command, deadline or Deadline())
        finished = False
        try:
            while True:
                if not patience.is_stopping and cancelled():
                    patience.stop()
                    self._channel.post(messages.Cancel())
                answer: messages.Answer | None = self._channel.poll(POLL_S)
                if answer is None:
                    self._check(patience)
                elif isinstance(answer, messages.Begun):
                    self._channel.clear_arrays()
                    patience.begin()
                elif isinstance(answer, messages.Item):
                    patience.hear()
                    self._check(patience)
                    yield answer.value
                else:
                    finished = True
                    _raise_unless_done(answer)
                    return
        except EOFError as error:
            raise self._death() from error
        except KeyboardInterrupt:
            self.stop()
            raise
        finally:
            if not finished:
                self._abandon()

    def _post(self, command: messages.Command) -> None:
        try:
            self._channel.post(command)
        except EOFError as error:
            raise self._death() from error
        except OSError as error:
            raise EngineFailed(f"no room in memory for the samples: {error}") from error

    def _death(self) -> EngineDied:
        if not self.is_stopped:
            self.join(CLOSE_S)  # its exit code is known soon after its end was closed
        return EngineDied(f"the engine's process ended with code {self.exit_code}")

    def _check(self, patience: _Patience) -> None:
        """Kill the process if it had its time, or is frozen, and raise the reason."""
        now_s = time.monotonic()
        if self.is_paused:
            patience.renew()
        if not self.is_stuck:
            patience.stopped_since_s = None
        elif patience.stopped_since_s is None:
            patience.stopped_since_s = now_s
        is_stuck = now_s - (patience.stopped_since_s or now_s) > STOPPED_S
        is_idle = patience.is_idle(now_s, self._cpu_s())
        if now_s <= patience.until_s and not is_stuck and not is_idle:
            return
        if patience.is_stopping:
            self.stop()
            raise RunCancelled
        self.kill()
        if is_stuck:
            raise EngineStuck(f"the engine's process was stopped for {STOPPED_S:.0f} s")
        if is_idle:
            raise EngineStuck(f"the engine's process computed nothing for {IDLE_S:.0f} s")
        if not patience.has_begun and patience.deadline.seconds > ANSWER_S:
            raise EngineStuck(f"the engine's process began with no command within {ANSWER_S:.0f} s")
        raise EngineSilent(f"no answer within {patience.deadline.seconds:.0f} s")

    def _cpu_s(self) -> float | None:
        """CPU seconds of the process so far; None where the system does not say."""
        return None if self._process.pid is None else cpu_s_of(self._process.pid)

    def _abandon(self) -> None:
        """Have the worker end a command that nobody reads any more: its late answers must not reach
        the next command."""
        until_s = time.monotonic() + CANCEL_GRACE_S
        try:
            self._channel.post(messages.Cancel())
            while (left_s := until_s - time.monotonic()) > 0:
                if isinstance(self._channel.poll(left_s), messages.End):
                    return
        except EOFError:  # it is gone: nothing late can come
            return
        self.stop()

    def pause(self) -> None:
        """Freeze the process, with those that it started if it is a guest, until `resume`. Returns
        when it stands still, after `PAUSE_S` at most. Its deadline waits.

        What is timed next needs that: after a run MAX 26.7.0's threads spin for as long as the run
        took, and one of them wakes up 3,600 times a second as long as the process lives.
        """
        self.is_paused = True
        self._signal(signal.SIGSTOP)
        until_s = time.monotonic() + PAUSE_S
        while not self.is_frozen and self._process.is_alive() and time.monotonic() < until_s:
            time.sleep(0.001)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._signal(signal.SIGCONT)
        self.is_paused = False

    def _signal(self, number: signal.Signals) -> None:
        pid = self._process.pid
        assert pid is not None, "the process was started"
        with contextlib.suppress(ProcessLookupError):  # it has ended
            try:
                os.killpg(pid, number)
            except ProcessLookupError:  # it has no group of its own, or not yet
                os.kill(pid, number)

    def stop(self) -> None:
        """End the process now, on purpose."""
        self.is_stopped = True
        self.kill()

    def kill(self) -> None:
        """End the process now."""
        self._process.kill()

    def join(self, timeout_s: float) -> None:
        """Wait until the process has ended."""
        self._process.join(timeout_s)

    def hang_up(self) -> None:
        """End the connection: an idle engine sees that and ends by itself."""
        self.is_stopped = True
        self._channel.hang_up()

    def close(self) -> None:
        """End the process and wait for its end."""
        self.hang_up()
        self.join(CLOSE_S)
        self.kill()
        self.join(CLOSE_S)


def _raise_unless_done(end: messages.End) -> None:
    if end.outcome == "cancelled":
        raise RunCancelled
    if end.outcome != "done":
        kinds = {"refused": EngineRefused, "exhausted": EngineExhausted}
        raise kinds.get(end.outcome, EngineFailed)(end.summary, end.message)
