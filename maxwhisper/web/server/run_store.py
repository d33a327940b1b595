"""Finished races on disk, across restarts: what a share link `?run=<id>` opens.

In: a `Run` and its samples. Out: both again, a ZIP of everything, or `RunNotFound` with a sentence
for the visitor. Owns one folder, with one sub-folder per run. Must not know the page; the chart for
the ZIP is drawn by a function passed in.
"""

import json
import os
import re
import secrets
import shutil
import threading
import time
import zipfile
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import numpy as np

from maxwhisper.audio.load import decode
from maxwhisper.audio.waveform import Waveform
from maxwhisper.errors import MaxWhisperError, OutputError
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.text import writers
from maxwhisper.web.server.run import Run
from maxwhisper.web.server.visitor import LOCALHOST

KEEP_DAYS = 7
TEMPORARY_S = 3600  # lifetime of a run without a share link, if its page never reports closing
UNFINISHED_S = 600  # saving takes seconds; after this, its process is dead
KEEP_RUNS = 200  # with ten-minute recordings: 2 GB of FLAC at most
_ID_BYTES = 12  # 96 random bits: a link cannot be guessed
_ID = re.compile(r"[A-Za-z0-9_-]{16}")
_RECORD, AUDIO_NAME, ZIP_NAME = "run.json", "audio.flac", "run.zip"
_UNFINISHED = ".unfinished"
_TEMPORARY = "passing"  # an empty file in its folder; named so since the first stores
_DAY_S = 86_400


class RunNotFound(MaxWhisperError):
    """There is no run with this id, or it was deleted."""


def new_run_id() -> str:
    """A random id, safe in an address."""
    return secrets.token_urlsafe(_ID_BYTES)


