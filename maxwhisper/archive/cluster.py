"""Run the stages on a Ray cluster: processors decode, devices transcribe, each as a pool of actors.

In: a `Job`, sources, and `Pools`. Out: entries in the ledger, which stays in this process, so that
every recording is counted once. Ray Data moves recordings between the stages, holds them back when
a stage is behind, and repeats what a dead worker had. An error that concerns the whole run travels
through the stages as a row, because Ray would try again. `one_process` calls the same stages
without Ray.
"""

import logging
import os
import pickle
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from maxwhisper.archive import places, stages
from maxwhisper.archive.job import PARQUET, Job
from maxwhisper.archive.ledger import Ledger
from maxwhisper.archive.manifest import Entry
from maxwhisper.archive.pools import Node, Pools
from maxwhisper.archive.sources import Source
from maxwhisper.archive.stages import NO_AUDIO, Decoded
from maxwhisper.audio.decoders import Decoders
from maxwhisper.audio.samples import IN_MEMORY_SAMPLES
from maxwhisper.audio.waveform import Waveform
from maxwhisper.engine import ENGINES, OURS, load_engine
from maxwhisper.errors import EngineUnavailable, MaxWhisperError, OptionError, one_line
from maxwhisper.transcript import Transcript

GET_RAY = "pip install 'maxwhisper[ray]'"
PER_TASK = 32  # recordings that a decoder is given at once

Rows = dict[str, Any]  # a block of Ray Data: a column of values by name


@dataclass(frozen=True)
class Loading:
    """How each worker loads its engine."""

    engine: str
    model: str
    cache_dir: Path | None = None
    # The registry of this process, which a worker does not inherit.
    engines: dict[str, str] = field(default_factory=lambda: dict(ENGINES))


def connect(address: str) -> list[Node]:
    """Join the cluster at `address`, as `ray.init` takes it, and return its nodes.

    Raises `EngineUnavailable` without Ray or a cluster.
    """
    ray = _ray()
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="critical")
        except Exception as error:  # ConnectionError, ValueError, RuntimeError and more
            raise EngineUnavailable(
                f"expected a Ray cluster at {address}, found none: {one_line(error)}; "
                "`--ray local` starts one on this machine"
            ) from error
    lent = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(int(each.get("CPU", 0)), int(each.get("GPU", 0))) for each in lent]


def run(loading: Loading, job: Job, sources: list[Source], ledger: Ledger, pools: Pools) -> None:
    """Transcribe `sources` on the cluster that `connect` has joined.

    Raises what concerns all recordings, and `EngineUnavailable` if Ray cannot go on.
    """
    ray = _ray()
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors are raised, in one line
    ray.data.DataContext.get_current().enable_progress_bars = False  # `batch` has its own
    rows = [{"item": pickle.dumps((source, ledger.before(source)))} for source in sources]
    n_transcribers = min(pools.n_transcribers, len(rows))
    is_gpu = pools.device == "gpu"
    with _marks(job, sources) as marks:
        dataset = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // PER_TASK))
        decoded = dataset.map_batches(
            Decoder,
            fn_constructor_args=(job, marks),
            batch_size=None,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=pools.n_decoders),
        )
        written = decoded.map_batches(
            Transcriber,
            fn_constructor_args=(loading, job, pools, marks),
            batch_size=None,
            num_cpus=0 if is_gpu else pools.threads,
            num_gpus=1 if is_gpu else 0,
            compute=ray.data.ActorPoolStrategy(
                min_size=n_transcribers if pools.is_fixed else 1, max_size=n_transcribers
            ),
        )
        for row in _rows_of(written):
            result = pickle.loads(row["result"])
            if isinstance(result, MaxWhisperError):
                raise result
            entry, transcript, is_settled = result
            if is_settled:
                ledger.settle(entry)
            else:
                ledger.add(entry, transcript)


class Decoder:
    """The stage that decodes, in a process of a cluster."""

    def __init__(self, job: Job, marks: Sequence[str]) -> None:
        self._job, self._marks = job, marks
        self._decoders = Decoders()

    def __call__(self, rows: Rows) -> Iterator[Rows]:
        """Items become decoded recordings, one at a time."""
        try:
            _require_shared(self._marks)
        except MaxWhisperError as error:
            yield {"decoded": [pickle.dumps(error)], "samples": [b""]}
            return
        for item in rows["item"]:
            source, before = pickle.loads(item)
            decoded = stages.decode(source, self._job, self._decoders, before)
            samples = decoded.waveform
            if len(samples) > IN_MEMORY_SAMPLES:  # in a file: too long to be sent
                samples = NO_AUDIO
            yield {
                "decoded": [pickle.dumps(replace(decoded, waveform=NO_AUDIO))],
                "samples": [samples.tobytes()],
            }


