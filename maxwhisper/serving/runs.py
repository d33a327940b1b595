"""Finished races on disk: what a link `?run=<id>` shows, for a while and across restarts.

In: a `Run` and the samples it heard. Out: the same again, a ZIP of everything, or `RunNotFound` in
words for a visitor. Owns one folder, one sub-folder per run. Must not know the page; whoever makes
the store may hand it a function that draws.
"""

import json
import os
import re
import secrets
import shutil
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import numpy as np

from maxwhisper import writers
from maxwhisper.audio import decode
from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.engine import Waveform
from maxwhisper.errors import MaxWhisperError, OutputError
from maxwhisper.serving.run import Run

KEEP_DAYS = 7
PASSING_S = 3600  # a run that its visitor does not want kept, where no page told us it was closed
KEEP_RUNS = 200  # with ten-minute recordings: 2 GB of FLAC at most
_ID_BYTES = 12  # 96 random bits: nobody guesses a link
_ID = re.compile(r"[A-Za-z0-9_-]{16}")
_RECORD, AUDIO_NAME, ZIP_NAME = "run.json", "audio.flac", "run.zip"
_PASSING = "passing"  # an empty file in the folder of a run that is not to be kept
_DAY_S = 86_400


class RunNotFound(MaxWhisperError):
    """No run under this link: never was, or is gone."""


def new_run_id() -> str:
    """An id that cannot be guessed and may stand in an address."""
    return secrets.token_urlsafe(_ID_BYTES)


