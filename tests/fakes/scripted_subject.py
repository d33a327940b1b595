"""A benchmark subject with a known clock: a fake engine with given seconds for its rounds."""

from itertools import repeat

from maxwhisper.engines.process import EngineRefused
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.bench.entry import Contestant, Entrant
from maxwhisper.evaluation.bench.measure import Measurement
from maxwhisper.evaluation.meters import Meter
from maxwhisper.network.dims import Dims
from tests.fakes.engines import FakeEngine

DIMS = Dims(80, 1500, 64, 2, 1, 51_864, 448, 64, 2, 1)
WARMUP_S = 9.0  # of each warm-up, which is not counted
MIB = 2**20


class ScriptedSubject:
    """A `measure.Subject`; every timed run takes the next of `seconds`."""

    load_s, prepare_s, source, dims = 0.5, None, "seeded random weights", DIMS

    def __init__(self, engine, seconds=None, n_warmups=2, peaks=None, meters=None):
        self.engine, self.info = engine, engine.info
        self._seconds = iter(seconds) if seconds is not None else repeat(0.2)
        self._n_warmups, self._peaks = n_warmups, peaks or {}
        self._meters = meters or {}
        self.jobs, self.metered, self.is_closed = [], [], False

    def run(self, job, *, is_metered=False):
        self.jobs.append(job)
        self.metered.append(is_metered)
        mode = {"batch_size": job.batch_size, "vad": job.vad}
        try:
            transcript = self.engine.transcribe(job.waveform, job.options, **mode)
        except OptionError as error:
            raise EngineRefused(str(error)) from error
        in_cell = [each for each in self.jobs if each is job]
        is_warmup = len(in_cell) <= self._n_warmups
        return Measurement(
            transcript,
            WARMUP_S if is_warmup else next(self._seconds),
            first_text_s=0.05,
            host_peak_bytes=self._peaks.get(len(job.waveform), 100 * MIB),
            is_cold=len(self.jobs) == 1,
            graphs=self._meters if is_metered else {},
        )

    def close(self):
        self.is_closed = True


def contestant(name, seconds=None, *, dtype="auto", n_warmups=2, peaks=None, meters=None, **fake):
    """A contestant called `name` on a `FakeEngine`; `fake` are that engine's arguments."""
    subject = ScriptedSubject(FakeEngine(name, **fake), seconds, n_warmups, peaks, meters)
    return Contestant(Entrant(name, dtype), subject)


def meter(count, seconds):
    return Meter(count, seconds)