class RunStore:
    """The newest `keep_runs` runs of the last `keep_days`, in `folder`, which the first run
    creates. `draw` returns a run's chart as an HTML page for the ZIP. `recorded` is a read-only
    folder of runs that ship with the page and stay. Of one visitor's runs, the newest `keep_own`
    stay, all if 0: nobody pushes out the runs of all others."""

    def __init__(
        self,
        folder: Path,
        keep_days: int,
        keep_runs: int,
        draw: Callable[[Run], str] | None = None,
        recorded: Path | None = None,
        keep_own: int = 0,
    ) -> None:
        self.keep_days = keep_days
        self.keep_runs = keep_runs
        self._folder = folder
        self._draw = draw
        self._recorded = recorded
        self._keep_own = keep_own
        # Ids of the runs of each visitor, oldest first. Never on disk: a run does not tell whose it
        # is, and a new start forgets it.
        self._own: dict[str, deque[str]] = {}
        self._own_lock = threading.Lock()

    def recorded(self) -> list[Run]:
        """The runs that ship with the page, longest recording first, without those of another
        schema version."""
        runs = []
        for path in self._recorded.glob(f"*/{_RECORD}") if self._recorded else ():
            with suppress(RunNotFound):
                runs.append(self.load(path.parent.name))
        return sorted(runs, key=lambda run: -run.audio_s)

    def save(
        self, run: Run, waveform: Waveform, *, visitor: str = LOCALHOST, is_temporary: bool = False
    ) -> None:
        """Store `run` of `visitor` and its samples (n,), completely or not at all; a temporary run
        for at most `TEMPORARY_S`. Raises `OutputError` if the disk is full, the folder cannot be
        written, or a text cannot be encoded."""
        unfinished = self._folder / f"{run.id}{_UNFINISHED}"
        try:
            unfinished.mkdir(parents=True, mode=0o700)
            if is_temporary:
                (unfinished / _TEMPORARY).touch()
            _write_flac(unfinished / AUDIO_NAME, waveform)
            _write_record(unfinished / _RECORD, run)
            unfinished.rename(self._folder / run.id)
        except (OSError, UnicodeError) as error:
            raise OutputError(
                f"This race cannot be saved on the server ({_reason(error)}). It has no "
                "link and no ZIP: copy the texts you need."
            ) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)  # it is there only if something failed
        self._push_out_own(visitor, run.id)
        self.prune()

    def update(self, run: Run) -> None:
        """Replace the record of a stored run; its age stays. Raises `RunNotFound`, and
        `OutputError` as `save` does."""
        if self.is_recorded(run.id):
            raise RunNotFound("This recorded race is part of the page and cannot be changed.")
        path = self._path(run.id, _RECORD)
        changed = path.stat().st_mtime
        unfinished = path.with_name(f"{new_run_id()}.json")
        try:
            _write_record(unfinished, run)
            os.utime(unfinished, (changed, changed))
            unfinished.replace(path)
        except (OSError, UnicodeError) as error:
            raise OutputError(f"This race cannot be changed ({_reason(error)}).") from error
        finally:
            unfinished.unlink(missing_ok=True)
        path.with_name(ZIP_NAME).unlink(missing_ok=True)

    def load(self, run_id: str) -> Run:
        """The run `run_id`. Raises `RunNotFound`."""
        path = self._path(run_id, _RECORD)
        try:
            return Run.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RunNotFound(f"This race cannot be read ({error}). Race again.") from error

    def waveform(self, run_id: str) -> Waveform:
        """Samples of the recording, (n,), rounded to 16 bits. Raises `RunNotFound`."""
        return decode(self.audio_path(run_id))

    def audio_path(self, run_id: str) -> Path:
        """The file of the recording: FLAC, 16 kHz, mono. Raises `RunNotFound`."""
        return self._path(run_id, AUDIO_NAME)

    def zip_path(self, run_id: str) -> Path:
        """The run in one file, packed on the first request: every transcript as txt, srt, vtt, tsv
        and json, the recording, run.json, the chart. Raises `RunNotFound`."""
        run, audio = self.load(run_id), self.audio_path(run_id)
        packed = self._folder / run_id / ZIP_NAME
        packed.parent.mkdir(parents=True, exist_ok=True)  # a recorded run has no folder here yet
        if not packed.is_file():
            unfinished = packed.with_name(f"{new_run_id()}.zip")  # two requests may pack at once
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
        """Delete the run. Raises `RunNotFound`, also for a recorded one."""
        if self.is_recorded(run_id):
            raise RunNotFound("This recorded race is part of the page and cannot be deleted.")
        shutil.rmtree(self._path(run_id, _RECORD).parent)

    def prune(self) -> None:
        """Delete runs past their lifetime, then the oldest beyond `keep_runs`, and what a killed
        process was saving."""
        for unfinished in self._folder.glob(f"*{_UNFINISHED}"):
            if _changed(unfinished) < time.time() - UNFINISHED_S:
                shutil.rmtree(unfinished, ignore_errors=True)
        for part in self._folder.glob("*/*"):  # of a record or a ZIP
            if _ID.fullmatch(part.stem) and _changed(part) < time.time() - UNFINISHED_S:
                part.unlink(missing_ok=True)
        folders = [p for p in self._folder.glob("*") if not p.name.endswith(_UNFINISHED)]
        by_age = sorted((_changed(folder), folder) for folder in folders)
        n_above = max(0, len(by_age) - self.keep_runs)
        for position, (changed, folder) in enumerate(by_age):
            if self._is_too_old(folder, changed) or position < n_above:
                shutil.rmtree(folder, ignore_errors=True)  # another process may delete it too

    def _push_out_own(self, visitor: str, run_id: str) -> None:
        """Add a run of `visitor` and delete the oldest beyond `keep_own`."""
        if not self._keep_own or visitor == LOCALHOST:
            return
        with self._own_lock:
            for name, ids in list(self._own.items()):
                there = deque(each for each in ids if (self._folder / each).is_dir())
                self._own[name] = there
                if not there:
                    del self._own[name]
            own = self._own.setdefault(visitor, deque())
            own.append(run_id)
            while len(own) > self._keep_own:
                shutil.rmtree(self._folder / own.popleft(), ignore_errors=True)

    def _path(self, run_id: str, name: str) -> Path:
        """A file of the run. Only a well-formed id becomes part of a path."""
        if not _ID.fullmatch(run_id):
            raise RunNotFound("This link is not complete. Copy the whole link and try again.")
        if self._recorded and self.is_recorded(run_id):
            return self._recorded / run_id / name
        path = self._folder / run_id / name
        if self._is_too_old(path.parent, _changed(path.parent)) or not path.is_file():
            raise RunNotFound(
                f"This race is no longer available. Links work for {self.keep_days} days, and "
                f"only the last {self.keep_runs} races are kept, of each visitor "
                f"{self._keep_own or self.keep_runs}. Race again."
            )
        return path

    def _is_too_old(self, folder: Path, changed: float) -> bool:
        lifetime_s = TEMPORARY_S if (folder / _TEMPORARY).exists() else self.keep_days * _DAY_S
        return changed < time.time() - lifetime_s

    def is_temporary(self, run_id: str) -> bool:
        """True for a run without a share link."""
        return _ID.fullmatch(run_id) is not None and (self._folder / run_id / _TEMPORARY).exists()

    def is_recorded(self, run_id: str) -> bool:
        """True for a run that ships with the page."""
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


def _reason(error: Exception) -> str:
    """Without a path: it is shown to strangers."""
    if isinstance(error, UnicodeError):
        return "a text contains half of a character"
    return getattr(error, "strerror", None) or str(error)


def _changed(path: Path) -> float:
    """Seconds since the epoch; 0 for a deleted file."""
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