class Transcriber:
    """The stages that transcribe and write, in a process with a device."""

    def __init__(self, loading: Loading, job: Job, pools: Pools, marks: Sequence[str]) -> None:
        self._job = job
        self._decoders = Decoders()  # of recordings that are too long to be sent
        self._error: MaxWhisperError | None = None
        try:
            _require_shared(marks)
            self._engine = _load(loading, pools)
        except MaxWhisperError as error:
            self._error = error

    def __call__(self, rows: Rows) -> Iterator[Rows]:
        """Decoded recordings become results: an entry, and the transcript if a table needs it."""
        try:
            if self._error is not None:
                raise self._error
            yield from self._results(rows)
        except MaxWhisperError as error:
            yield {"result": [pickle.dumps(error)]}

    def _results(self, rows: Rows) -> Iterator[Rows]:
        taken: list[Decoded] = []
        settled: list[Entry] = []

        def waveforms() -> Iterator[Waveform]:
            for pickled, samples in zip(rows["decoded"], rows["samples"], strict=True):
                decoded: Decoded | MaxWhisperError = pickle.loads(pickled)
                if isinstance(decoded, MaxWhisperError):
                    raise decoded
                waveform: Waveform = np.frombuffer(samples, np.float32)
                if not decoded.is_settled and not len(waveform):
                    decoded = stages.decode(decoded.source, self._job, self._decoders)
                    waveform = decoded.waveform
                if decoded.is_settled:
                    settled.append(decoded.entry)
                    continue
                taken.append(replace(decoded, waveform=NO_AUDIO))
                yield waveform

        for number, outcome in stages.transcribe(self._engine, waveforms(), self._job):
            entry = stages.write(taken[number], outcome, self._job)
            is_wanted = PARQUET in self._job.formats and isinstance(outcome, Transcript)
            result = entry, outcome if is_wanted else None, False
            yield {"result": [pickle.dumps(result)]}
        for entry in settled:
            yield {"result": [pickle.dumps((entry, None, True))]}


def _load(loading: Loading, pools: Pools) -> Any:
    """The engine of a worker, on the device and with the precision that all workers have."""
    from maxwhisper import checkpoint
    from maxwhisper.runtime.device import limit_threads

    ENGINES.clear()
    ENGINES.update(loading.engines)
    if pools.device == "cpu" and loading.engine == OURS:  # the others do as Ray tells them
        limit_threads(min(pools.threads, len(os.sched_getaffinity(0))))
    return load_engine(
        loading.engine,
        checkpoint.load(loading.model, cache_dir=loading.cache_dir),
        device=pools.device,
        dtype=pools.dtype,
        cache_dir=loading.cache_dir,
    )


@contextmanager
def _marks(job: Job, sources: Sequence[Source]) -> Iterator[list[str]]:
    """Local files that every worker must see: a recording, and a new file of the output folder."""
    local = (each.address for each in sources if not places.is_address(each.address))
    marks = [path for path in local if os.path.isfile(path)][:1]
    if places.is_address(job.output):
        yield marks
        return
    mark = Path(os.path.abspath(job.output), f"{places.PART}{secrets.token_hex(8)}")
    mark.touch()
    try:
        yield [*marks, str(mark)]
    finally:
        mark.unlink(missing_ok=True)


def _require_shared(marks: Sequence[str]) -> None:
    for path in marks:
        if not os.path.isfile(path):
            raise OptionError(
                f"the node {socket.gethostname()} does not see {os.path.dirname(path)}: with "
                "--ray, recordings and output are in folders that all nodes share, or at "
                "addresses such as s3://bucket/folder"
            )


def _rows_of(dataset: Any) -> Iterator[dict[str, Any]]:
    """The rows of a dataset; what Ray raises becomes one line."""
    try:
        yield from dataset.iter_rows()
    except Exception as error:
        cause: BaseException = error
        while (inner := getattr(cause, "cause", None) or cause.__cause__) is not None:
            if type(inner).__name__ == "SystemException":  # says nothing
                break
            cause = inner
        raise EngineUnavailable(
            f"the Ray cluster cannot go on: {one_line(cause)}; the same command goes on where "  # type: ignore[arg-type]
            "this one has ended"
        ) from error


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise EngineUnavailable(f"--ray needs Ray ({error}): {GET_RAY}") from error
    return ray
