"""Where results go: the journal and the table, one recording at a time, each recording once.

In: entries and transcripts, in any order. Out: a summary. The one place that knows what is done. A
recording counts as done when its line is in the journal, which is after everything else of it was
written.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from maxwhisper.archive import places
from maxwhisper.archive.job import PARQUET, Job
from maxwhisper.archive.manifest import DONE, FAILED, Entry, Journal
from maxwhisper.archive.sources import Source
from maxwhisper.archive.table import FOLDER, Table
from maxwhisper.transcript import Transcript

# A file of the table is written after so many recordings or seconds; a run that is killed does them
# again.
PART_RECORDINGS, PART_S = 500, 30.0

OnEntry = Callable[[Entry], None]  # called with each recording that is done or set aside


@dataclass(frozen=True)
class Summary:
    """Summary of a run. `n_skipped` were done before; seconds are those of this run."""

    n_done: int
    n_failed: int
    n_skipped: int
    audio_s: float
    seconds: float


class Ledger:
    """The results of one output folder. Use it in `manifest.only_run`, from one thread."""

    def __init__(self, job: Job, on_entry: OnEntry | None = None) -> None:
        self.job = job
        self._on_entry = on_entry
        self._journal = Journal(job.output)
        self._table = Table(job) if PARQUET in job.formats else None
        self._waiting: list[tuple[Entry, Transcript]] = []
        self._added: set[str] = set()
        self._part_s = time.monotonic()
        self._start_s = time.monotonic()
        self._n = {DONE: 0, FAILED: 0}
        self._n_skipped, self._audio_s = 0, 0.0
        self._written = places.Listings()  # by earlier runs
        if self._table is not None:
            self._table.clean(self._journal.entries)

    def before(self, source: Source) -> Entry | None:
        """What an earlier run has said of a recording, if its files are still there."""
        entry = self._journal.entries.get(source.address)
        if entry is None or entry.status != DONE:
            return entry
        is_there = all(self._written.has(path) for path in self.job.files(source).values())
        if self._table is not None:
            part = places.join(places.join(self.job.output, FOLDER), entry.part)
            is_there = is_there and bool(entry.part) and self._written.has(part)
        return entry if is_there else None

    def todo(self, sources: list[Source]) -> list[Source]:
        """The recordings that are not done: new, changed, failed, with other settings, or without
        their files. The others are skipped, without reading them."""
        left = [source for source in sources if not self._is_done(source)]
        self._n_skipped += len(sources) - len(left)
        return left

    def _is_done(self, source: Source) -> bool:
        entry = self.before(source)
        if entry is None or entry.status != DONE or entry.settings != self.job.settings_hash:
            return False
        try:
            return entry.stamp == (source.stamp or places.stamp(source.address))
        except Exception:  # of a file system; decoding it will say why
            return False

    def add(self, entry: Entry, transcript: Transcript | None = None) -> None:
        """Keep the result of a recording, whose files are written. A second result of a run is left
        out: a cluster may do a recording twice."""
        if entry.source in self._added:
            return
        self._added.add(entry.source)
        if entry.status == DONE and transcript is not None and self._table is not None:
            self._waiting.append((entry, transcript))
            is_late = time.monotonic() - self._part_s > PART_S
            if is_late or len(self._waiting) >= PART_RECORDINGS:
                self.flush()
        else:
            self._journal.add(entry)
        self._n[entry.status] += 1
        self._audio_s += entry.audio_s
        if self._on_entry is not None:
            self._on_entry(entry)

    def settle(self, entry: Entry) -> None:
        """Keep what decoding has found: a recording that cannot be read, or one whose audio is what
        it was, in a file with another time."""
        if entry.status == FAILED:
            self.add(entry)
        elif entry.source not in self._added:
            self._added.add(entry.source)
            self._journal.add(entry)
            self._n_skipped += 1

    def flush(self) -> None:
        """Write the table's next file, then the journal's lines of the recordings in it."""
        if self._waiting and self._table is not None:
            name = f"{time.time_ns():020d}.parquet"
            self._table.write(name, self._waiting)
            for entry, _ in self._waiting:
                self._journal.add(replace(entry, part=name))
            self._waiting = []
        self._part_s = time.monotonic()

    def finish(self) -> Summary:
        """Write what waits, and the manifest; remove what is no longer valid."""
        self.flush()
        if self._table is not None:
            self._table.clean(self._journal.entries)
        self._journal.finish()
        return self.summary()

    def close(self) -> None:
        """Write what waits, after an interrupt."""
        self.flush()
        self._journal.close()

    def summary(self) -> Summary:
        """What became of the recordings so far."""
        seconds = time.monotonic() - self._start_s
        return Summary(
            self._n[DONE], self._n[FAILED], self._n_skipped, self._audio_s, round(seconds, 3)
        )

    def remove_parts(self, sources: list[Source]) -> None:
        """Delete what a killed run has left half written, where these recordings are written."""
        folders = {
            os.path.dirname(path) for each in sources for path in self.job.files(each).values()
        }
        folders |= {self.job.output, places.join(self.job.output, FOLDER)}
        for folder in folders:
            if not places.is_address(folder):
                places.remove_parts(folder)
