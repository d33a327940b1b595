"""Run the stages in one process: recordings are decoded ahead in children, one engine transcribes,
and threads write. `cluster` does the same on many machines.

In: an engine, a `Job`, sources. Out: a summary; results go to the ledger. Memory holds the
recordings in flight: those decoded ahead, at most `AHEAD_S` of audio, and those with windows in the
next batch.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from maxwhisper.archive import stages
from maxwhisper.archive.job import Job
from maxwhisper.archive.ledger import Ledger
from maxwhisper.archive.manifest import Entry
from maxwhisper.archive.prefetch import Prefetch, n_decoders
from maxwhisper.archive.sources import Source
from maxwhisper.archive.stages import NO_AUDIO, Decoded
from maxwhisper.audio.decoders import Decoders
from maxwhisper.audio.waveform import Waveform
from maxwhisper.engine import Engine
from maxwhisper.transcript import Transcript

AHEAD_S = 1200.0  # of audio, 77 MB: several batches of any model
PER_RECORDING_S = 1.0  # what one costs beside its audio
WRITERS = 4  # threads: an object store answers in tens of milliseconds
MAX_UNWRITTEN = 64  # recordings


def run(engine: Engine, job: Job, sources: list[Source], ledger: Ledger) -> None:
    """Transcribe `sources`, which `ledger.todo` has chosen. Raises what concerns all of them."""
    settled: deque[Entry] = deque()  # decoding has failed, or the audio is known
    taken: list[Decoded | None] = []  # by number; without samples; None when done
    decoders = Decoders(n_decoders())
    ahead = Prefetch(
        sources,
        lambda source: stages.decode(source, job, decoders, ledger.before(source)),
        lambda decoded: decoded.entry.audio_s + PER_RECORDING_S,
        AHEAD_S,
        n_decoders(),
    )

    def waveforms() -> Iterator[Waveform]:
        for decoded in ahead:
            if decoded.is_settled:
                settled.append(decoded.entry)
                continue
            taken.append(replace(decoded, waveform=NO_AUDIO))
            yield decoded.waveform

    writing: deque[Future[tuple[Entry, Transcript | None]]] = deque()
    try:
        with ThreadPoolExecutor(WRITERS, thread_name_prefix="write") as pool:
            for number, outcome in stages.transcribe(engine, waveforms(), job):
                decoded, taken[number] = taken[number], None
                assert decoded is not None
                writing.append(pool.submit(_written, decoded, outcome, job))
                while settled:
                    ledger.settle(settled.popleft())
                while writing and (writing[0].done() or len(writing) > MAX_UNWRITTEN):
                    ledger.add(*writing.popleft().result())
    finally:  # after an interrupt too: what is written is kept
        ahead.close()
        decoders.close()
        while settled:
            ledger.settle(settled.popleft())
        for each in writing:
            if each.exception() is None:
                ledger.add(*each.result())
    for each in writing:
        each.result()


def _written(
    decoded: Decoded, outcome: Transcript | Exception, job: Job
) -> tuple[Entry, Transcript | None]:
    entry = stages.write(decoded, outcome, job)  # type: ignore[arg-type]
    return entry, outcome if isinstance(outcome, Transcript) else None
