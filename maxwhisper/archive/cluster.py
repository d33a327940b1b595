"""Run the stages on a Ray cluster: processors decode, devices transcribe, each as a pool of actors.

In: a `Job`, sources, and where the cluster is. Out: entries in the ledger, which stays in this
process, so that every recording is counted once. Ray Data moves recordings between the stages,
holds them back when a stage is behind, and repeats what a dead worker had. `one_process` calls the
same stages without Ray.
"""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from maxwhisper.archive import stages
from maxwhisper.archive.job import PARQUET, Job
from maxwhisper.archive.ledger import Ledger
from maxwhisper.archive.manifest import Entry
from maxwhisper.archive.sources import Source
from maxwhisper.archive.stages import NO_AUDIO, Decoded
from maxwhisper.audio.samples import IN_MEMORY_SAMPLES
from maxwhisper.audio.waveform import Waveform
from maxwhisper.engine import ENGINES, load_engine
from maxwhisper.errors import EngineUnavailable, one_line
from maxwhisper.transcript import Transcript

GET_RAY = "pip install 'maxwhisper[ray]'"
PER_TASK = 32  # recordings that a decoder is given at once

Rows = dict[str, Any]  # a block of Ray Data: a column of values by name


@dataclass(frozen=True)
class Loading:
    """How each worker loads its engine."""

    engine: str
    model: str
    device: str = "auto"
    dtype: str = "auto"
    cache_dir: Path | None = None
    # The registry of this process, which a worker does not inherit.
    engines: dict[str, str] = field(default_factory=lambda: dict(ENGINES))


def run(loading: Loading, job: Job, sources: list[Source], ledger: Ledger, address: str) -> None:
    """Transcribe `sources` on the cluster at `address`, as `ray.init` takes it.

    Raises `EngineUnavailable` without Ray or a cluster.
    """
    ray = _ray()
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="warning")
        except ConnectionError as error:
            raise EngineUnavailable(
                f"expected a Ray cluster at {address}, found none: {one_line(error)}; "
                "`--ray local` starts one on this machine"
            ) from error
    resources = ray.cluster_resources()
    n_gpus, n_cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
    rows = [{"item": pickle.dumps((source, ledger.before(source)))} for source in sources]
    # A decoder and a transcriber on a CPU have a processor each; a GPU needs a few decoders.
    n_devices = n_gpus or max(1, n_cpus // 2)
    n_decoders = max(1, n_cpus - n_devices)
    dataset = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // PER_TASK))
    decoded = dataset.map_batches(
        Decoder,
        fn_constructor_args=(job,),
        batch_size=None,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=n_decoders),
    )
    written = decoded.map_batches(
        Transcriber,
        fn_constructor_args=(loading, job),
        batch_size=None,
        num_cpus=0 if n_gpus else 1,
        num_gpus=1 if n_gpus else 0,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=n_devices),
    )
    for row in written.iter_rows():
        entry, transcript, is_settled = pickle.loads(row["result"])
        if is_settled:
            ledger.settle(entry)
        else:
            ledger.add(entry, transcript)


class Decoder:
    """The stage that decodes, in a process of a cluster."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(self, rows: Rows) -> Iterator[Rows]:
        """Items become decoded recordings, one at a time."""
        for item in rows["item"]:
            source, before = pickle.loads(item)
            decoded = stages.decode(source, self._job, before)
            samples = decoded.waveform
            if len(samples) > IN_MEMORY_SAMPLES:  # in a file: too long to be sent
                samples = NO_AUDIO
            yield {
                "decoded": [pickle.dumps(replace(decoded, waveform=NO_AUDIO))],
                "samples": [samples.tobytes()],
            }


class Transcriber:
    """The stages that transcribe and write, in a process with a device."""

    def __init__(self, loading: Loading, job: Job) -> None:
        from maxwhisper import checkpoint

        ENGINES.clear()
        ENGINES.update(loading.engines)
        self._job = job
        self._engine = load_engine(
            loading.engine,
            checkpoint.load(loading.model, cache_dir=loading.cache_dir),
            device=loading.device,
            dtype=loading.dtype,
            cache_dir=loading.cache_dir,
        )

    def __call__(self, rows: Rows) -> Iterator[Rows]:
        """Decoded recordings become results: an entry, and the transcript if a table needs it."""
        taken: list[Decoded] = []
        settled: list[Entry] = []

        def waveforms() -> Iterator[Waveform]:
            for pickled, samples in zip(rows["decoded"], rows["samples"], strict=True):
                decoded: Decoded = pickle.loads(pickled)
                waveform: Waveform = np.frombuffer(samples, np.float32)
                if not decoded.is_settled and not len(waveform):
                    decoded = stages.decode(decoded.source, self._job)
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


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise EngineUnavailable(f"--ray needs Ray ({error}): {GET_RAY}") from error
    return ray
