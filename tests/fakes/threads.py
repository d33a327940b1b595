"""Threads that compute, and which do, as the system counts them; run in an engine's process."""

import os
from functools import partial
from pathlib import Path

import numpy as np

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
BUSY_SHARE = 0.25  # of the busiest thread's time: a thread that waits takes far less


def spin():
    """Compute for ever."""
    while True:
        pass


def cpu_seconds(stat):
    """CPU seconds that a file `stat` of /proc counts, of a process or a thread."""
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def thread_seconds():
    """CPU seconds of each thread of this process, by its number."""
    return {task.name: cpu_seconds(task / "stat") for task in Path("/proc/self/task").iterdir()}


def count_busy(engine, waveform, options):
    """A task of `messages.Run`: how many threads computed during a transcription, the CPU seconds
    of each, and what the library says, where it can be asked."""
    work = partial(engine.transcribe, waveform, options)
    work()  # threads start, memory is taken
    if engine.info.name == "faster-whisper":  # numpy's threads, for its log-mel, are no network's
        work = partial(engine.model.encode, np.zeros((engine.model.model.n_mels, 3000), np.float32))
    before = thread_seconds()
    for _ in range(3):
        work()
    spent = [seconds - before.get(name, 0.0) for name, seconds in thread_seconds().items()]
    n_busy = sum(each > 0 and each >= BUSY_SHARE * max(spent) for each in spent)
    yield n_busy, sorted(spent, reverse=True), asked(engine.info.name)


def asked(name):
    """The number of threads that the library says it uses; None where it does not tell."""
    if name != "openai-whisper":
        return None
    import torch

    return torch.get_num_threads()