class RunStore:
    """The runs in `folder`, which is made with the first one: the newest `keep_runs` of the last
    `keep_days`. `draw` gives a run's chart as a page of its own, for the ZIP. `recorded` is a
    folder of runs that came with the page: they stay, and nothing is written there."""

    def __init__(
        self,
        folder: Path,
        keep_days: int,
        keep_runs: int,
        draw: Callable[[Run], str] | None = None,
        recorded: Path | None = None,
    ) -> None:
        self.keep_days = keep_days
        self.keep_runs = keep_runs
        self._folder = folder
        self._draw = draw
        self._recorded = recorded

    def recorded(self) -> list[Run]:
        """The runs that came with the page, the longest recording first; one of another version of
        the record is left out."""
        runs = []
        for path in self._recorded.glob(f"*/{_RECORD}") if self._recorded else ():
            with suppress(RunNotFound):
                runs.append(self.load(path.parent.name))
        return sorted(runs, key=lambda run: -run.audio_s)

    def save(self, run: Run, waveform: Waveform, *, is_passing: bool = False) -> None:
        """Keep `run` and the (n,) samples it heard, whole or not at all; a passing one for
        `PASSING_S` at most, until whoever saved it deletes it. Raises `OutputError` where the disk
        is full or the folder may not be written to."""
        unfinished = self._folder / f"{run.id}.unfinished"
        try:
            unfinished.mkdir(parents=True, mode=0o700)
            if is_passing:
                (unfinished / _PASSING).touch()
            _write_flac(unfinished / AUDIO_NAME, waveform)
            _write_record(unfinished / _RECORD, run)
            unfinished.rename(self._folder / run.id)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise OutputError(
                f"this race cannot be kept on the server ({error.strerror or error}): it has no "
                "link and no ZIP; copy the texts you need"
            ) from error
        self.prune()

    def amend(self, run: Run) -> None:
        """Keep a changed record of a run whose recording is kept already. Raises `RunNotFound`."""
        if self.is_recorded(run.id):
            raise RunNotFound("This race came with the page: it cannot be changed here.")
        path = self._path(run.id, _RECORD)
        changed = path.stat().st_mtime
        unfinished = path.with_name(f"{new_run_id()}.json")
        _write_record(unfinished, run)
        os.utime(unfinished, (changed, changed))  # no younger for it
        unfinished.replace(path)
        path.with_name(ZIP_NAME).unlink(missing_ok=True)

    def load(self, run_id: str) -> Run:
        """The run `run_id`. Raises `RunNotFound`."""
        path = self._path(run_id, _RECORD)
        try:
            return Run.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RunNotFound(f"This run cannot be read any more ({error}): race again.") from error

    def waveform(self, run_id: str) -> Waveform:
        """The samples that the run heard, rounded to 16 bits, (n,). Raises `RunNotFound`."""
        return decode(self.audio_path(run_id))

    def audio_path(self, run_id: str) -> Path:
        """The recording of the run: FLAC, 16 kHz, mono. Raises `RunNotFound`."""
        return self._path(run_id, AUDIO_NAME)

    def zip_path(self, run_id: str) -> Path:
        """Everything of the run in one file, packed when it is first asked for: every transcript as
        txt, srt, vtt, tsv and json, the recording, run.json, the chart. Raises `RunNotFound`."""
        run, audio = self.load(run_id), self.audio_path(run_id)
        packed = self._folder / run_id / ZIP_NAME
        packed.parent.mkdir(parents=True, exist_ok=True)  # of a recorded run there is no folder yet
        if not packed.is_file():
            unfinished = packed.with_name(f"{new_run_id()}.zip")  # two may ask at once
            try:
                with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
                    archive.write(audio.with_name(_RECORD), _RECORD)
                    archive.write(audio, AUDIO_NAME)
                    for name, text in self._texts(run).items():
                        archive.writestr(name, text)
                unfinished.replace(packed)
            finally:
                unfinished.unlink(missing_ok=True)
        return packed

    def delete(self, run_id: str) -> None:
        """Forget the run. Raises `RunNotFound`, also for one that came with the page."""
        if self.is_recorded(run_id):
            raise RunNotFound("This race came with the page: it cannot be deleted here.")
        shutil.rmtree(self._path(run_id, _RECORD).parent)

    def prune(self) -> None:
        """Remove what is older than `keep_days`, or passing and older than `PASSING_S`, then the
        oldest above `keep_runs`."""
        folders = self._folder.iterdir() if self._folder.is_dir() else ()
        by_age = sorted((_changed(folder), folder) for folder in folders)
        n_above = max(0, len(by_age) - self.keep_runs)
        for position, (changed, folder) in enumerate(by_age):
            if self._is_too_old(folder, changed) or position < n_above:
                shutil.rmtree(folder, ignore_errors=True)  # another process may be removing it

    def _path(self, run_id: str, name: str) -> Path:
        """A file of the run; no path is made of anything that is not an id."""
        if not _ID.fullmatch(run_id):
            raise RunNotFound("This link names no run: was it cut off when it was copied?")
        if self._recorded and self.is_recorded(run_id):
            return self._recorded / run_id / name
        path = self._folder / run_id / name
        if self._is_too_old(path.parent, _changed(path.parent)) or not path.is_file():
            raise RunNotFound(
                f"This run is not kept any more: links work for {self.keep_days} days, "
                f"the last {self.keep_runs} runs at most. Race again."
            )
        return path

    def _is_too_old(self, folder: Path, changed: float) -> bool:
        lifetime_s = PASSING_S if (folder / _PASSING).exists() else self.keep_days * _DAY_S
        return changed < time.time() - lifetime_s

    def is_passing(self, run_id: str) -> bool:
        """True for a run whose visitor does not want it kept."""
        return _ID.fullmatch(run_id) is not None and (self._folder / run_id / _PASSING).exists()

    def is_recorded(self, run_id: str) -> bool:
        """True for a run that came with the page."""
        return (
            self._recorded is not None
            and _ID.fullmatch(run_id) is not None
            and (self._recorded / run_id / _RECORD).is_file()
        )

    def _texts(self, run: Run) -> dict[str, str]:
        texts = {
            f"{result.engine}.{kind}": writers.render(result.transcript, kind, run.options)
            for result in run.results
            for kind in writers.ALL
        }
        return texts | ({"chart.html": self._draw(run)} if self._draw else {})


def _changed(path: Path) -> float:
    """Seconds since the epoch; 0 for what is gone."""
    try:
        record = path / _RECORD
        return (record if record.is_file() else path).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _write_record(path: Path, run: Run) -> None:
    text = json.dumps(run.to_dict(), ensure_ascii=False, indent=1)
    path.write_text(text, encoding="utf-8")


def _write_flac(path: Path, waveform: Waveform) -> None:
    """(n,) samples as 16-bit FLAC."""
    samples = np.clip(np.rint(waveform * 32768.0), -32768, 32767).astype(np.int16)
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono", format="s16")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
